"""One plain MP4 of a film, made from its segments as they lie in the store: nothing is encoded, nothing is copied.

The file is a head (``ftyp``, ``moov``, the header of ``mdat``) and then the stored segments, whole and untouched, one after
another. Their own ``styp`` and ``moof`` boxes lie inside ``mdat`` there, where nobody looks: the sample tables of the head
point past them. So a byte of the file is a byte of the head or of one segment, and ranges cost what they hold. The head is in
front ("fast start"), and depends on nothing but the segments: the same film gives the same bytes.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from packager.cmaf.boxes import Box, box, child, find, full_box, reading, walk
from packager.cmaf.facts import only_track, sample_entry
from packager.cmaf.samples import read_defaults, read_traf
from storage.errors import WrongOutput
from storage.jobs import Segment

HEAD_WINDOW_BYTES = 4096
"""Enough for what describes a fragment, but for extraordinary ones."""

_STYP_BYTES = 24
_MOVIE_TIMESCALE = 1000
_FTYP = box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isom", b"iso2", b"mp41")
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_ENCRYPTED = (b"encv", b"enca")
_MDAT_HEADER_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A rendition as it is stored: its init segment, and all of its segments from number 0."""

    name: str
    init: bytes
    timescale: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a segment lies: at byte ``offset`` after the head. ``track``: of `Layout.tracks`."""

    track: int
    segment: Segment
    offset: int


@dataclass(frozen=True, slots=True)
class Layout:
    tracks: tuple[Track, ...]
    placed: tuple[Placed, ...]

    @property
    def body_bytes(self) -> int:
        last = self.placed[-1]
        return last.offset + last.segment.size_bytes


def lay_out(*tracks: Track) -> Layout:
    """The segments of ``tracks`` by when they begin, those of the first track before others that begin with them. Raises
    `WrongOutput` where a track has none, or is encrypted."""
    for track in tracks:
        if not track.segments:
            raise WrongOutput("A rendition has no segments.", rendition=track.name)
        data = memoryview(track.init)
        if sample_entry(data, only_track(data)).kind in _ENCRYPTED:
            raise WrongOutput("A rendition is encrypted.", rendition=track.name)
    begins = sorted(
        (segment.start_ticks / track.timescale, index, segment.number, segment)
        for index, track in enumerate(tracks)
        for segment in track.segments
    )
    placed: list[Placed] = []
    offset = 0
    for _, index, _, segment in begins:
        placed.append(Placed(index, segment, offset))
        offset += segment.size_bytes
    return Layout(tracks, tuple(placed))


def fragment_starts(segment: Segment) -> tuple[int, ...]:
    """Where the fragments of one of our segments begin, by what the table knows: a picture alone, then the rest of its
    group; of sound there is one, behind ``styp``."""
    if not segment.iframes:
        return (_STYP_BYTES,)
    ends = [*(iframe.offset for iframe in segment.iframes[1:]), segment.size_bytes]
    starts: list[int] = []
    for iframe, end in zip(segment.iframes, ends, strict=True):
        starts.append(iframe.offset)
        if iframe.offset + iframe.size < end:
            starts.append(iframe.offset + iframe.size)
    return tuple(starts)


def bytes_of_moof(window: bytes) -> int:
    """How many bytes of a fragment its description takes; ``window`` is its beginning. Raises `WrongOutput` where no
    fragment begins."""
    if len(window) < 8 or window[4:8] != b"moof":
        raise WrongOutput("A fragment is not where the table says.")
    return int.from_bytes(window[:4], "big")


@dataclass(slots=True)
class SampleTable:
    """The samples of a track as its fragments tell of them, added in order. Small: four numbers for each."""

    init: bytes
    sizes: array[int] = field(default_factory=lambda: array("I"))
    durations: array[int] = field(default_factory=lambda: array("I"))
    composition: array[int] = field(default_factory=lambda: array("i"))
    sync: array[int] = field(default_factory=lambda: array("I"))
    chunk_offsets: array[int] = field(default_factory=lambda: array("Q"))
    chunk_samples: array[int] = field(default_factory=lambda: array("I"))

    def add(self, moof: bytes, offset: int) -> None:
        """The fragment that ``moof`` describes and that begins at ``offset`` after the head. Raises `WrongOutput`."""
        data = memoryview(moof)
        with reading():
            defaults = read_defaults(memoryview(self.init))
            outer = next(walk(data))
            samples = read_traf(data, outer, child(data, outer, b"traf"), defaults)
        if not samples:
            return
        self.chunk_offsets.append(offset + samples[0].offset)
        self.chunk_samples.append(len(samples))
        for sample in samples:
            self.sizes.append(sample.size)
            self.durations.append(sample.duration_ticks)
            self.composition.append(sample.present_ticks - sample.decode_ticks)
            if sample.sync:
                self.sync.append(len(self.sizes))

    @property
    def duration_ticks(self) -> int:
        return sum(self.durations)


def render_head(layout: Layout, tables: Sequence[SampleTable]) -> bytes:
    """Everything before the first segment. ``tables``: of the layout's tracks, complete."""
    # Offsets grow by the size of what they are written in: that does not depend on their values, only on their width.
    wide = layout.body_bytes + (1 << 26) + 8 * sum(len(table.sizes) for table in tables) > 0xFFFFFFFF
    empty = len(_FTYP) + len(_moov(layout, tables, 0, wide=wide)) + _MDAT_HEADER_BYTES
    moov = _moov(layout, tables, empty, wide=wide)
    return _FTYP + moov + struct.pack(">I4sQ", 1, b"mdat", _MDAT_HEADER_BYTES + layout.body_bytes)


def _moov(layout: Layout, tables: Sequence[SampleTable], base: int, *, wide: bool) -> bytes:
    durations = [
        table.duration_ticks * _MOVIE_TIMESCALE // track.timescale
        for track, table in zip(layout.tracks, tables, strict=True)
    ]
    header = full_box(
        b"mvhd",
        0,
        0,
        struct.pack(">4I", 0, 0, _MOVIE_TIMESCALE, max(durations)),
        struct.pack(">IH", 0x10000, 0x100) + bytes(10) + _MATRIX + bytes(24),
        struct.pack(">I", len(tables) + 1),
    )
    traks = [
        _trak(number, track.timescale, table, duration, base, wide=wide)
        for number, (track, table, duration) in enumerate(zip(layout.tracks, tables, durations, strict=True), start=1)
    ]
    return box(b"moov", header, *traks)


def _trak(number: int, timescale: int, table: SampleTable, duration: int, base: int, *, wide: bool) -> bytes:
    init = memoryview(table.init)
    known = only_track(init)
    # Decoding is ahead of showing where pictures are reordered. Offsets below zero are for newer players only, so all
    # are moved up, and an edit says that the film begins where the first picture is shown.
    shift = max(0, -min(table.composition, default=0))
    tkhd = child(init, known, b"tkhd")
    is_video = find(init, known, b"mdia", b"minf", b"vmhd") is not None
    volume_and_size = bytes(init[tkhd.stop - 48 : tkhd.stop])  # volume, reserved, matrix, width, height end the box
    header = full_box(
        b"tkhd",
        0,
        3,  # enabled, in movie
        struct.pack(">5I", 0, 0, number, 0, duration) + bytes(8) + struct.pack(">HH", 0, 0 if is_video else 1),
        volume_and_size,
    )
    return box(b"trak", header, _edit(duration, shift), _mdia(init, known, timescale, table, shift, base, wide=wide))


def _edit(duration: int, shift: int) -> bytes:
    return box(b"edts", full_box(b"elst", 0, 0, struct.pack(">IIiHH", 1, duration, shift, 1, 0))) if shift else b""


def _mdia(
    init: memoryview, known: Box, timescale: int, table: SampleTable, shift: int, base: int, *, wide: bool
) -> bytes:
    mdhd = child(init, known, b"mdia", b"mdhd")
    language = bytes(init[mdhd.stop - 4 : mdhd.stop - 2])
    ticks = table.duration_ticks
    version, form = (1, ">QQIQ") if ticks > 0xFFFFFFFF else (0, ">4I")
    media_header = full_box(b"mdhd", version, 0, struct.pack(form, 0, 0, timescale, ticks), language, bytes(2))
    minf = child(init, known, b"mdia", b"minf")
    kind = next(each for each in (b"vmhd", b"smhd") if find(init, minf, each) is not None)
    return box(
        b"mdia",
        media_header,
        _copied(init, child(init, known, b"mdia", b"hdlr")),
        box(
            b"minf",
            _copied(init, child(init, minf, kind)),
            _copied(init, child(init, minf, b"dinf")),
            _stbl(_copied(init, child(init, minf, b"stbl", b"stsd")), table, shift, base, wide=wide),
        ),
    )


def _stbl(stsd: bytes, table: SampleTable, shift: int, base: int, *, wide: bool) -> bytes:
    parts = [stsd, _runs(b"stts", table.durations)]
    if any(table.composition):
        parts.append(_runs(b"ctts", array("I", (offset + shift for offset in table.composition))))
    if len(table.sync) != len(table.sizes):
        parts.append(full_box(b"stss", 0, 0, struct.pack(">I", len(table.sync)), _big(table.sync)))
    parts.append(_stsc(table.chunk_samples))
    parts.append(full_box(b"stsz", 0, 0, struct.pack(">II", 0, len(table.sizes)), _big(table.sizes)))
    offsets = array("Q" if wide else "I", (base + offset for offset in table.chunk_offsets))
    parts.append(full_box(b"co64" if wide else b"stco", 0, 0, struct.pack(">I", len(offsets)), _big(offsets)))
    return box(b"stbl", *parts)


def _runs(kind: bytes, values: array[int]) -> bytes:
    """A table of (how many in a row, value)."""
    runs = array("I")
    for value in values:
        if runs and runs[-1] == value:
            runs[-2] += 1
        else:
            runs.extend((1, value))
    return full_box(kind, 0, 0, struct.pack(">I", len(runs) // 2), _big(runs))


def _stsc(samples: array[int]) -> bytes:
    """Chunks by number, where the number of samples changes."""
    rows = array("I")
    for index, number in enumerate(samples, start=1):
        if not rows or rows[-2] != number:
            rows.extend((index, number, 1))
    return full_box(b"stsc", 0, 0, struct.pack(">I", len(rows) // 3), _big(rows))


def _big(values: array[int]) -> bytes:
    """The values as they are written: with the high byte first."""
    if sys.byteorder == "little":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _copied(data: memoryview, known: Box) -> bytes:
    return bytes(data[known.start : known.stop])
