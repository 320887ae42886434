from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EndpointKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENDPOINT_KIND_UNSPECIFIED: _ClassVar[EndpointKind]
    ENDPOINT_KIND_AWS: _ClassVar[EndpointKind]
    ENDPOINT_KIND_CUSTOM: _ClassVar[EndpointKind]
    ENDPOINT_KIND_EMBEDDED: _ClassVar[EndpointKind]
ENDPOINT_KIND_UNSPECIFIED: EndpointKind
ENDPOINT_KIND_AWS: EndpointKind
ENDPOINT_KIND_CUSTOM: EndpointKind
ENDPOINT_KIND_EMBEDDED: EndpointKind

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "upstream", "limits", "defaults", "features")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    version: str
    upstream: UpstreamInfo
    limits: ServerLimits
    defaults: ServerDefaults
    features: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[str] = ..., upstream: _Optional[_Union[UpstreamInfo, _Mapping]] = ..., limits: _Optional[_Union[ServerLimits, _Mapping]] = ..., defaults: _Optional[_Union[ServerDefaults, _Mapping]] = ..., features: _Optional[_Iterable[str]] = ...) -> None: ...

class UpstreamInfo(_message.Message):
    __slots__ = ("region", "endpoint_kind", "knows_at_timestamp", "knows_child_shards")
    REGION_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_KIND_FIELD_NUMBER: _ClassVar[int]
    KNOWS_AT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    KNOWS_CHILD_SHARDS_FIELD_NUMBER: _ClassVar[int]
    region: str
    endpoint_kind: EndpointKind
    knows_at_timestamp: bool
    knows_child_shards: bool
    def __init__(self, region: _Optional[str] = ..., endpoint_kind: _Optional[_Union[EndpointKind, str]] = ..., knows_at_timestamp: bool = ..., knows_child_shards: bool = ...) -> None: ...

class ServerLimits(_message.Message):
    __slots__ = ("min_lease_duration", "max_lease_duration", "max_wait", "max_records", "max_bytes", "max_batch_records", "min_batch_bytes", "max_batch_bytes", "min_heartbeat_interval", "max_heartbeat_interval", "max_page_size", "max_sessions", "max_streams", "max_stream_age", "max_upstream_outage")
    MIN_LEASE_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_LEASE_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MIN_BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    MIN_HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    MAX_HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    MAX_PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAM_AGE_FIELD_NUMBER: _ClassVar[int]
    MAX_UPSTREAM_OUTAGE_FIELD_NUMBER: _ClassVar[int]
    min_lease_duration: _duration_pb2.Duration
    max_lease_duration: _duration_pb2.Duration
    max_wait: _duration_pb2.Duration
    max_records: int
    max_bytes: int
    max_batch_records: int
    min_batch_bytes: int
    max_batch_bytes: int
    min_heartbeat_interval: _duration_pb2.Duration
    max_heartbeat_interval: _duration_pb2.Duration
    max_page_size: int
    max_sessions: int
    max_streams: int
    max_stream_age: _duration_pb2.Duration
    max_upstream_outage: _duration_pb2.Duration
    def __init__(self, min_lease_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_lease_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_wait: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_records: _Optional[int] = ..., max_bytes: _Optional[int] = ..., max_batch_records: _Optional[int] = ..., min_batch_bytes: _Optional[int] = ..., max_batch_bytes: _Optional[int] = ..., min_heartbeat_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_heartbeat_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_page_size: _Optional[int] = ..., max_sessions: _Optional[int] = ..., max_streams: _Optional[int] = ..., max_stream_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_upstream_outage: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ServerDefaults(_message.Message):
    __slots__ = ("lease_duration", "max_records", "max_bytes", "max_batch_records", "max_batch_bytes", "heartbeat_interval", "page_size")
    LEASE_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    lease_duration: _duration_pb2.Duration
    max_records: int
    max_bytes: int
    max_batch_records: int
    max_batch_bytes: int
    heartbeat_interval: _duration_pb2.Duration
    page_size: int
    def __init__(self, lease_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_records: _Optional[int] = ..., max_bytes: _Optional[int] = ..., max_batch_records: _Optional[int] = ..., max_batch_bytes: _Optional[int] = ..., heartbeat_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., page_size: _Optional[int] = ...) -> None: ...
