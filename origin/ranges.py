"""Byte ranges of RFC 9110, section 14, as pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAX_RANGES = 32
"""More than any player asks for at once. Many small ranges "are indications of either a broken client or a deliberate
denial-of-service attack" (RFC 9110, 14.2): such a header is ignored, as the section allows."""

_HEADER = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=(.*)", re.DOTALL)
_SPEC = re.compile(r"(\d{0,19})-(\d{0,19})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Half-open: bytes ``[start, stop)``."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"not a range of bytes: [{self.start}, {self.stop})")

    def __len__(self) -> int:
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The value of Content-Range within an object of ``size`` bytes; its end is inclusive."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def resolve_range(header: str | None, size: int) -> tuple[ByteRange, ...] | None:
    """What a Range header asks of an object of ``size`` bytes.

    None: nothing that we know, so the whole object is the answer (no header, another unit, a malformed list, too many
    ranges). An empty tuple: no range lies inside the object, which is 416. Otherwise the ranges, cut to the object;
    in the order that was asked for, or sorted and merged where they touch.
    """
    if header is None:
        return None
    match = _HEADER.fullmatch(header)
    # "An origin server MUST ignore a Range header field that contains a range unit it does not understand."
    if match is None or match[1].lower() != "bytes":
        return None
    # "#rule: A recipient MUST parse and ignore a reasonable number of empty list elements" (5.6.1.2).
    specs = [spec.strip(" \t") for spec in match[2].split(",", maxsplit=2 * _MAX_RANGES)]
    specs = [spec for spec in specs if spec]
    if not 0 < len(specs) <= _MAX_RANGES:
        return None
    found: list[ByteRange] = []
    for spec in specs:
        parsed = _SPEC.fullmatch(spec)
        if parsed is None or spec == "-" or not _is_valid(parsed[1], parsed[2]):
            return None  # invalid, and "a server […] MAY ignore" that
        resolved = _resolve_spec(parsed[1], parsed[2], size)
        if resolved is not None:
            found.append(resolved)
    return _merged(found)


def _is_valid(first: str, last: str) -> bool:
    """ "An int-range is invalid if the last-pos value is present and less than first-pos." """
    return not (first and last) or int(first) <= int(last)


def _resolve_spec(first: str, last: str, size: int) -> ByteRange | None:
    """The range within the object, or None where it has no byte of it."""
    if not first:
        # "If the selected representation is shorter than the specified suffix-length, the entire representation is used."
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    return ByteRange(start, stop) if start < stop else None


def _merged(ranges: list[ByteRange]) -> tuple[ByteRange, ...]:
    """``ranges`` as they are if they keep apart; else sorted, with those that touch as one: no byte is sent twice."""
    merged: list[ByteRange] = []
    for each in sorted(ranges):
        if merged and each.start <= merged[-1].stop:
            merged[-1] = ByteRange(merged[-1].start, max(merged[-1].stop, each.stop))
        else:
            merged.append(each)
    return tuple(ranges) if len(merged) == len(ranges) else tuple(merged)


def if_range_holds(header: str | None, etag: str) -> bool:
    """Whether an If-Range header lets the Range header count.

    "A client MUST NOT generate an If-Range header field containing an entity tag that is marked as weak", and we send
    no Last-Modified, so a date cannot be one of ours: both mean the whole object.
    """
    return header is None or header.strip() == etag
