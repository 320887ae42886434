from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IteratorType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ITERATOR_TYPE_UNSPECIFIED: _ClassVar[IteratorType]
    ITERATOR_TYPE_TRIM_HORIZON: _ClassVar[IteratorType]
    ITERATOR_TYPE_LATEST: _ClassVar[IteratorType]
    ITERATOR_TYPE_AT_SEQUENCE_NUMBER: _ClassVar[IteratorType]
    ITERATOR_TYPE_AFTER_SEQUENCE_NUMBER: _ClassVar[IteratorType]
    ITERATOR_TYPE_AT_TIMESTAMP: _ClassVar[IteratorType]

class ShardState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHARD_STATE_UNSPECIFIED: _ClassVar[ShardState]
    SHARD_STATE_OPEN: _ClassVar[ShardState]
    SHARD_STATE_CLOSED: _ClassVar[ShardState]
ITERATOR_TYPE_UNSPECIFIED: IteratorType
ITERATOR_TYPE_TRIM_HORIZON: IteratorType
ITERATOR_TYPE_LATEST: IteratorType
ITERATOR_TYPE_AT_SEQUENCE_NUMBER: IteratorType
ITERATOR_TYPE_AFTER_SEQUENCE_NUMBER: IteratorType
ITERATOR_TYPE_AT_TIMESTAMP: IteratorType
SHARD_STATE_UNSPECIFIED: ShardState
SHARD_STATE_OPEN: ShardState
SHARD_STATE_CLOSED: ShardState

class ShardName(_message.Message):
    __slots__ = ("stream", "shard_id")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    stream: str
    shard_id: str
    def __init__(self, stream: _Optional[str] = ..., shard_id: _Optional[str] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("iterator_type", "sequence_number", "time")
    ITERATOR_TYPE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    iterator_type: IteratorType
    sequence_number: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, iterator_type: _Optional[_Union[IteratorType, str]] = ..., sequence_number: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ShardStart(_message.Message):
    __slots__ = ("shard", "position", "token")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    shard: ShardName
    position: Position
    token: str
    def __init__(self, shard: _Optional[_Union[ShardName, _Mapping]] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...

class Shard(_message.Message):
    __slots__ = ("stream_arn", "shard_id", "parent_shard_id", "starting_sequence_number", "ending_sequence_number", "state", "created_time")
    STREAM_ARN_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    STARTING_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENDING_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    stream_arn: str
    shard_id: str
    parent_shard_id: str
    starting_sequence_number: str
    ending_sequence_number: str
    state: ShardState
    created_time: _timestamp_pb2.Timestamp
    def __init__(self, stream_arn: _Optional[str] = ..., shard_id: _Optional[str] = ..., parent_shard_id: _Optional[str] = ..., starting_sequence_number: _Optional[str] = ..., ending_sequence_number: _Optional[str] = ..., state: _Optional[_Union[ShardState, str]] = ..., created_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
