"""The part of CBOR (RFC 8949) that tokens use: integers, byte and text strings, arrays, maps, tags, simple values.

Encoding is deterministic (section 4.2.1). Decoding refuses what is not well formed, indefinite lengths, floats and deep
nesting: tokens come from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Tagged:
    tag: int
    value: Any


def encode(value: Any) -> bytes:
    """``value`` as CBOR. Raises `TypeError` for what has no form here."""
    if value is None or isinstance(value, bool):
        return b"\xf6" if value is None else b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return _head(3, len(raw)) + raw
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(encode(item) for item in value)
    if isinstance(value, dict):
        # "The keys in every map MUST be sorted in the bytewise lexicographic order of their deterministic encodings."
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return _head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    if isinstance(value, Tagged):
        return _head(6, value.tag) + encode(value.value)
    raise TypeError(f"no CBOR for {type(value).__name__}")


def decode(data: bytes) -> Any:
    """The one value that ``data`` holds. Raises `ValueError` for anything else."""
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise ValueError("there is more than one value")
    return value


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | extra]) + number.to_bytes(size)
    raise ValueError("integers have at most 64 bits")


def _decode(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    major, number, at = _read_head(data, at)
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        if number > len(data) - at:
            raise ValueError("a string ends early")
        raw = data[at : at + number]
        return (raw if major == 2 else raw.decode()), at + number
    if major == 4:
        return _decode_items(data, number, at, depth)
    if major == 5:
        return _decode_map(data, number, at, depth)
    if major == 6:
        value, at = _decode(data, at, depth + 1)
        return Tagged(number, value), at
    if number in (20, 21, 22):
        return {20: False, 21: True, 22: None}[number], at
    raise ValueError("floats and other simple values are not for tokens")


def _decode_items(data: bytes, count: int, at: int, depth: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    for _ in range(count):  # ends early where the data do: each item takes a byte
        value, at = _decode(data, at, depth + 1)
        items.append(value)
    return items, at


def _decode_map(data: bytes, count: int, at: int, depth: int) -> tuple[dict[Any, Any], int]:
    found: dict[Any, Any] = {}
    for _ in range(count):
        key, at = _decode(data, at, depth + 1)
        value, at = _decode(data, at, depth + 1)
        if not isinstance(key, (int, str, bytes)) or key in found:
            raise ValueError("keys of maps are integers or strings, each once")
        found[key] = value
    return found, at


def _read_head(data: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(data):
        raise ValueError("the data end early")
    major, extra = data[at] >> 5, data[at] & 31
    at += 1
    if extra < 24:
        return major, extra, at
    if extra > 27 or major == 7:
        raise ValueError("indefinite lengths and floats are not for tokens")
    size = 1 << extra - 24
    if at + size > len(data):
        raise ValueError("the data end early")
    return major, int.from_bytes(data[at : at + size]), at + size
