"""Frozen dataclasses to and from plain JSON values, for the columns that hold a whole value.

Knows dataclasses, enums, `Fraction` (as ``"n/d"``), tuples, optionals and scalars; anything else is a bug.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import Enum
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def to_record(value: Any) -> Any:
    """``value`` as JSON-ready lists, dicts and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_record(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, (tuple, list)):
        return [to_record(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_record(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"no record for {type(value).__name__}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def from_record(kind: type[T], record: Any) -> T:
    """The value of type ``kind`` that `to_record` turned into ``record``. Unknown keys are ignored: an older worker
    reads what a newer one wrote."""
    return typing.cast(T, _from(kind, record))


def _from(kind: Any, record: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if record is None:
            return None
        (inner,) = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        return _from(inner, record)
    if origin is tuple:
        args = typing.get_args(kind)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_from(args[0], item) for item in record)
        return tuple(_from(arg, item) for arg, item in zip(args, record, strict=True))
    if origin is dict or kind is dict:
        return dict(record)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        names = {f.name for f in dataclasses.fields(kind) if f.init}
        return kind(**{name: _from(hints[name], item) for name, item in record.items() if name in names})
    if kind is Fraction:
        return Fraction(record)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(record)
    if kind is Any or kind is object:
        return record
    supertype = getattr(kind, "__supertype__", None)
    return _from(supertype, record) if supertype is not None else record
