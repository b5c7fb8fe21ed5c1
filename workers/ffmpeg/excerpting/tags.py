"""Where the tags of a Flash video begin, found in the midst of it (Video File Format Specification 10.1, E.4)."""

from __future__ import annotations

import re
from fractions import Fraction

from .searching import Mark
from .windows import Bytes, places_of

_HEADER_BYTES, _AFTER_BYTES = 11, 4
# Sound, pictures or data; length and time may be anything; a stream id is always 0.
_HEADER = re.compile(rb"(?=[\x08\x09\x12].{7}\x00\x00\x00)", re.DOTALL)


def find_tag(file: Bytes, start: int, stop: int) -> Mark | None:
    """The first tag that begins in ``[start, stop)``."""
    for place in places_of(file, _HEADER, _HEADER_BYTES, start, stop):
        header = file.read_at(place, _HEADER_BYTES)
        after = place + _HEADER_BYTES + int.from_bytes(header[1:4], "big")
        if _ends(file, place, after):
            milliseconds = int.from_bytes(header[7:8] + header[4:7], "big")
            return Mark(place, Fraction(milliseconds, 1000))
    return None


def after_metadata(file: Bytes) -> int:
    """Where the tags after the first one begin: that may be data of any size, and what decoders must know follows it."""
    at = int.from_bytes(file.read_at(5, 4), "big") + _AFTER_BYTES
    header = file.read_at(at, _HEADER_BYTES)
    is_data = header[:1] == b"\x12"
    return at + _HEADER_BYTES + int.from_bytes(header[1:4], "big") + _AFTER_BYTES if is_data else at


def _ends(file: Bytes, place: int, after: int) -> bool:
    """Whether the length of the tag at ``place`` stands behind it once more, and another tag behind that or nothing."""
    seen = file.read_at(after, _AFTER_BYTES + _HEADER_BYTES)
    if len(seen) < _AFTER_BYTES or int.from_bytes(seen[:_AFTER_BYTES], "big") != after - place:
        return False
    following = seen[_AFTER_BYTES:]
    return len(following) < _HEADER_BYTES or _HEADER.match(following) is not None
