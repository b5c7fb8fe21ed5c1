"""The index of a Matroska or WebM file: where its pictures' keyframes lie, from its Cues (RFC 9559, 5.1.5). Pure, but for
the bytes that it is given.

A file without Cues, or with some that make no sense, has no index here: whoever asks then reads the whole file.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from storage.media.mp4_index import ByteRange

Read = Callable[[int, int], bytes]

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
_INFO, _TIMESTAMP_SCALE = 0x1549A966, 0x2AD7B1
_TRACKS, _TRACK_ENTRY, _TRACK_NUMBER, _TRACK_TYPE, _PICTURES = 0x1654AE6B, 0xAE, 0xD7, 0x83, 1
_CUES, _CUE_POINT, _CUE_TIME = 0x1C53BB6B, 0xBB, 0xB3
_CUE_POSITIONS, _CUE_TRACK, _CUE_CLUSTER = 0xB7, 0xF7, 0xF1

LARGEST_CUES_BYTES = 64 * 1024 * 1024
_LATEST = 1 << 62
_HEADER_BYTES = 12  # an element's id and size are never longer


@dataclass(frozen=True, slots=True, kw_only=True)
class MatroskaIndex:
    """``times`` of keyframes in ticks of ``tick`` seconds, rising, and the bytes at which the cluster of each begins."""

    tick: Fraction
    times: array[int]
    places: array[int]
    first_cluster: int
    cues: ByteRange
    size: int

    def bytes_of(self, start: Fraction | None, stop: Fraction | None) -> ByteRange:
        """The clusters from the keyframe at or before ``start`` (None: from the first) to the one after ``stop``."""
        first = bisect_right(self.times, start / self.tick) - 1 if start is not None else -1
        begins = self.places[first] if first >= 0 else self.first_cluster
        after = bisect_right(self.times, stop / self.tick) if stop is not None else len(self.times)
        return begins, self.places[after] if after < len(self.places) else self.size


def parse_matroska_index(head: bytes, size: int, read: Read) -> MatroskaIndex | None:
    """The index of a file of ``size`` bytes that begins with ``head``; ``read(start, stop)`` gives further bytes of it."""
    found = _Header(head)
    if found.cues_at is None or found.first_cluster is None or not found.pictures or not found.tick_ns:
        return None
    if found.cues_at >= size:
        return None  # the end of the file is missing
    start = read(found.cues_at, min(size, found.cues_at + _HEADER_BYTES))
    name, length, at = _element(start, 0)
    if name != _CUES or length is None or length > LARGEST_CUES_BYTES:
        return None
    cues = (found.cues_at, min(size, found.cues_at + at + length))
    body = read(*cues)[at:]
    points = sorted(point for point in _points(body, found.pictures[0]) if point[0] < _LATEST and point[1] < size)
    times, places = array("q", [time for time, _ in points]), array("q", [found.origin + place for _, place in points])
    if not times or list(places) != sorted(places) or not found.first_cluster <= places[0] <= places[-1] < size:
        return None
    return MatroskaIndex(
        tick=Fraction(found.tick_ns, 10**9),
        times=times,
        places=places,
        first_cluster=found.first_cluster,
        cues=cues,
        size=size,
    )


class _Header:
    """What stands before the first cluster."""

    def __init__(self, head: bytes) -> None:
        self.origin = 0  # positions count from where the segment's content begins
        self.tick_ns = 1_000_000
        self.pictures: list[int] = []
        self.cues_at: int | None = None
        self.first_cluster: int | None = None
        name, length, at = _element(head, 0)
        if name != _EBML or length is None:
            return
        name, _, self.origin = _element(head, at + length)
        if name == _SEGMENT:
            self._look(head)

    def _look(self, head: bytes) -> None:
        at = self.origin
        while at < len(head):
            name, length, body = _element(head, at)
            if name == _CLUSTER:
                self.first_cluster = at
                return
            if name is None or length is None:
                return
            content = head[body : body + length]
            if name == _CUES:
                self.cues_at = at
            elif name == _SEEK_HEAD:
                self._seek(content)
            elif name == _INFO:
                self.tick_ns = next((_number(v) for n, v in _elements(content) if n == _TIMESTAMP_SCALE), self.tick_ns)
            elif name == _TRACKS:
                self.pictures = [number for number, kind in map(_track, _entries(content)) if kind == _PICTURES]
            at = body + length

    def _seek(self, content: bytes) -> None:
        for name, entry in _elements(content):
            if name == _SEEK:
                values = dict(_elements(entry))
                if _number(values.get(_SEEK_ID, b"")) == _CUES:
                    self.cues_at = self.origin + _number(values.get(_SEEK_POSITION, b""))


def _entries(content: bytes) -> Iterator[bytes]:
    return (value for name, value in _elements(content) if name == _TRACK_ENTRY)


def _track(entry: bytes) -> tuple[int, int]:
    values = dict(_elements(entry))
    return _number(values.get(_TRACK_NUMBER, b"")), _number(values.get(_TRACK_TYPE, b""))


def _points(body: bytes, track: int) -> Iterator[tuple[int, int]]:
    for name, point in _elements(body):
        if name != _CUE_POINT:
            continue
        values = _elements(point)
        time = 0
        for child, value in values:
            if child == _CUE_TIME:
                time = _number(value)
            elif child == _CUE_POSITIONS:
                position = dict(_elements(value))
                if _number(position.get(_CUE_TRACK, b"")) == track and _CUE_CLUSTER in position:
                    yield time, _number(position[_CUE_CLUSTER])


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        name, length, body = _element(data, at)
        if name is None or length is None or body + length > len(data):
            return
        yield name, data[body : body + length]
        at = body + length


def _element(data: bytes, at: int) -> tuple[int | None, int | None, int]:
    """(id, size, where the content begins) of the element at ``at`` (RFC 8794, 4 to 6); size None: not known."""
    name_bytes = _width(data, at)
    size_at = at + name_bytes
    size_bytes = _width(data, size_at)
    if not name_bytes or not size_bytes or size_at + size_bytes > len(data):
        return None, None, at
    size = int.from_bytes(data[size_at : size_at + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
    unknown = size == (1 << 7 * size_bytes) - 1
    return int.from_bytes(data[at:size_at], "big"), None if unknown else size, size_at + size_bytes


def _width(data: bytes, at: int) -> int:
    """How many bytes a number of variable length has: one more than its first byte has leading zeros; 0: none there."""
    return 9 - data[at].bit_length() if at < len(data) and data[at] else 0


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")
