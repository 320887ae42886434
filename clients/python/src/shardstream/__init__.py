"""Client for shardstream, which reads Amazon DynamoDB Streams once and serves the records over gRPC.

    from shardstream import FileTokenStore, connect

    with connect("localhost:50051") as client:
        for message in client.subscribe("orders", store=FileTokenStore("orders.token")):
            for record in message:
                print(record.shard_id, record.type, record.key)

`shardstream.aio` is the same for asyncio. Delivery is at least once.
"""

from ._core import LATEST, TRIM_HORIZON, Hooks, Timing, Tls, after_sequence_number, at_sequence_number
from .errors import (
    AccessDenied,
    DeadlineExceeded,
    InvalidRequest,
    InvalidToken,
    LeaseNotFound,
    LimitReached,
    NotFound,
    NotPositioned,
    RecordsTrimmed,
    RecordUnreadable,
    ShardstreamError,
    Superseded,
    Unauthenticated,
    Unavailable,
)
from .records import ABSENT, Batch, Gap, Message, Record, Unreadable
from .stores import DynamoDbTokenStore, FileTokenStore, MemoryTokenStore, TokenStore
from .sync import Client, Session, Subscription, connect
from .values import (
    BinarySet,
    Number,
    NumberSet,
    StringSet,
    UnknownValue,
    from_attribute,
    from_attributes,
    to_attribute,
    to_attributes,
)

__all__ = [
    "ABSENT", "LATEST", "TRIM_HORIZON", "AccessDenied", "Batch", "BinarySet", "Client", "DeadlineExceeded",
    "DynamoDbTokenStore", "FileTokenStore", "Gap", "Hooks", "InvalidRequest", "InvalidToken", "LeaseNotFound",
    "LimitReached", "MemoryTokenStore", "Message", "NotFound", "NotPositioned", "Number", "NumberSet", "Record",
    "RecordUnreadable", "RecordsTrimmed", "Session", "ShardstreamError", "StringSet", "Subscription", "Superseded",
    "Timing", "Tls", "TokenStore", "Unauthenticated", "Unavailable", "UnknownValue", "Unreadable",
    "after_sequence_number", "at_sequence_number", "connect", "from_attribute", "from_attributes", "to_attribute",
    "to_attributes",
]  # fmt: skip
