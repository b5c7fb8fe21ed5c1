"""A walk over the boxes of an MP4 in fragments: everything of it but the pictures and the sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from storage.media.mp4_fragments import named_fragments, parse_fragments
from storage.media.mp4_index import ByteRange, Mp4Index
from workers.boxes import HEADER_BYTES, top_level_boxes
from workers.planning.reads import merged
from workers.sparse import LARGEST_INDEX_BYTES, SparseCopy

STEP_BYTES = 4096
"""What is read at a box: its header, and all of a fragment's, as long as most are."""
BEFORE_BYTES = 256
"""Small boxes stand before a fragment, and not all writers count them in."""
SMALL_BOX_BYTES = 1024 * 1024
"""Other boxes up to this size are kept whole."""
MOST_FRAGMENTS = 200_000
FEW = 64
"""So many steps are taken in any file before it is judged whether they are worth it."""
WORTH_BYTES = 256 * 1024
"""A step takes as long as reading so much, at least: a file of shorter fragments is sooner here as a whole."""
WORTH_NAMED_BYTES = 32 * 1024
"""The same where the file says where its fragments lie, so that many can be read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragments:
    """``index``: as an MP4's own would be. ``ranges``: what a demuxer reads to know as much."""

    index: Mp4Index
    ranges: tuple[ByteRange, ...]


def find_fragments(copy: SparseCopy, size: int) -> Fragments | None:
    """The fragments of the file that ``copy`` is a part of, ``size`` bytes long; None where they are too many or too short,
    or do not tell everything. Raises what the store raises."""
    window = _Window(copy, size)
    worth_bytes = WORTH_NAMED_BYTES if _fetched_as_named(copy, window, size) else WORTH_BYTES
    ranges: list[ByteRange] = []
    boxes = _headers(window, size, worth_bytes, ranges)
    try:
        moov = next((data for name, _, data in boxes if name == b"moov"), b"")
        index = parse_fragments(moov, ((place, data) for name, place, data in boxes if name == b"moof"), size)
    except _NotWorthIt:
        return None
    return Fragments(index=index, ranges=merged(ranges)) if index is not None else None


class _NotWorthIt(Exception):
    """All of this file is sooner here than what its fragments say."""


def _headers(
    window: _Window, size: int, worth_bytes: int, ranges: list[ByteRange]
) -> Iterator[tuple[bytes, int, bytes]]:
    """(name, place, content) of the header of the film and of all fragments, one by one. Notes in ``ranges`` what of all
    boxes a demuxer reads."""
    count = 0
    for box in top_level_boxes(window.read, size):
        there = min(box.stop, size)
        whole = box.name == b"moov" or (box.name != b"mdat" and box.length <= SMALL_BOX_BYTES)
        ranges.append((box.start, there if whole else min(there, box.start + HEADER_BYTES)))
        if box.name not in (b"moov", b"moof"):
            continue
        if there < box.stop or box.length > LARGEST_INDEX_BYTES:
            raise _NotWorthIt
        data = window.read(box.start, box.stop)
        if box.name == b"moof":
            count += 1
            window.step = max(window.step, len(data) * 5 // 4 + HEADER_BYTES)
            if count > MOST_FRAGMENTS or (count > FEW and box.start < count * worth_bytes):
                raise _NotWorthIt
        yield box.name, box.start, data


class _Window:
    """Reads of a file from its start on, each of ``step`` bytes at least."""

    def __init__(self, copy: SparseCopy, size: int) -> None:
        self._copy, self._size = copy, size
        self._at, self._data = 0, b""
        self.step = STEP_BYTES

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self._size)
        end = self._at + len(self._data)
        if not self._at <= start <= end:
            self._at, self._data, end = start, b"", start
        if stop > end:
            more = self._copy.peek(end, min(self._size, max(stop, end + self.step)))
            self._data = self._data[start - self._at :] + more
            self._at = start
        return self._data[start - self._at : stop - self._at]


def _fetched_as_named(copy: SparseCopy, window: _Window, size: int) -> bool:
    """Fetch the headers of those fragments that the file names, many at once; whether it names enough of them."""
    places = [place for place in _named_at_end(copy, size) or _named_at_start(window, size) if 0 < place < size]
    if not FEW < len(places) <= MOST_FRAGMENTS or size < len(places) * WORTH_NAMED_BYTES:
        return False
    first = copy.peek(places[0], places[0] + STEP_BYTES)
    window.step = max(STEP_BYTES, min(SMALL_BOX_BYTES, int.from_bytes(first[:4], "big") * 5 // 4 + HEADER_BYTES))
    copy.ensure(*((max(0, place - BEFORE_BYTES), place + window.step) for place in places))
    return True


def _named_at_end(copy: SparseCopy, size: int) -> list[int]:
    """By the table of random access points, whose size stands at the very end (8.8.11)."""
    if size < HEADER_BYTES:
        return []
    last = copy.peek(size - HEADER_BYTES, size)
    length = int.from_bytes(last[12:], "big")
    if last[4:8] != b"mfro" or not HEADER_BYTES < length <= min(size, LARGEST_INDEX_BYTES):
        return []
    return named_fragments(copy.peek(size - length, size), size - length)


def _named_at_start(window: _Window, size: int) -> list[int]:
    for box in top_level_boxes(window.read, size):
        if box.name == b"sidx" and box.length <= LARGEST_INDEX_BYTES and box.stop <= size:
            return named_fragments(window.read(box.start, box.stop), box.start)
        if box.name in (b"moof", b"mdat"):
            break
    return []
