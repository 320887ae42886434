"""DynamoDB values as Python values, and back, without loss."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .v1 import record_pb2 as pb


class Number(str):
    """A number as the text that DynamoDB sends; `connect(numbers=Number)` gives these instead of `Decimal`."""

    __slots__ = ()


class StringSet(frozenset[str]):
    """DynamoDB's SS. A class of its own, so that an empty set keeps its type."""


class NumberSet(frozenset[Any]):
    """DynamoDB's NS."""


class BinarySet(frozenset[bytes]):
    """DynamoDB's BS."""


@dataclass(frozen=True)
class UnknownValue:
    """A value of a type that this release does not know; `raw` still has all of it."""

    raw: pb.AttributeValue


Numbers = Callable[[str], Any]


def from_attribute(raw: pb.AttributeValue, numbers: Numbers = decimal.Decimal) -> Any:
    """The Python value of one attribute: str, Decimal, bytes, a set, dict, list, None or bool."""
    kind = raw.WhichOneof("value")
    # The most frequent first; by name, for a name that is looked up costs more.
    if kind == "s":
        return raw.s
    if kind == "n":
        return numbers(raw.n)
    if kind == "bool_value":
        return raw.bool_value
    if kind == "b":
        return raw.b
    if kind == "m":
        return from_attributes(raw.m.entries, numbers)
    if kind == "l":
        return [from_attribute(value, numbers) for value in raw.l.values]
    if kind == "null_value":
        return None
    if kind == "ss":
        return StringSet(raw.ss.values)
    if kind == "ns":
        return NumberSet(map(numbers, raw.ns.values))
    if kind == "bs":
        return BinarySet(raw.bs.values)
    return UnknownValue(raw)


def from_attributes(raw: Mapping[str, pb.AttributeValue], numbers: Numbers = decimal.Decimal) -> dict[str, Any]:
    """The Python values of a map of attributes."""
    # Not by `items`, which maps of protobuf have from `collections.abc`.
    return {name: from_attribute(raw[name], numbers) for name in raw}


def to_attribute(value: Any) -> pb.AttributeValue:
    """The attribute of a Python value; the reverse of `from_attribute`."""
    if value is None:
        return pb.AttributeValue(null_value=True)
    if isinstance(value, bool):
        return pb.AttributeValue(bool_value=value)
    if isinstance(value, (Number, int, decimal.Decimal)):
        return pb.AttributeValue(n=_number(value))
    if isinstance(value, str):
        return pb.AttributeValue(s=value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return pb.AttributeValue(b=bytes(value))
    if isinstance(value, Mapping):
        return pb.AttributeValue(m=pb.AttributeMap(entries=to_attributes(value)))
    if isinstance(value, (list, tuple)):
        return pb.AttributeValue(l=pb.AttributeList(values=map(to_attribute, value)))
    if isinstance(value, (set, frozenset)):
        return _set(value)
    if isinstance(value, UnknownValue):
        return value.raw
    raise TypeError(f"DynamoDB has no type for {type(value).__name__} (of numbers it takes int and Decimal)")


def to_attributes(values: Mapping[str, Any]) -> dict[str, pb.AttributeValue]:
    """The attributes of a map of Python values."""
    return {name: to_attribute(value) for name, value in values.items()}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal for DynamoDB. Unlike `==` this never takes True for 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _number(value: Any) -> str:
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        raise ValueError(f"DynamoDB has no number {value}")
    return str(value)


def _set(members: Iterable[Any]) -> pb.AttributeValue:
    kinds = {type(member) for member in members}
    if isinstance(members, NumberSet) or (kinds and all(issubclass(k, (Number, int, decimal.Decimal)) for k in kinds)):
        return pb.AttributeValue(ns=pb.NumberSet(values=map(_number, members)))
    if isinstance(members, StringSet) or kinds == {str}:
        return pb.AttributeValue(ss=pb.StringSet(values=members))
    if isinstance(members, BinarySet) or kinds == {bytes}:
        return pb.AttributeValue(bs=pb.BinarySet(values=members))
    raise TypeError("a set for DynamoDB has strings, numbers or bytes, one of these; an empty one needs its class")
