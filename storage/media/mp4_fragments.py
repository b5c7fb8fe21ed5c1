"""The index of an MP4 in fragments, put together from the headers of all its fragments (ISO 14496-12, 8.8). Pure.

Recorders, browsers and DASH tools write such files: what the film's own index would say stands in a ``moof`` box before
every few seconds of it. Where these do not tell everything, or contradict each other, there is no index here: whoever
asks then reads the whole file.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby

from storage.media.mp4_index import (
    Mp4Index,
    Runs,
    Strange,
    TrackIndex,
    boxes_in,
    inside,
    numbers_of,
    sums,
    tracks_of,
    uint_at,
)

LARGEST_STEP_BACK_S = Fraction(1, 10)
"""Times of a fragment may begin so much before the one before it ended: lengths were rounded."""

# Flags of tfhd (8.8.7) and trun (8.8.8).
_BASE, _DESCRIPTION, _LENGTH, _SIZE, _FLAGS, _BASE_IS_MOOF = 0x1, 0x2, 0x8, 0x10, 0x20, 0x20000
_OFFSET, _FIRST_FLAGS = 0x1, 0x4
_COLUMNS = (0x100, 0x200, 0x400, 0x800)  # length, size, flags, composition offset of each sample
_NO_KEYFRAME = 0x10000 | 0x1000000  # as ffmpeg has it: not a sync sample, or depends on others (8.8.3.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Defaults:
    length: int = 0
    size: int = 0
    flags: int = 0


@dataclass(slots=True)
class _Values:
    """A value per sample, as (how many samples, value) in a row: half a day of film is millions of samples."""

    counts: array[int]
    values: array[int]

    def extend(self, samples: Iterable[int]) -> None:
        for value, alike in groupby(samples):
            count = sum(1 for _ in alike)
            if self.values and self.values[-1] == value:
                self.counts[-1] += count
            else:
                self.counts.append(count)
                self.values.append(value)

    def lengthen_last(self, ticks: int) -> None:
        """The last sample by so much."""
        last = self.values[-1] + ticks
        if self.counts[-1] == 1:
            self.counts.pop()
            self.values.pop()
        else:
            self.counts[-1] -= 1
        self.extend([last])

    def runs(self) -> Runs:
        return Runs(counts=self.counts, values=self.values)


@dataclass(slots=True, kw_only=True)
class _Track:
    """A track that grows by fragments."""

    before: TrackIndex
    defaults: _Defaults
    shift: int
    next_time: int  # in ticks, before ``shift``
    lengths: _Values
    offsets: _Values
    sync: array[int]
    sizes: array[int]
    places: array[int]
    firsts: array[int]

    @property
    def count(self) -> int:
        return len(self.sizes)


def parse_fragments(moov: bytes, moofs: Iterable[tuple[int, bytes]], file_bytes: int) -> Mp4Index | None:
    """The index of a file of ``file_bytes`` with the header ``moov`` and the fragments ``moofs`` (where each begins, and
    the box), in the order of the file; None where they do not tell everything."""
    try:
        tracks = _begun(memoryview(moov), file_bytes)
        for place, moof in moofs:
            _add(tracks, place, memoryview(moof))
        return Mp4Index(tracks=tuple(_finished(track, file_bytes) for track in tracks.values()))
    except (Strange, IndexError, KeyError, ValueError, OverflowError):
        return None


def named_fragments(box: bytes, place: int) -> list[int]:
    """Where fragments begin, as ``box`` at ``place`` names them: a ``sidx`` (8.16.3) or a ``mfra`` (8.8.9). It is no more
    than a hint: either may be of another file than the one that it stands in."""
    try:
        for name, body in boxes_in(memoryview(box)):
            if name == b"sidx":
                return _named_by_sidx(body, place + len(box))
            if name == b"mfra":
                return sorted(
                    {at for inner, table in boxes_in(body) if inner == b"tfra" for at in _named_by_tfra(table)}
                )
    except (Strange, IndexError, ValueError):
        return []
    return []


def _begun(moov: memoryview, file_bytes: int) -> dict[int, _Track]:
    defaults = {}
    for name, body in boxes_in(inside(moov, b"moov")):
        if name == b"mvex":
            for inner, trex in boxes_in(body):
                if inner == b"trex":
                    defaults[uint_at(trex, 4)] = _Defaults(
                        length=uint_at(trex, 12), size=uint_at(trex, 16), flags=uint_at(trex, 20)
                    )
    tracks = {}
    for number, track in tracks_of(moov, file_bytes):
        if number not in defaults or number in tracks:
            raise Strange
        tracks[number] = _from(track, defaults[number])
    return tracks


def _from(track: TrackIndex, defaults: _Defaults) -> _Track:
    """Some files have their first seconds in the header's own tables, and only the rest in fragments."""
    offsets = track.offsets or Runs(counts=array("I", [track.count]), values=array("i", [0]))
    return _Track(
        before=track,
        defaults=defaults,
        shift=track.shift,
        next_time=sum(track.durations),
        lengths=_Values(track.durations.counts[:], track.durations.values[:]),
        offsets=_Values(offsets.counts[:], offsets.values[:]) if track.count else _Values(array("I"), array("i")),
        sync=array("I", track.keyframes()),
        sizes=track.sizes[:] if track.sizes is not None else array("I", [track.size]) * track.count,
        places=track.places[:],
        firsts=track.firsts[:-1],
    )


def _add(tracks: dict[int, _Track], place: int, moof: memoryview) -> None:
    implicit = place
    for name, traf in boxes_in(inside(moof, b"moof")):
        if name != b"traf":
            continue
        track: _Track | None = None
        base, defaults, told = implicit, _Defaults(), False
        for child, body in boxes_in(traf):
            if child == b"tfhd":
                track = tracks[uint_at(body, 4)]
                base, defaults = _header(body, place, implicit, track.defaults)
            elif track is None:
                raise Strange
            elif child == b"tfdt":
                _step_to(track, int.from_bytes(body[4 : 12 if body[0] else 8], "big"))
                told = True
            elif child == b"trun":
                if not told:
                    raise Strange  # when it is shown would depend on what was read before
                implicit = _run(track, body, base, defaults)


def _header(tfhd: memoryview, place: int, implicit: int, defaults: _Defaults) -> tuple[int, _Defaults]:
    flags = uint_at(tfhd, 0)
    at, base = 8, place if flags & _BASE_IS_MOOF else implicit
    if flags & _BASE:
        base, at = uint_at(tfhd, 8) << 32 | uint_at(tfhd, 12), 16
    at += 4 if flags & _DESCRIPTION else 0
    found = []
    for flag, usual in ((_LENGTH, defaults.length), (_SIZE, defaults.size), (_FLAGS, defaults.flags)):
        found.append(uint_at(tfhd, at) if flags & flag else usual)
        at += 4 if flags & flag else 0
    return base, _Defaults(length=found[0], size=found[1], flags=found[2])


def _step_to(track: _Track, time: int) -> None:
    """The next sample is decoded at ``time``: a gap makes the last one longer."""
    if not track.count:
        track.shift += time  # times of this index count from the first sample
        track.next_time = time
        return
    gap = time - track.next_time
    if not gap:
        return
    if track.lengths.values[-1] + gap < 0 or Fraction(-gap, track.before.timescale) > LARGEST_STEP_BACK_S:
        raise Strange
    track.lengths.lengthen_last(gap)
    track.next_time = time


def _run(track: _Track, trun: memoryview, base: int, defaults: _Defaults) -> int:
    """Adds the samples of ``trun``; where their bytes end."""
    flags, count = uint_at(trun, 0), uint_at(trun, 4)
    if not flags & _OFFSET:
        raise Strange  # readers do not agree on where a run lies that does not say so
    start, at = base + int.from_bytes(trun[8:12], "big", signed=True), 12
    first_flags = uint_at(trun, at) if flags & _FIRST_FLAGS else None
    at += 4 if flags & _FIRST_FLAGS else 0
    lengths, sizes, marks, offsets = _columns(trun, at, flags, count, defaults)
    if first_flags is not None and count:
        marks[0] = first_flags
    if track.before.kind != "soun":
        track.sync.extend(track.count + number for number, mark in enumerate(marks) if not mark & _NO_KEYFRAME)
    track.places.append(start)
    track.firsts.append(track.count)
    track.sizes.extend(sizes)
    track.lengths.extend(lengths)
    track.offsets.extend(offsets)
    track.next_time += sum(lengths)
    return start + sum(sizes)


def _columns(
    trun: memoryview, at: int, flags: int, count: int, defaults: _Defaults
) -> tuple[array[int], array[int], array[int], array[int]]:
    present = [column for column in _COLUMNS if flags & column]
    table = numbers_of(trun[at:], "I", count * len(present))

    def column(flag: int, usual: int) -> array[int]:
        return table[present.index(flag) :: len(present)] if flag in present else array("I", [usual]) * count

    offsets = array(
        "i", column(0x800, 0).tobytes()
    )  # version 0 has none below zero; nor do readers tell versions apart
    return column(0x100, defaults.length), column(0x200, defaults.size), column(0x400, defaults.flags), offsets


def _finished(track: _Track, file_bytes: int) -> TrackIndex:
    _check_places(track, file_bytes)
    lengths, offsets = track.lengths.runs(), track.offsets.runs()
    return replace(
        track.before,
        count=track.count,
        shift=track.shift,
        end=None,
        durations=lengths,
        offsets=offsets if any(offsets.values) else None,
        sync=None if track.before.kind == "soun" or len(track.sync) == track.count else track.sync,
        sizes=track.sizes,
        places=track.places,
        firsts=array("Q", [*track.firsts, track.count]),
        run_starts=sums(lengths.counts),
        run_times=sums([count * length for count, length in zip(lengths.counts, lengths.values, strict=True)]),
    )


def _check_places(track: _Track, file_bytes: int) -> None:
    """Only the last run may lie beyond the end: so a recording ends whose recorder died."""
    if any(place < 0 or place > file_bytes for place in track.places[:-1]) or (track.places and track.places[-1] < 0):
        raise Strange
    if any(a >= b for a, b in zip(track.firsts, track.firsts[1:], strict=False)):
        raise Strange


def _named_by_sidx(body: memoryview, end: int) -> list[int]:
    wide = body[0] >= 1
    at = 20 if wide else 16
    place = end + int.from_bytes(body[at : at + (8 if wide else 4)], "big")
    at += 8 if wide else 4
    count = uint_at(body, at) & 0xFFFF
    found = []
    for number in range(count):
        size = uint_at(body, at + 4 + 12 * number)
        if size >> 31:
            raise Strange  # a segment index of segment indexes
        found.append(place)
        place += size
    return found


def _named_by_tfra(table: memoryview) -> Iterator[int]:
    wide = table[0] == 1
    lengths = uint_at(table, 8)
    tail = sum((lengths >> shift & 3) + 1 for shift in (4, 2, 0))
    step = (16 if wide else 8) + tail
    for number in range(min(uint_at(table, 12), (len(table) - 16) // step)):
        at = 16 + number * step + (8 if wide else 4)
        yield int.from_bytes(table[at : at + (8 if wide else 4)], "big")
