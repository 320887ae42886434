"""A client of the server in Python that copies every field to dicts, in the layout that bloop gives records of a shard."""

import datetime

import grpc

from reading import Rising, measured, plan, shards_with_counts
from shardstream.v1 import events_pb2, position_pb2, record_pb2, shard_service_pb2
from shardstream.v1.shard_service_pb2_grpc import ShardServiceStub

plan = plan()
stub = ShardServiceStub(grpc.insecure_channel(plan["server"].removeprefix("http://")))
TYPES = {value: name.removeprefix("CHANGE_TYPE_").lower() for name, value in record_pb2.ChangeType.items()}


def value(attribute):
    kind = attribute.WhichOneof("value")
    if kind == "s":
        return {"S": attribute.s}
    if kind == "n":
        return {"N": attribute.n}
    if kind == "b":
        return {"B": attribute.b}
    if kind == "m":
        return {"M": image(attribute.m.entries)}
    if kind == "l":
        return {"L": [value(element) for element in attribute.l.values]}
    if kind == "bool_value":
        return {"BOOL": attribute.bool_value}
    if kind == "null_value":
        return {"NULL": True}
    return {kind.upper(): list(getattr(attribute, kind).values)}


def image(attributes):
    return {name: value(attribute) for name, attribute in attributes.items()}


def record(message):
    meta = message.meta
    change = meta.change
    return {
        "key": image(message.key) or None,
        "new": image(message.new_image) or None,
        "old": image(message.old_image) or None,
        "meta": {
            "created_at": datetime.datetime.fromtimestamp(meta.created_at.seconds, datetime.timezone.utc),
            "sequence_number": meta.sequence_number,
            "event": {"id": change.id, "type": TYPES[change.type], "version": change.version},
        },
    }


def read_shard(shard, wanted):
    order = Rising()
    if not wanted:
        return 0
    start = position_pb2.ShardStart(
        shard=position_pb2.ShardName(stream=plan["stream"], shard_id=shard),
        position=position_pb2.Position(iterator_type=position_pb2.ITERATOR_TYPE_TRIM_HORIZON),
    )
    request = shard_service_pb2.StreamRecordsRequest(start=start, until=events_pb2.Until(record_count=wanted))
    for message in stub.StreamRecords(request):
        for one in message.records:
            order.note(record(one)["meta"]["sequence_number"])
    return order.seen


read_shard(plan["warm_shard"], plan["warm_records"])
measured(lambda: sum(read_shard(shard, wanted) for shard, wanted in shards_with_counts(plan)))
