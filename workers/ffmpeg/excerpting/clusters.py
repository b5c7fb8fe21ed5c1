"""Where the clusters of a Matroska file begin, found in the midst of it (RFC 9559, 5.1.3; RFC 8794, 4 to 6)."""

from __future__ import annotations

import re
from fractions import Fraction

from .searching import Mark
from .windows import Bytes, places_of

_CLUSTER, _TIMESTAMP = 0x1F43B675, 0xE7
_BESIDE = frozenset({0xEC, 0xBF, 0xA7, 0xAB, 0x5854})
"""What else may stand in a cluster before its blocks: Void, CRC-32, Position, PrevSize, SilentTracks."""
_BLOCKS = frozenset({0xA3, 0xA0, 0xAF})
_TOP = frozenset(
    {_CLUSTER, 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469, 0x1549A966, 0x114D9B74, 0x1654AE6B, 0xEC, 0xBF}
)
"""Elements that may follow a cluster."""
_EBML, _SEGMENT, _INFO, _TIMESTAMP_SCALE = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x2AD7B1
_LOOKED_AT_BYTES = 512
_ID = re.compile(rb"\x1f\x43\xb6\x75")


def tick_of(head: bytes) -> Fraction:
    """Seconds that a cluster's time counts in, in a file that begins with ``head``."""
    name, length, at = element(head, 0)
    if name == _EBML and length is not None:
        name, length, at = element(head, at + length)
    while name is not None and name != _CLUSTER:
        if name == _TIMESTAMP_SCALE and length is not None:
            return Fraction(int.from_bytes(head[at : at + length], "big") or 1_000_000, 10**9)
        if name not in (_SEGMENT, _INFO):
            if length is None:
                break
            at += length
        name, length, at = element(head, at)
    return Fraction(1, 1000)


def find_cluster(file: Bytes, tick: Fraction, start: int, stop: int) -> Mark | None:
    """The first cluster that begins in ``[start, stop)``."""
    for place in places_of(file, _ID, 4, start, stop):
        ticks = _ticks(file, place)
        if ticks is not None:
            return Mark(place, ticks * tick)
    return None


def _ticks(file: Bytes, place: int) -> int | None:
    """The time of the cluster at ``place``; None if there is none."""
    seen = file.read_at(place, _LOOKED_AT_BYTES)
    _, length, at = element(seen, 0)
    if length is not None and not _may_end(file, place + at + length):
        return None
    ticks = None
    while True:
        name, inner, body = element(seen, at)
        if name in _BLOCKS:
            return ticks
        if name is None or inner is None or body + inner > len(seen):
            return None
        if name == _TIMESTAMP and inner <= 8:
            ticks = int.from_bytes(seen[body : body + inner], "big")
        elif name not in _BESIDE:
            return None
        at = body + inner


def _may_end(file: Bytes, place: int) -> bool:
    return place >= file.size or element(file.read_at(place, 12), 0)[0] in _TOP


# As in `storage.media.matroska_index`, which the cage of this program does not show to it.
def element(data: bytes, at: int) -> tuple[int | None, int | None, int]:
    """(id, size, where the content begins) of the element at ``at``; size None: not known, id None: there is none."""
    name_bytes = _width(data, at)
    size_at = at + name_bytes
    size_bytes = _width(data, size_at)
    if not name_bytes or not size_bytes or size_at + size_bytes > len(data):
        return None, None, at
    size = int.from_bytes(data[size_at : size_at + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
    unknown = size == (1 << 7 * size_bytes) - 1
    return int.from_bytes(data[at:size_at], "big"), None if unknown else size, size_at + size_bytes


def _width(data: bytes, at: int) -> int:
    return 9 - data[at].bit_length() if at < len(data) and data[at] else 0
