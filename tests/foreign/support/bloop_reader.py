"""Reads a stream with bloop, in bloop's own environment: a request as JSON on the command line, an answer as JSON on stdout.

The request: `endpoint`, `region`, `table`; `with`, one of "Stream", "Coordinator" and "Shard"; `place`, an endpoint of bloop's or
one of its tokens; `count`, how many records to read at most. A Shard gives whole pages, so it reads one unless `count` is zero.
The answer: the `token` from where the reading stopped, and the `numbers` of the records that were read.
"""

import json
import sys

import bloop
import boto3
from bloop.stream.coordinator import Coordinator
from bloop.stream.shard import Shard


def main(request):
    places = {"region_name": request["region"], "endpoint_url": request["endpoint"]}
    clients = {service: boto3.client(service, **places) for service in ("dynamodb", "dynamodbstreams")}
    engine = bloop.Engine(**clients)

    class Item(bloop.BaseModel):
        class Meta:
            table_name = request["table"]
            stream = {"include": {"new", "old"}}
            billing = {"mode": "on_demand"}

        pk = bloop.Column(bloop.String, hash_key=True)

    engine.bind(Item)
    arn, place, count = Item.Meta.stream["arn"], request["place"], request["count"]
    if request["with"] == "Shard":
        reader, records = read_shard(engine.session, arn, place, count)
    elif request["with"] == "Coordinator":
        reader = Coordinator(session=engine.session, stream_arn=arn)
        reader.move_to(place)
        records = read(reader, count)
    else:
        reader = engine.stream(Item, place)
        records = read(reader, count)
    return {"token": reader.token, "numbers": [record["meta"]["sequence_number"] for record in records]}


def read(reader, count):
    """Up to `count` records, as many as there are before bloop finds none."""
    records = []
    while len(records) < count and (record := next(reader)):
        records.append(record)
    return records


def read_shard(session, arn, place, count):
    if isinstance(place, dict):
        shard = Shard(session=session, **place)
        shard.jump_to(iterator_type=shard.iterator_type, sequence_number=shard.sequence_number)
    else:
        shard = Shard(session=session, stream_arn=arn, shard_id=session.describe_stream(arn)["Shards"][0]["ShardId"])
        shard.jump_to(iterator_type=place)
    return shard, shard.get_records() if count else []


print(json.dumps(main(json.loads(sys.argv[1]))))
