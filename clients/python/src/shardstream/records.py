"""What a stream gives: records, and what happened to them."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .v1 import events_pb2, record_pb2
from .values import Numbers, from_attributes, same


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
"""Stands in `Record.changed()` for an attribute that an image does not have."""


class Record:
    """One change of one item. Values are made when they are first asked for; `raw` is the message as it came."""

    def __init__(self, raw: record_pb2.ChangeRecord, shard_id: str = "", numbers: Numbers = decimal.Decimal) -> None:
        self.raw = raw
        self.shard_id = shard_id
        self._numbers = numbers

    @cached_property
    def key(self) -> dict[str, Any]:
        """The item's primary key."""
        return from_attributes(self.raw.key, self._numbers)

    @cached_property
    def new_image(self) -> dict[str, Any] | None:
        """The item after the change. None when it was removed, or the stream does not carry this image."""
        return from_attributes(self.raw.new_image, self._numbers) or None

    @cached_property
    def old_image(self) -> dict[str, Any] | None:
        """The item before the change. None when it was inserted, or the stream does not carry this image."""
        return from_attributes(self.raw.old_image, self._numbers) or None

    @property
    def type(self) -> str:
        """`INSERT`, `MODIFY`, `REMOVE`, or AWS's own word for a kind that came later."""
        return self.raw.meta.change.name or _word(record_pb2.ChangeType, self.raw.meta.change.type)

    @property
    def id(self) -> str:
        """AWS's id of the change: the same whenever the record is read again. Empty when AWS gave none."""
        return self.raw.meta.change.id

    @property
    def sequence_number(self) -> str:
        """The record's place in its shard: digits, to be compared as an integer."""
        return self.raw.meta.sequence_number

    @property
    def created_at(self) -> datetime.datetime | None:
        """When the change was made, to the second. None when AWS did not say."""
        return _time(self.raw.meta, "created_at")

    @property
    def by_time_to_live(self) -> bool:
        """Whether time to live deleted the item, and no writer."""
        return self.raw.meta.user_identity.principal_id == "dynamodb.amazonaws.com"

    def changed(self) -> dict[str, tuple[Any, Any]]:
        """The attributes that differ, each with its old and new value; `ABSENT` where an image does not have it.

        ValueError unless the stream carries both images.
        """
        view = self.raw.meta.stream_view_type
        if view not in (record_pb2.STREAM_VIEW_TYPE_UNSPECIFIED, record_pb2.STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES):
            raise ValueError("the stream does not carry both images: its view type is not NEW_AND_OLD_IMAGES")
        old, new = self.old_image or {}, self.new_image or {}
        pairs = {name: (old.get(name, ABSENT), new.get(name, ABSENT)) for name in [*old, *(new.keys() - old.keys())]}
        return {name: pair for name, pair in pairs.items() if not same(*pair)}

    def __repr__(self) -> str:
        return f"<Record {self.type} {self.key} {self.shard_id} {self.sequence_number}>"


@dataclass(frozen=True)
class Gap:
    """Records are gone (`certain`), or may be."""

    shard_id: str
    cause: str
    """`TRIMMED`, `SHARD_EXPIRED`, `STREAM_REPLACED`, or `UNKNOWN` for one that came later."""
    certain: bool
    after_sequence_number: str
    before_sequence_number: str
    after_time: datetime.datetime | None
    detected_time: datetime.datetime | None


@dataclass(frozen=True)
class Unreadable:
    """One record that cannot be read, in its place between the others."""

    shard_id: str
    sequence_number: str
    after_sequence_number: str
    cause: str


Event = Gap | Unreadable | events_pb2.ShardOpen | events_pb2.ShardEnd | events_pb2.StreamEnd | events_pb2.Heartbeat


@dataclass(frozen=True)
class Message:
    """Records of one shard, or one event. Iterating gives the records."""

    shard_id: str = ""
    records: list[Record] = field(default_factory=list)
    event: Event | None = None
    token: str = ""
    """The server's token, which covers everything up to here. Empty when none was due; see `Subscription.position`."""

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)


@dataclass(frozen=True)
class Batch:
    """The answer of one read. Records or `exhausted`, never both."""

    records: list[Record]
    token: str
    exhausted: bool = False
    at_tip: bool = False
    unreadable: list[Unreadable] = field(default_factory=list)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)


def gap_of(raw: events_pb2.Gap) -> Gap:
    """The `Gap` of its message."""
    times = _time(raw, "after_time"), _time(raw, "detected_time")
    cause = _word(events_pb2.GapCause, raw.cause) or "UNKNOWN"
    return Gap(raw.shard_id, cause, raw.certain, raw.after_sequence_number, raw.before_sequence_number, *times)


def unreadable_of(raw: events_pb2.Unreadable) -> Unreadable:
    """The `Unreadable` of its message."""
    return Unreadable(raw.shard_id, raw.sequence_number, raw.after_sequence_number, raw.cause)


def _time(message: Any, name: str) -> datetime.datetime | None:
    found: datetime.datetime = getattr(message, name).ToDatetime(datetime.timezone.utc)
    return found if message.HasField(name) else None


def _word(enum: Any, value: int) -> str:
    """The last words of an enum value's name. Empty for UNSPECIFIED and for values that came later."""
    if value == 0 or value not in enum.values():
        return ""
    prefix = {"ChangeType": "CHANGE_TYPE_", "GapCause": "GAP_CAUSE_"}[enum.DESCRIPTOR.name]
    return str(enum.Name(value)).removeprefix(prefix)
