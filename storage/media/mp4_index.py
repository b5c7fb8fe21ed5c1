"""The index of an MP4 or QuickTime file, read from its ``moov`` box (ISO 14496-12, 8.6 and 8.7): which samples there are,
when they are decoded, and where their bytes lie. Pure, and sparing: half a day of film is half a million entries, so
tables stay arrays and runs stay runs.

Files whose index does not tell everything (compressed headers, edits that cut and join) have none here: whoever asks then
reads the whole file. Of files in fragments `mp4_fragments` makes one.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, chain, repeat
from operator import add

ByteRange = tuple[int, int]
"""Half-open: ``[start, stop)``."""

_PARENTS = frozenset({b"edts", b"mdia", b"minf", b"stbl"})
_LONGEST_TABLE = 50_000_000


class Strange(Exception):
    """This header is not one that we take facts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """A value per sample, as (how many samples, value) in a row."""

    counts: array[int]
    values: array[int]

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(map(repeat, self.values, self.counts))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackIndex:
    """One track. Times are in ticks of ``timescale`` on the clock that demuxers show: after the edit list."""

    kind: str  # ``vide``, ``soun``, …: the handler's type
    timescale: int
    count: int
    shift: int  # what the edit list adds to every time
    end: int | None  # where the edit list ends what is shown
    durations: Runs
    offsets: Runs | None  # from decoding to showing; None: no difference
    sync: array[int] | None  # sample numbers from 0; None: all
    sizes: array[int] | None
    size: int  # of every sample, where ``sizes`` is None
    places: array[int]  # where each run of samples lies in the file
    firsts: array[int]  # the first sample of each run, and at the end the number of samples
    run_starts: array[int]  # first sample of each run of durations
    run_times: array[int]  # and its decoding time, before ``shift``

    def sample_at(self, time: Fraction) -> int:
        """The last sample that is decoded at or before ``time`` (seconds); 0 if there is none."""
        ticks = (time * self.timescale).__floor__() - self.shift
        if ticks <= 0 or not self.run_times:
            return 0
        run = bisect_right(self.run_times, ticks) - 1
        step = self.durations.values[run] or 1
        inside = min((ticks - self.run_times[run]) // step, self.durations.counts[run] - 1)
        return min(self.run_starts[run] + max(0, inside), self.count - 1)

    def time_of(self, sample: int) -> Fraction:
        """When ``sample`` is decoded, in seconds."""
        run = bisect_right(self.run_starts, sample) - 1
        ticks = self.run_times[run] + (sample - self.run_starts[run]) * self.durations.values[run]
        return Fraction(ticks + self.shift, self.timescale)

    def duration_of(self, sample: int) -> int:
        """How long ``sample`` takes, in ticks."""
        return self.durations.values[bisect_right(self.run_starts, sample) - 1]

    def keyframe_before(self, sample: int) -> int:
        """The last keyframe at or before ``sample``; 0 if there is none."""
        if self.sync is None:
            return sample
        at = bisect_right(self.sync, sample) - 1
        return self.sync[at] if at >= 0 else 0

    def shown_times(self) -> Iterator[int]:
        """When each sample is shown, in ticks, in decoding order."""
        decoded = accumulate(self.durations, initial=self.shift)
        return map(add, decoded, self.offsets or repeat(0, self.count))

    def keyframes(self) -> Iterator[int]:
        """Numbers of the samples that decoding may start at."""
        return iter(range(self.count)) if self.sync is None else iter(self.sync)

    def bytes_of(self, first: int, stop: int) -> Iterator[ByteRange]:
        """Where samples ``[first, stop)`` lie, run by run."""
        stop = min(stop, self.count)
        run = bisect_right(self.firsts, first) - 1
        while first < stop:
            until = min(stop, self.firsts[run + 1])
            start = self.places[run] + self._length(self.firsts[run], first)
            yield start, start + self._length(first, until)
            first, run = until, run + 1

    def _length(self, first: int, stop: int) -> int:
        return (stop - first) * self.size if self.sizes is None else sum(self.sizes[first:stop])


@dataclass(frozen=True, slots=True, kw_only=True)
class Mp4Index:
    """Tracks in the order of the file, which is the order that ffmpeg numbers streams in."""

    tracks: tuple[TrackIndex, ...]


def parse_mp4_index(moov: bytes, file_bytes: int) -> Mp4Index | None:
    """The index in ``moov`` (a whole box, its header included) of a file of ``file_bytes``; None where it does not tell
    everything, or contradicts itself or the file's size."""
    try:
        return _parsed(memoryview(moov), file_bytes)
    except (Strange, IndexError, ValueError, OverflowError):
        return None


def _parsed(moov: memoryview, file_bytes: int) -> Mp4Index:
    if any(name == b"mvex" for name, _ in boxes_in(inside(moov, b"moov"))):
        raise Strange
    return Mp4Index(tracks=tuple(track for _, track in tracks_of(moov, file_bytes)))


def tracks_of(moov: memoryview, file_bytes: int) -> list[tuple[int, TrackIndex]]:
    """The tracks in a ``moov`` box with their numbers (8.3.2), in the order of the file. Raises `Strange`."""
    movie_scale = 0
    tracks = []
    for name, body in boxes_in(inside(moov, b"moov")):
        if name == b"cmov":
            raise Strange
        if name == b"mvhd":
            movie_scale = _timescale(body)
        elif name == b"trak":
            boxes: dict[bytes, memoryview] = {}
            for leaf, content in leaves_in(body):
                boxes.setdefault(leaf, content)  # QuickTime has a second handler, of the data, after the media's own
            number = uint_at(boxes[b"tkhd"], 20 if boxes[b"tkhd"][0] == 1 else 12) if b"tkhd" in boxes else 0
            tracks.append((number, _track(boxes, movie_scale, file_bytes)))
    if not tracks:
        raise Strange
    return tracks


def _track(boxes: dict[bytes, memoryview], movie_scale: int, file_bytes: int) -> TrackIndex:
    if not {b"mdhd", b"hdlr", b"stts", b"stsc", b"stsz"} <= boxes.keys() or not {b"stco", b"co64"} & boxes.keys():
        raise Strange
    timescale = _timescale(boxes[b"mdhd"])
    sizes, size, count = _sizes(boxes[b"stsz"])
    places = _table(boxes[b"co64"], "Q") if b"co64" in boxes else array("Q", _table(boxes[b"stco"], "I"))
    firsts = _first_samples(_table(boxes[b"stsc"], "I", columns=3), len(places), count)
    durations = _runs(boxes[b"stts"], "I", count)
    shift, end = _edits(boxes.get(b"elst"), movie_scale, timescale)
    track = TrackIndex(
        kind=bytes(boxes[b"hdlr"][8:12]).decode("latin-1"),
        timescale=timescale,
        count=count,
        shift=shift,
        end=end,
        durations=durations,
        offsets=_runs(boxes[b"ctts"], "i", count) if b"ctts" in boxes else None,
        sync=array("I", (number - 1 for number in _table(boxes[b"stss"], "I"))) if b"stss" in boxes else None,
        sizes=sizes,
        size=size,
        places=places,
        firsts=firsts,
        run_starts=sums(durations.counts),
        run_times=sums([a * b for a, b in zip(durations.counts, durations.values, strict=True)]),
    )
    _check_places(track, file_bytes)
    return track


def _check_places(track: TrackIndex, file_bytes: int) -> None:
    if track.sync is not None and any(a >= b for a, b in zip(track.sync, track.sync[1:], strict=False)):
        raise Strange
    if not track.places:
        return
    furthest = max(range(len(track.places)), key=track.places.__getitem__)
    for _, stop in track.bytes_of(track.firsts[furthest], track.firsts[furthest + 1]):
        if stop > file_bytes:
            raise Strange  # cut off


def _edits(elst: memoryview | None, movie_scale: int, timescale: int) -> tuple[int, int | None]:
    """(What an edit list of the plain kind, wait and then play on from somewhere, adds to every time; where it ends)."""
    if elst is None:
        return 0, None
    version = elst[0]
    width = 8 if version == 1 else 4
    entries = []
    for at in range(uint_at(elst, 4)):
        start = 8 + at * (2 * width + 4)
        duration = int.from_bytes(elst[start : start + width], "big")
        media_time = int.from_bytes(elst[start + width : start + 2 * width], "big", signed=True)
        if len(elst) < start + 2 * width + 4 or uint_at(elst, start + 2 * width) != 0x10000:
            raise Strange  # played at another speed
        entries.append((duration, media_time))
    waits = [duration for duration, media_time in entries if media_time < 0]
    plays = [(duration, media_time) for duration, media_time in entries if media_time >= 0]
    if len(plays) > 1 or len(waits) > 1 or (waits and entries[0][1] >= 0) or not movie_scale:
        raise Strange
    wait = round(Fraction(sum(waits) * timescale, movie_scale))
    length = round(Fraction(plays[0][0] * timescale, movie_scale)) if plays else 0
    return wait - (plays[0][1] if plays else 0), wait + length if length else None


def _first_samples(table: array[int], runs: int, count: int) -> array[int]:
    """The first sample of every run (``stsc`` tells in how many samples a run has from which run on)."""
    firsts = array("Q")
    sample = 0
    for entry in range(0, len(table), 3):
        stop = table[entry + 3] if entry + 3 < len(table) else runs + 1
        number, samples = stop - table[entry], table[entry + 1]
        if number < 0 or stop > runs + 1:
            raise Strange
        firsts.extend(range(sample, sample + number * samples, samples) if samples else ())
        sample += number * samples
    if sample != count or len(firsts) != runs:
        raise Strange
    firsts.append(count)
    return firsts


def _sizes(stsz: memoryview) -> tuple[array[int] | None, int, int]:
    size, count = uint_at(stsz, 4), uint_at(stsz, 8)
    if size or not count:
        return None, size, count
    return numbers_of(stsz[12:], "I", count), 0, count


def _runs(box: memoryview, values: str, count: int) -> Runs:
    table = _table(box, "I", columns=2)
    runs = Runs(counts=table[0::2], values=array(values, table[1::2].tobytes()))
    if sum(runs.counts) != count:
        raise Strange
    return runs


def sums(values: list[int] | array[int]) -> array[int]:
    return array("Q", list(accumulate(values, initial=0))[:-1])


def _timescale(header: memoryview) -> int:
    """Of ``mvhd`` and ``mdhd``: they begin alike."""
    timescale = uint_at(header, 20 if header[0] == 1 else 12)
    if not timescale:
        raise Strange
    return timescale


def _table(box: memoryview, kind: str, columns: int = 1) -> array[int]:
    return numbers_of(box[8:], kind, uint_at(box, 4) * columns)


def numbers_of(data: memoryview, kind: str, count: int) -> array[int]:
    values: array[int] = array(kind)
    if count > _LONGEST_TABLE or len(data) < count * values.itemsize:
        raise Strange
    values.frombytes(data[: count * values.itemsize])
    if sys.byteorder == "little":
        values.byteswap()
    return values


def uint_at(data: memoryview, at: int) -> int:
    if len(data) < at + 4:
        raise Strange
    return int.from_bytes(data[at : at + 4], "big")


def leaves_in(body: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    for name, inner in boxes_in(body):
        if name in _PARENTS:
            yield from leaves_in(inner)
        else:
            yield name, inner


def inside(box: memoryview, name: bytes) -> memoryview:
    for found, body in boxes_in(box):
        if found == name:
            return body
    raise Strange


def boxes_in(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(data):
        size, header = uint_at(data, at), 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = len(data) - at
        if size < header or at + size > len(data):
            raise Strange
        yield bytes(data[at + 4 : at + 8]), data[at + header : at + size]
        at += size
