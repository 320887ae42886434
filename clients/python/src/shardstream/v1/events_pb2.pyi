from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from shardstream.v1 import position_pb2 as _position_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GapCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAP_CAUSE_UNSPECIFIED: _ClassVar[GapCause]
    GAP_CAUSE_TRIMMED: _ClassVar[GapCause]
    GAP_CAUSE_SHARD_EXPIRED: _ClassVar[GapCause]
    GAP_CAUSE_STREAM_REPLACED: _ClassVar[GapCause]

class EndReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_REASON_UNSPECIFIED: _ClassVar[EndReason]
    END_REASON_SHARD_END: _ClassVar[EndReason]
    END_REASON_STREAM_END: _ClassVar[EndReason]
    END_REASON_LIMIT: _ClassVar[EndReason]
    END_REASON_DRAINING: _ClassVar[EndReason]
    END_REASON_MAX_AGE: _ClassVar[EndReason]
    END_REASON_UPSTREAM: _ClassVar[EndReason]
    END_REASON_SUPERSEDED: _ClassVar[EndReason]
    END_REASON_LEASE_CLOSED: _ClassVar[EndReason]
    END_REASON_GAP: _ClassVar[EndReason]
    END_REASON_UNREADABLE: _ClassVar[EndReason]
    END_REASON_CATCH_UP_LIMIT: _ClassVar[EndReason]
    END_REASON_DEADLINE: _ClassVar[EndReason]
    END_REASON_REFUSED: _ClassVar[EndReason]
    END_REASON_SHARD_LIMIT: _ClassVar[EndReason]

class GapPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAP_POLICY_UNSPECIFIED: _ClassVar[GapPolicy]
    GAP_POLICY_FAIL: _ClassVar[GapPolicy]
    GAP_POLICY_CONTINUE: _ClassVar[GapPolicy]

class UnreadablePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNREADABLE_POLICY_UNSPECIFIED: _ClassVar[UnreadablePolicy]
    UNREADABLE_POLICY_FAIL: _ClassVar[UnreadablePolicy]
    UNREADABLE_POLICY_SKIP: _ClassVar[UnreadablePolicy]
GAP_CAUSE_UNSPECIFIED: GapCause
GAP_CAUSE_TRIMMED: GapCause
GAP_CAUSE_SHARD_EXPIRED: GapCause
GAP_CAUSE_STREAM_REPLACED: GapCause
END_REASON_UNSPECIFIED: EndReason
END_REASON_SHARD_END: EndReason
END_REASON_STREAM_END: EndReason
END_REASON_LIMIT: EndReason
END_REASON_DRAINING: EndReason
END_REASON_MAX_AGE: EndReason
END_REASON_UPSTREAM: EndReason
END_REASON_SUPERSEDED: EndReason
END_REASON_LEASE_CLOSED: EndReason
END_REASON_GAP: EndReason
END_REASON_UNREADABLE: EndReason
END_REASON_CATCH_UP_LIMIT: EndReason
END_REASON_DEADLINE: EndReason
END_REASON_REFUSED: EndReason
END_REASON_SHARD_LIMIT: EndReason
GAP_POLICY_UNSPECIFIED: GapPolicy
GAP_POLICY_FAIL: GapPolicy
GAP_POLICY_CONTINUE: GapPolicy
UNREADABLE_POLICY_UNSPECIFIED: UnreadablePolicy
UNREADABLE_POLICY_FAIL: UnreadablePolicy
UNREADABLE_POLICY_SKIP: UnreadablePolicy

class Heartbeat(_message.Message):
    __slots__ = ("at_tip", "lag", "observed_time", "upstream_error", "shards_over_limit", "shards_not_understood")
    AT_TIP_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_TIME_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_ERROR_FIELD_NUMBER: _ClassVar[int]
    SHARDS_OVER_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SHARDS_NOT_UNDERSTOOD_FIELD_NUMBER: _ClassVar[int]
    at_tip: bool
    lag: _duration_pb2.Duration
    observed_time: _timestamp_pb2.Timestamp
    upstream_error: str
    shards_over_limit: int
    shards_not_understood: int
    def __init__(self, at_tip: bool = ..., lag: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., observed_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., upstream_error: _Optional[str] = ..., shards_over_limit: _Optional[int] = ..., shards_not_understood: _Optional[int] = ...) -> None: ...

class ShardOpen(_message.Message):
    __slots__ = ("shard",)
    SHARD_FIELD_NUMBER: _ClassVar[int]
    shard: _position_pb2.Shard
    def __init__(self, shard: _Optional[_Union[_position_pb2.Shard, _Mapping]] = ...) -> None: ...

class ShardEnd(_message.Message):
    __slots__ = ("shard_id", "children", "complete")
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    shard_id: str
    children: _containers.RepeatedCompositeFieldContainer[_position_pb2.Shard]
    complete: bool
    def __init__(self, shard_id: _Optional[str] = ..., children: _Optional[_Iterable[_Union[_position_pb2.Shard, _Mapping]]] = ..., complete: bool = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("shard_id", "after_sequence_number", "after_time", "before_sequence_number", "cause", "certain", "detected_time")
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    AFTER_TIME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    CERTAIN_FIELD_NUMBER: _ClassVar[int]
    DETECTED_TIME_FIELD_NUMBER: _ClassVar[int]
    shard_id: str
    after_sequence_number: str
    after_time: _timestamp_pb2.Timestamp
    before_sequence_number: str
    cause: GapCause
    certain: bool
    detected_time: _timestamp_pb2.Timestamp
    def __init__(self, shard_id: _Optional[str] = ..., after_sequence_number: _Optional[str] = ..., after_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., before_sequence_number: _Optional[str] = ..., cause: _Optional[_Union[GapCause, str]] = ..., certain: bool = ..., detected_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class StreamEnd(_message.Message):
    __slots__ = ("stream_arn", "next_stream_arn")
    STREAM_ARN_FIELD_NUMBER: _ClassVar[int]
    NEXT_STREAM_ARN_FIELD_NUMBER: _ClassVar[int]
    stream_arn: str
    next_stream_arn: str
    def __init__(self, stream_arn: _Optional[str] = ..., next_stream_arn: _Optional[str] = ...) -> None: ...

class Unreadable(_message.Message):
    __slots__ = ("shard_id", "sequence_number", "after_sequence_number", "cause")
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    shard_id: str
    sequence_number: str
    after_sequence_number: str
    cause: str
    def __init__(self, shard_id: _Optional[str] = ..., sequence_number: _Optional[str] = ..., after_sequence_number: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("reason", "retry_delay", "detail")
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    reason: EndReason
    retry_delay: _duration_pb2.Duration
    detail: str
    def __init__(self, reason: _Optional[_Union[EndReason, str]] = ..., retry_delay: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., detail: _Optional[str] = ...) -> None: ...

class Until(_message.Message):
    __slots__ = ("record_count", "time", "at_tip")
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    AT_TIP_FIELD_NUMBER: _ClassVar[int]
    record_count: int
    time: _timestamp_pb2.Timestamp
    at_tip: bool
    def __init__(self, record_count: _Optional[int] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., at_tip: bool = ...) -> None: ...
