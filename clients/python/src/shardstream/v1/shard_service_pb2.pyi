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

class SeekOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEEK_OUTCOME_UNSPECIFIED: _ClassVar[SeekOutcome]
    SEEK_OUTCOME_FOUND: _ClassVar[SeekOutcome]
    SEEK_OUTCOME_AT_TIP: _ClassVar[SeekOutcome]
    SEEK_OUTCOME_SHARD_ENDED: _ClassVar[SeekOutcome]
SEEK_OUTCOME_UNSPECIFIED: SeekOutcome
SEEK_OUTCOME_FOUND: SeekOutcome
SEEK_OUTCOME_AT_TIP: SeekOutcome
SEEK_OUTCOME_SHARD_ENDED: SeekOutcome

class Lease(_message.Message):
    __slots__ = ("lease_id", "duration", "expire_time")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    duration: _duration_pb2.Duration
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, lease_id: _Optional[str] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ShardSession(_message.Message):
    __slots__ = ("lease", "stream_arn", "shard_id", "parent_shard_id", "position", "token", "exhausted", "at_tip", "streaming_position")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    STREAM_ARN_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXHAUSTED_FIELD_NUMBER: _ClassVar[int]
    AT_TIP_FIELD_NUMBER: _ClassVar[int]
    STREAMING_POSITION_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    stream_arn: str
    shard_id: str
    parent_shard_id: str
    position: _position_pb2.Position
    token: str
    exhausted: bool
    at_tip: bool
    streaming_position: _position_pb2.Position
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., stream_arn: _Optional[str] = ..., shard_id: _Optional[str] = ..., parent_shard_id: _Optional[str] = ..., position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., token: _Optional[str] = ..., exhausted: bool = ..., at_tip: bool = ..., streaming_position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ...) -> None: ...

class OpenShardRequest(_message.Message):
    __slots__ = ("shard", "position", "token", "lease_duration")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEASE_DURATION_FIELD_NUMBER: _ClassVar[int]
    shard: _position_pb2.ShardName
    position: _position_pb2.Position
    token: str
    lease_duration: _duration_pb2.Duration
    def __init__(self, shard: _Optional[_Union[_position_pb2.ShardName, _Mapping]] = ..., position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., token: _Optional[str] = ..., lease_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class OpenShardResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: ShardSession
    def __init__(self, session: _Optional[_Union[ShardSession, _Mapping]] = ...) -> None: ...

class GetShardSessionRequest(_message.Message):
    __slots__ = ("lease_id",)
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    def __init__(self, lease_id: _Optional[str] = ...) -> None: ...

class GetShardSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: ShardSession
    def __init__(self, session: _Optional[_Union[ShardSession, _Mapping]] = ...) -> None: ...

class RenewLeaseRequest(_message.Message):
    __slots__ = ("lease_id",)
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    def __init__(self, lease_id: _Optional[str] = ...) -> None: ...

class RenewLeaseResponse(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ...) -> None: ...

class CloseShardRequest(_message.Message):
    __slots__ = ("lease_id",)
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    def __init__(self, lease_id: _Optional[str] = ...) -> None: ...

class CloseShardResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class JumpToRequest(_message.Message):
    __slots__ = ("lease_id", "position", "token")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    position: _position_pb2.Position
    token: str
    def __init__(self, lease_id: _Optional[str] = ..., position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...

class JumpToResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: ShardSession
    def __init__(self, session: _Optional[_Union[ShardSession, _Mapping]] = ...) -> None: ...

class SeekToRequest(_message.Message):
    __slots__ = ("lease_id", "shard", "time", "max_records", "max_bytes")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    shard: _position_pb2.ShardName
    time: _timestamp_pb2.Timestamp
    max_records: int
    max_bytes: int
    def __init__(self, lease_id: _Optional[str] = ..., shard: _Optional[_Union[_position_pb2.ShardName, _Mapping]] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., max_records: _Optional[int] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class SeekToResponse(_message.Message):
    __slots__ = ("records", "outcome", "from_horizon", "token", "session")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FROM_HORIZON_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.ChangeRecord]
    outcome: SeekOutcome
    from_horizon: bool
    token: str
    session: ShardSession
    def __init__(self, records: _Optional[_Iterable[_Union[_record_pb2.ChangeRecord, _Mapping]]] = ..., outcome: _Optional[_Union[SeekOutcome, str]] = ..., from_horizon: bool = ..., token: _Optional[str] = ..., session: _Optional[_Union[ShardSession, _Mapping]] = ...) -> None: ...

class GetRecordsRequest(_message.Message):
    __slots__ = ("lease_id", "start", "max_records", "max_bytes", "wait", "request_id", "unreadable_policy")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_POLICY_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    start: _position_pb2.ShardStart
    max_records: int
    max_bytes: int
    wait: _duration_pb2.Duration
    request_id: str
    unreadable_policy: _events_pb2.UnreadablePolicy
    def __init__(self, lease_id: _Optional[str] = ..., start: _Optional[_Union[_position_pb2.ShardStart, _Mapping]] = ..., max_records: _Optional[int] = ..., max_bytes: _Optional[int] = ..., wait: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ..., unreadable_policy: _Optional[_Union[_events_pb2.UnreadablePolicy, str]] = ...) -> None: ...

class GetRecordsResponse(_message.Message):
    __slots__ = ("records", "token", "exhausted", "at_tip", "observed_time", "repeated", "unreadable", "session")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXHAUSTED_FIELD_NUMBER: _ClassVar[int]
    AT_TIP_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_TIME_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.ChangeRecord]
    token: str
    exhausted: bool
    at_tip: bool
    observed_time: _timestamp_pb2.Timestamp
    repeated: bool
    unreadable: _containers.RepeatedCompositeFieldContainer[_events_pb2.Unreadable]
    session: ShardSession
    def __init__(self, records: _Optional[_Iterable[_Union[_record_pb2.ChangeRecord, _Mapping]]] = ..., token: _Optional[str] = ..., exhausted: bool = ..., at_tip: bool = ..., observed_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., repeated: bool = ..., unreadable: _Optional[_Iterable[_Union[_events_pb2.Unreadable, _Mapping]]] = ..., session: _Optional[_Union[ShardSession, _Mapping]] = ...) -> None: ...

class ListChildrenRequest(_message.Message):
    __slots__ = ("lease_id", "shard")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    shard: _position_pb2.ShardName
    def __init__(self, lease_id: _Optional[str] = ..., shard: _Optional[_Union[_position_pb2.ShardName, _Mapping]] = ...) -> None: ...

class ListChildrenResponse(_message.Message):
    __slots__ = ("children", "complete")
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    children: _containers.RepeatedCompositeFieldContainer[_position_pb2.Shard]
    complete: bool
    def __init__(self, children: _Optional[_Iterable[_Union[_position_pb2.Shard, _Mapping]]] = ..., complete: bool = ...) -> None: ...

class WalkTreeRequest(_message.Message):
    __slots__ = ("lease_id", "shard")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    shard: _position_pb2.ShardName
    def __init__(self, lease_id: _Optional[str] = ..., shard: _Optional[_Union[_position_pb2.ShardName, _Mapping]] = ...) -> None: ...

class WalkTreeResponse(_message.Message):
    __slots__ = ("shard", "depth")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    shard: _position_pb2.Shard
    depth: int
    def __init__(self, shard: _Optional[_Union[_position_pb2.Shard, _Mapping]] = ..., depth: _Optional[int] = ...) -> None: ...

class StreamRecordsRequest(_message.Message):
    __slots__ = ("lease_id", "start", "token", "until", "max_batch_records", "max_batch_bytes", "heartbeat_interval", "gap_policy", "unreadable_policy")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    GAP_POLICY_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_POLICY_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    start: _position_pb2.ShardStart
    token: str
    until: _events_pb2.Until
    max_batch_records: int
    max_batch_bytes: int
    heartbeat_interval: _duration_pb2.Duration
    gap_policy: _events_pb2.GapPolicy
    unreadable_policy: _events_pb2.UnreadablePolicy
    def __init__(self, lease_id: _Optional[str] = ..., start: _Optional[_Union[_position_pb2.ShardStart, _Mapping]] = ..., token: _Optional[str] = ..., until: _Optional[_Union[_events_pb2.Until, _Mapping]] = ..., max_batch_records: _Optional[int] = ..., max_batch_bytes: _Optional[int] = ..., heartbeat_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., gap_policy: _Optional[_Union[_events_pb2.GapPolicy, str]] = ..., unreadable_policy: _Optional[_Union[_events_pb2.UnreadablePolicy, str]] = ...) -> None: ...

class StreamRecordsResponse(_message.Message):
    __slots__ = ("records", "shard_id", "shard_token", "heartbeat", "shard_end", "gap", "unreadable", "end", "token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    SHARD_END_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.ChangeRecord]
    shard_id: str
    shard_token: str
    heartbeat: _events_pb2.Heartbeat
    shard_end: _events_pb2.ShardEnd
    gap: _events_pb2.Gap
    unreadable: _events_pb2.Unreadable
    end: _events_pb2.End
    token: str
    def __init__(self, records: _Optional[_Iterable[_Union[_record_pb2.ChangeRecord, _Mapping]]] = ..., shard_id: _Optional[str] = ..., shard_token: _Optional[str] = ..., heartbeat: _Optional[_Union[_events_pb2.Heartbeat, _Mapping]] = ..., shard_end: _Optional[_Union[_events_pb2.ShardEnd, _Mapping]] = ..., gap: _Optional[_Union[_events_pb2.Gap, _Mapping]] = ..., unreadable: _Optional[_Union[_events_pb2.Unreadable, _Mapping]] = ..., end: _Optional[_Union[_events_pb2.End, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...
