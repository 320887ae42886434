from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from shardstream.v1 import events_pb2 as _events_pb2
from shardstream.v1 import position_pb2 as _position_pb2
from shardstream.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_STATUS_UNSPECIFIED: _ClassVar[StreamStatus]
    STREAM_STATUS_ENABLING: _ClassVar[StreamStatus]
    STREAM_STATUS_ENABLED: _ClassVar[StreamStatus]
    STREAM_STATUS_DISABLING: _ClassVar[StreamStatus]
    STREAM_STATUS_DISABLED: _ClassVar[StreamStatus]

class KeyType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_TYPE_UNSPECIFIED: _ClassVar[KeyType]
    KEY_TYPE_HASH: _ClassVar[KeyType]
    KEY_TYPE_RANGE: _ClassVar[KeyType]

class RecordOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECORD_ORDER_UNSPECIFIED: _ClassVar[RecordOrder]
    RECORD_ORDER_PER_SHARD: _ClassVar[RecordOrder]
    RECORD_ORDER_BY_TIME: _ClassVar[RecordOrder]

class ReadingState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    READING_STATE_UNSPECIFIED: _ClassVar[ReadingState]
    READING_STATE_UNREAD: _ClassVar[ReadingState]
    READING_STATE_WAITING: _ClassVar[ReadingState]
    READING_STATE_READING: _ClassVar[ReadingState]
    READING_STATE_AT_TIP: _ClassVar[ReadingState]
    READING_STATE_DRAINED: _ClassVar[ReadingState]
    READING_STATE_TRIMMED: _ClassVar[ReadingState]
STREAM_STATUS_UNSPECIFIED: StreamStatus
STREAM_STATUS_ENABLING: StreamStatus
STREAM_STATUS_ENABLED: StreamStatus
STREAM_STATUS_DISABLING: StreamStatus
STREAM_STATUS_DISABLED: StreamStatus
KEY_TYPE_UNSPECIFIED: KeyType
KEY_TYPE_HASH: KeyType
KEY_TYPE_RANGE: KeyType
RECORD_ORDER_UNSPECIFIED: RecordOrder
RECORD_ORDER_PER_SHARD: RecordOrder
RECORD_ORDER_BY_TIME: RecordOrder
READING_STATE_UNSPECIFIED: ReadingState
READING_STATE_UNREAD: ReadingState
READING_STATE_WAITING: ReadingState
READING_STATE_READING: ReadingState
READING_STATE_AT_TIP: ReadingState
READING_STATE_DRAINED: ReadingState
READING_STATE_TRIMMED: ReadingState

class ListStreamsRequest(_message.Message):
    __slots__ = ("table_name", "page_size", "page_token")
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    table_name: str
    page_size: int
    page_token: str
    def __init__(self, table_name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListStreamsResponse(_message.Message):
    __slots__ = ("streams", "next_page_token")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[StreamSummary]
    next_page_token: str
    def __init__(self, streams: _Optional[_Iterable[_Union[StreamSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class StreamSummary(_message.Message):
    __slots__ = ("stream_arn", "table_name", "stream_label")
    STREAM_ARN_FIELD_NUMBER: _ClassVar[int]
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    STREAM_LABEL_FIELD_NUMBER: _ClassVar[int]
    stream_arn: str
    table_name: str
    stream_label: str
    def __init__(self, stream_arn: _Optional[str] = ..., table_name: _Optional[str] = ..., stream_label: _Optional[str] = ...) -> None: ...

class DescribeStreamRequest(_message.Message):
    __slots__ = ("stream",)
    STREAM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    def __init__(self, stream: _Optional[str] = ...) -> None: ...

class DescribeStreamResponse(_message.Message):
    __slots__ = ("description",)
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    description: StreamDescription
    def __init__(self, description: _Optional[_Union[StreamDescription, _Mapping]] = ...) -> None: ...

class StreamDescription(_message.Message):
    __slots__ = ("stream_arn", "stream_label", "table_name", "status", "stream_view_type", "key_schema", "created_time")
    STREAM_ARN_FIELD_NUMBER: _ClassVar[int]
    STREAM_LABEL_FIELD_NUMBER: _ClassVar[int]
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STREAM_VIEW_TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    stream_arn: str
    stream_label: str
    table_name: str
    status: StreamStatus
    stream_view_type: _record_pb2.StreamViewType
    key_schema: _containers.RepeatedCompositeFieldContainer[KeySchemaElement]
    created_time: _timestamp_pb2.Timestamp
    def __init__(self, stream_arn: _Optional[str] = ..., stream_label: _Optional[str] = ..., table_name: _Optional[str] = ..., status: _Optional[_Union[StreamStatus, str]] = ..., stream_view_type: _Optional[_Union[_record_pb2.StreamViewType, str]] = ..., key_schema: _Optional[_Iterable[_Union[KeySchemaElement, _Mapping]]] = ..., created_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class KeySchemaElement(_message.Message):
    __slots__ = ("attribute_name", "key_type")
    ATTRIBUTE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_TYPE_FIELD_NUMBER: _ClassVar[int]
    attribute_name: str
    key_type: KeyType
    def __init__(self, attribute_name: _Optional[str] = ..., key_type: _Optional[_Union[KeyType, str]] = ...) -> None: ...

class ListShardsRequest(_message.Message):
    __slots__ = ("stream", "page_size", "page_token")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    stream: str
    page_size: int
    page_token: str
    def __init__(self, stream: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListShardsResponse(_message.Message):
    __slots__ = ("shards", "next_page_token", "shards_not_understood")
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SHARDS_NOT_UNDERSTOOD_FIELD_NUMBER: _ClassVar[int]
    shards: _containers.RepeatedCompositeFieldContainer[_position_pb2.Shard]
    next_page_token: str
    shards_not_understood: int
    def __init__(self, shards: _Optional[_Iterable[_Union[_position_pb2.Shard, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., shards_not_understood: _Optional[int] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("stream", "position", "token", "shard_tokens", "order", "merge_wait", "until", "max_batch_records", "max_batch_bytes", "heartbeat_interval", "checkpoint_interval", "gap_policy", "unreadable_policy")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SHARD_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    MERGE_WAIT_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    GAP_POLICY_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_POLICY_FIELD_NUMBER: _ClassVar[int]
    stream: str
    position: _position_pb2.Position
    token: str
    shard_tokens: _containers.RepeatedScalarFieldContainer[str]
    order: RecordOrder
    merge_wait: _duration_pb2.Duration
    until: _events_pb2.Until
    max_batch_records: int
    max_batch_bytes: int
    heartbeat_interval: _duration_pb2.Duration
    checkpoint_interval: _duration_pb2.Duration
    gap_policy: _events_pb2.GapPolicy
    unreadable_policy: _events_pb2.UnreadablePolicy
    def __init__(self, stream: _Optional[str] = ..., position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., token: _Optional[str] = ..., shard_tokens: _Optional[_Iterable[str]] = ..., order: _Optional[_Union[RecordOrder, str]] = ..., merge_wait: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., until: _Optional[_Union[_events_pb2.Until, _Mapping]] = ..., max_batch_records: _Optional[int] = ..., max_batch_bytes: _Optional[int] = ..., heartbeat_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., checkpoint_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., gap_policy: _Optional[_Union[_events_pb2.GapPolicy, str]] = ..., unreadable_policy: _Optional[_Union[_events_pb2.UnreadablePolicy, str]] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("records", "shard_id", "shard_token", "heartbeat", "shard_open", "shard_end", "gap", "unreadable", "stream_end", "end", "token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    SHARD_OPEN_FIELD_NUMBER: _ClassVar[int]
    SHARD_END_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    STREAM_END_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.ChangeRecord]
    shard_id: str
    shard_token: str
    heartbeat: _events_pb2.Heartbeat
    shard_open: _events_pb2.ShardOpen
    shard_end: _events_pb2.ShardEnd
    gap: _events_pb2.Gap
    unreadable: _events_pb2.Unreadable
    stream_end: _events_pb2.StreamEnd
    end: _events_pb2.End
    token: str
    def __init__(self, records: _Optional[_Iterable[_Union[_record_pb2.ChangeRecord, _Mapping]]] = ..., shard_id: _Optional[str] = ..., shard_token: _Optional[str] = ..., heartbeat: _Optional[_Union[_events_pb2.Heartbeat, _Mapping]] = ..., shard_open: _Optional[_Union[_events_pb2.ShardOpen, _Mapping]] = ..., shard_end: _Optional[_Union[_events_pb2.ShardEnd, _Mapping]] = ..., gap: _Optional[_Union[_events_pb2.Gap, _Mapping]] = ..., unreadable: _Optional[_Union[_events_pb2.Unreadable, _Mapping]] = ..., stream_end: _Optional[_Union[_events_pb2.StreamEnd, _Mapping]] = ..., end: _Optional[_Union[_events_pb2.End, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...

class WatchShardsRequest(_message.Message):
    __slots__ = ("stream", "interval")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    stream: str
    interval: _duration_pb2.Duration
    def __init__(self, stream: _Optional[str] = ..., interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchShardsResponse(_message.Message):
    __slots__ = ("stream_arn", "status", "shards", "removed_shard_ids", "complete", "listed_time", "shards_not_understood")
    STREAM_ARN_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_SHARD_IDS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LISTED_TIME_FIELD_NUMBER: _ClassVar[int]
    SHARDS_NOT_UNDERSTOOD_FIELD_NUMBER: _ClassVar[int]
    stream_arn: str
    status: StreamStatus
    shards: _containers.RepeatedCompositeFieldContainer[ShardProgress]
    removed_shard_ids: _containers.RepeatedScalarFieldContainer[str]
    complete: bool
    listed_time: _timestamp_pb2.Timestamp
    shards_not_understood: int
    def __init__(self, stream_arn: _Optional[str] = ..., status: _Optional[_Union[StreamStatus, str]] = ..., shards: _Optional[_Iterable[_Union[ShardProgress, _Mapping]]] = ..., removed_shard_ids: _Optional[_Iterable[str]] = ..., complete: bool = ..., listed_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., shards_not_understood: _Optional[int] = ...) -> None: ...

class ShardProgress(_message.Message):
    __slots__ = ("shard", "state", "sequence_number", "lag", "time_to_trim", "lanes", "subscribers")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_TRIM_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBERS_FIELD_NUMBER: _ClassVar[int]
    shard: _position_pb2.Shard
    state: ReadingState
    sequence_number: str
    lag: _duration_pb2.Duration
    time_to_trim: _duration_pb2.Duration
    lanes: int
    subscribers: int
    def __init__(self, shard: _Optional[_Union[_position_pb2.Shard, _Mapping]] = ..., state: _Optional[_Union[ReadingState, str]] = ..., sequence_number: _Optional[str] = ..., lag: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., time_to_trim: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., lanes: _Optional[int] = ..., subscribers: _Optional[int] = ...) -> None: ...
