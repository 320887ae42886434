from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChangeType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_TYPE_UNSPECIFIED: _ClassVar[ChangeType]
    CHANGE_TYPE_INSERT: _ClassVar[ChangeType]
    CHANGE_TYPE_MODIFY: _ClassVar[ChangeType]
    CHANGE_TYPE_REMOVE: _ClassVar[ChangeType]

class StreamViewType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_VIEW_TYPE_UNSPECIFIED: _ClassVar[StreamViewType]
    STREAM_VIEW_TYPE_KEYS_ONLY: _ClassVar[StreamViewType]
    STREAM_VIEW_TYPE_NEW_IMAGE: _ClassVar[StreamViewType]
    STREAM_VIEW_TYPE_OLD_IMAGE: _ClassVar[StreamViewType]
    STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES: _ClassVar[StreamViewType]
CHANGE_TYPE_UNSPECIFIED: ChangeType
CHANGE_TYPE_INSERT: ChangeType
CHANGE_TYPE_MODIFY: ChangeType
CHANGE_TYPE_REMOVE: ChangeType
STREAM_VIEW_TYPE_UNSPECIFIED: StreamViewType
STREAM_VIEW_TYPE_KEYS_ONLY: StreamViewType
STREAM_VIEW_TYPE_NEW_IMAGE: StreamViewType
STREAM_VIEW_TYPE_OLD_IMAGE: StreamViewType
STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES: StreamViewType

class ChangeRecord(_message.Message):
    __slots__ = ("key", "new_image", "old_image", "meta")
    class KeyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class NewImageEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    class OldImageEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    NEW_IMAGE_FIELD_NUMBER: _ClassVar[int]
    OLD_IMAGE_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    key: _containers.MessageMap[str, AttributeValue]
    new_image: _containers.MessageMap[str, AttributeValue]
    old_image: _containers.MessageMap[str, AttributeValue]
    meta: Meta
    def __init__(self, key: _Optional[_Mapping[str, AttributeValue]] = ..., new_image: _Optional[_Mapping[str, AttributeValue]] = ..., old_image: _Optional[_Mapping[str, AttributeValue]] = ..., meta: _Optional[_Union[Meta, _Mapping]] = ...) -> None: ...

class Meta(_message.Message):
    __slots__ = ("created_at", "change", "sequence_number", "size_bytes", "stream_view_type", "user_identity", "aws_region", "event_source")
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STREAM_VIEW_TYPE_FIELD_NUMBER: _ClassVar[int]
    USER_IDENTITY_FIELD_NUMBER: _ClassVar[int]
    AWS_REGION_FIELD_NUMBER: _ClassVar[int]
    EVENT_SOURCE_FIELD_NUMBER: _ClassVar[int]
    created_at: _timestamp_pb2.Timestamp
    change: Change
    sequence_number: str
    size_bytes: int
    stream_view_type: StreamViewType
    user_identity: UserIdentity
    aws_region: str
    event_source: str
    def __init__(self, created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., change: _Optional[_Union[Change, _Mapping]] = ..., sequence_number: _Optional[str] = ..., size_bytes: _Optional[int] = ..., stream_view_type: _Optional[_Union[StreamViewType, str]] = ..., user_identity: _Optional[_Union[UserIdentity, _Mapping]] = ..., aws_region: _Optional[str] = ..., event_source: _Optional[str] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("id", "type", "version", "name")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: ChangeType
    version: str
    name: str
    def __init__(self, id: _Optional[str] = ..., type: _Optional[_Union[ChangeType, str]] = ..., version: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class UserIdentity(_message.Message):
    __slots__ = ("type", "principal_id")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    type: str
    principal_id: str
    def __init__(self, type: _Optional[str] = ..., principal_id: _Optional[str] = ...) -> None: ...

class AttributeValue(_message.Message):
    __slots__ = ("s", "n", "b", "ss", "ns", "bs", "m", "l", "null_value", "bool_value")
    S_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    SS_FIELD_NUMBER: _ClassVar[int]
    NS_FIELD_NUMBER: _ClassVar[int]
    BS_FIELD_NUMBER: _ClassVar[int]
    M_FIELD_NUMBER: _ClassVar[int]
    L_FIELD_NUMBER: _ClassVar[int]
    NULL_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    s: str
    n: str
    b: bytes
    ss: StringSet
    ns: NumberSet
    bs: BinarySet
    m: AttributeMap
    l: AttributeList
    null_value: bool
    bool_value: bool
    def __init__(self, s: _Optional[str] = ..., n: _Optional[str] = ..., b: _Optional[bytes] = ..., ss: _Optional[_Union[StringSet, _Mapping]] = ..., ns: _Optional[_Union[NumberSet, _Mapping]] = ..., bs: _Optional[_Union[BinarySet, _Mapping]] = ..., m: _Optional[_Union[AttributeMap, _Mapping]] = ..., l: _Optional[_Union[AttributeList, _Mapping]] = ..., null_value: bool = ..., bool_value: bool = ...) -> None: ...

class StringSet(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class NumberSet(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class BinarySet(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AttributeMap(_message.Message):
    __slots__ = ("entries",)
    class EntriesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.MessageMap[str, AttributeValue]
    def __init__(self, entries: _Optional[_Mapping[str, AttributeValue]] = ...) -> None: ...

class AttributeList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[AttributeValue]
    def __init__(self, values: _Optional[_Iterable[_Union[AttributeValue, _Mapping]]] = ...) -> None: ...
