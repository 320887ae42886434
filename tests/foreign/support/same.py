"""One shape for a record read by boto3 and a record read by gRPC, so that `==` compares them whole.

Nothing is normalised but the time: botocore reads it through a float, so it is compared to the whole second, which is also
all that AWS gives. Sets are compared in the order in which the upstream sends them.
"""

import base64
import datetime

from . import contract

_TYPES = {"INSERT": "CHANGE_TYPE_INSERT", "MODIFY": "CHANGE_TYPE_MODIFY", "REMOVE": "CHANGE_TYPE_REMOVE"}


def from_boto3(record):
    """A record as boto3's `get_records` gives it."""
    dynamodb = record["dynamodb"]
    identity = record.get("userIdentity")
    return {
        "key": _image(dynamodb.get("Keys", {})),
        "new image": _image(dynamodb.get("NewImage", {})),
        "old image": _image(dynamodb.get("OldImage", {})),
        "second": int(dynamodb["ApproximateCreationDateTime"].timestamp()),
        "id": record.get("eventID", ""),
        "type": _TYPES[record["eventName"]],
        "version": record.get("eventVersion", ""),
        "name": "",
        "sequence number": dynamodb["SequenceNumber"],
        "size": dynamodb.get("SizeBytes"),
        "view": f"STREAM_VIEW_TYPE_{dynamodb['StreamViewType']}",
        "identity": identity and (identity.get("Type", ""), identity.get("PrincipalId", "")),
        "region": record.get("awsRegion", ""),
        "source": record.get("eventSource", ""),
    }


def from_grpc(record):
    """A `ChangeRecord`."""
    meta, change = record.meta, record.meta.change
    assert 0 <= meta.created_at.nanos < 1_000_000_000
    identity = (meta.user_identity.type, meta.user_identity.principal_id)
    return {
        "key": _entries(record.key),
        "new image": _entries(record.new_image),
        "old image": _entries(record.old_image),
        "second": meta.created_at.seconds,
        "id": change.id,
        "type": contract.ChangeType.Name(change.type),
        "version": change.version,
        "name": change.name,
        "sequence number": meta.sequence_number,
        "size": meta.size_bytes if meta.HasField("size_bytes") else None,
        "view": contract.StreamViewType.Name(meta.stream_view_type),
        "identity": identity if meta.HasField("user_identity") else None,
        "region": meta.aws_region,
        "source": meta.event_source,
    }


def from_cli(record):
    """A line of `--output json`: the names of the proto, the values of DynamoDB's own JSON."""
    meta, change = record["meta"], record["meta"].get("change", {})
    identity = meta.get("user_identity")
    return {
        "key": _image(_decoded(record.get("key", {}))),
        "new image": _image(_decoded(record.get("new_image", {}))),
        "old image": _image(_decoded(record.get("old_image", {}))),
        "second": int(datetime.datetime.fromisoformat(meta["created_at"]).timestamp()),
        "id": change.get("id", ""),
        "type": _TYPES[change["type"]],
        "version": change.get("version", ""),
        "name": change.get("name", ""),
        "sequence number": meta["sequence_number"],
        "size": meta.get("size_bytes"),
        "view": f"STREAM_VIEW_TYPE_{meta['stream_view_type']}",
        "identity": identity and (identity.get("type", ""), identity.get("principal_id", "")),
        "region": meta.get("aws_region", ""),
        "source": meta.get("event_source", ""),
    }


def assert_same(received, written, shape=from_grpc):
    """The records that a client received are those that boto3 reads: the same ones, in the same order, in every field."""
    received, written = [shape(record) for record in received], [from_boto3(record) for record in written]
    numbers = [[record["sequence number"] for record in records] for records in (received, written)]
    assert numbers[0] == numbers[1], _first_difference(*numbers)
    for number, (one, other) in enumerate(zip(received, written)):
        for field, value in other.items():
            assert one[field] == value, f"record {number}, {_key(other)}, {field}"


def sequence_numbers(records):
    """The sequence numbers of records read by gRPC."""
    return [record.meta.sequence_number for record in records]


def keys(records):
    """The string keys of records read by gRPC."""
    return [record.key["pk"].s for record in records]


def _image(attributes):
    return {name: _value(value) for name, value in attributes.items()}


def _decoded(attributes):
    """DynamoDB JSON with its base64 decoded."""
    return {name: _decoded_value(value) for name, value in attributes.items()}


def _decoded_value(value):
    (kind, inner), = value.items()
    if kind == "B":
        return {kind: base64.b64decode(inner, validate=True)}
    if kind == "BS":
        return {kind: [base64.b64decode(element, validate=True) for element in inner]}
    if kind == "M":
        return {kind: _decoded(inner)}
    if kind == "L":
        return {kind: [_decoded_value(element) for element in inner]}
    return value


def _value(value):
    (kind, inner), = value.items()
    if kind == "M":
        return kind, _image(inner)
    if kind == "L":
        return kind, [_value(element) for element in inner]
    return kind, inner


def _entries(attributes):
    return {name: _attribute(value) for name, value in attributes.items()}


_SCALARS = {"s": "S", "n": "N", "b": "B", "null_value": "NULL", "bool_value": "BOOL"}
_SETS = {"ss": "SS", "ns": "NS", "bs": "BS"}


def _attribute(value):
    kind = value.WhichOneof("value")
    inner = getattr(value, kind)
    if kind in _SCALARS:
        return _SCALARS[kind], inner
    if kind in _SETS:
        return _SETS[kind], list(inner.values)
    if kind == "m":
        return "M", _entries(inner.entries)
    return "L", [_attribute(element) for element in inner.values]


def _key(record):
    return repr(record["key"])[:80]


def _first_difference(received, written):
    for place, (one, other) in enumerate(zip(received, written)):
        if one != other:
            return f"record {place} of {len(written)} is {other}, received {one}"
    return f"{len(written)} records were written, {len(received)} received"
