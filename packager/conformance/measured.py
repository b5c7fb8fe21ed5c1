"""What the bytes of segments say, of any codec: boxes are read, media data only where a picture starts."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

from packager.cmaf.boxes import Box, child, children, find, reading, walk
from packager.cmaf.samples import Sample, read_traf
from packager.conformance.init_segments import MeasuredInit, read_brands
from packager.conformance.protection import (
    MeasuredProtection,
    measure_protection,
)
from storage.errors import WrongOutput

_BASE_DATA_OFFSET, _DEFAULT_BASE_IS_MOOF = 0x1, 0x020000


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFragment:
    """One moof with its mdat, at bytes [start, stop) of its segment. Ticks are of the track's timescale."""

    start: int
    stop: int
    sequence: int
    tracks: int
    runs: int
    track_id: int
    decode_ticks: int | None
    base_is_moof: bool
    repeats_defaults: bool
    run_version: int
    samples: int
    duration_ticks: int
    present_from: int
    present_to: int
    starts_with_sync: bool
    syncs: int
    starts_with_key_picture: bool | None
    """None where the codec does not tell us."""
    wrong_flags: int
    """How many samples are marked as sync against what is coded."""
    outside: int
    """How many samples lie outside of the mdat."""
    shortest_ticks: int
    protected: int
    """How many samples have encryption data of their own; -1: all, by the track's constant one."""
    sync_times: tuple[int, ...]
    protection: MeasuredProtection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSegment:
    size_bytes: int
    brands: tuple[str, ...]
    fragments: tuple[MeasuredFragment, ...]
    problem: str | None = None

    @property
    def start_ticks(self) -> int | None:
        return self.fragments[0].decode_ticks if self.fragments else None

    @property
    def duration_ticks(self) -> int:
        return sum(fragment.duration_ticks for fragment in self.fragments)

    @property
    def present_from(self) -> int:
        return min((fragment.present_from for fragment in self.fragments if fragment.samples), default=0)


def measure_segment(body: bytes, init: MeasuredInit) -> MeasuredSegment:
    """What a segment, or a range of one, holds; ``problem`` is set where its boxes are not whole."""
    data = memoryview(body)
    brands: tuple[str, ...] = ()
    fragments: list[MeasuredFragment] = []
    problem = None
    moof: Box | None = None
    try:
        with reading():
            for box in walk(data):
                if box.kind == b"styp":
                    brands = read_brands(data, box)
                elif box.kind == b"moof":
                    moof = box
                elif box.kind == b"mdat" and moof is not None:
                    fragments.append(_fragment(data, moof, box, init))
                    moof = None
    except WrongOutput as error:
        problem = error.sentence
        if moof is not None:  # a range that ends inside of the media data
            problem = "The media data is cut short."
            try:
                with reading():
                    rest = Box(kind=b"mdat", start=moof.stop, content=min(moof.stop + 8, len(data)), stop=len(data))
                    fragments.append(_fragment(data, moof, rest, init))
            except WrongOutput:
                problem = error.sentence
    if not fragments and problem is None:
        problem = "There is no fragment in it."
    return MeasuredSegment(size_bytes=len(body), brands=brands, fragments=tuple(fragments), problem=problem)


def parse_index(body: bytes) -> list[tuple[int, int]]:
    """(bytes, ticks) of every segment that the first segment index box lists; empty where there is none."""
    data = memoryview(body)
    try:
        with reading():
            for box in walk(data):
                if box.kind == b"sidx":
                    at = box.content + (24 if data[box.content] == 0 else 32)
                    (count,) = struct.unpack_from(">H", data, at - 2)
                    rows = struct.Struct(">III")
                    found = [rows.unpack_from(data, at + 12 * index) for index in range(count)]
                    return [(size & 0x7FFFFFFF, ticks) for size, ticks, _ in found]
    except WrongOutput:
        return []
    return []


def _fragment(data: memoryview, moof: Box, mdat: Box, init: MeasuredInit) -> MeasuredFragment:
    trafs = children(data, moof, b"traf")
    if not trafs:
        raise WrongOutput("A fragment has no track.")
    traf = trafs[0]
    sequence = find(data, moof, b"mfhd")
    header = child(data, traf, b"tfhd")
    flags, track_id = struct.unpack_from(">II", data, header.content)
    runs = children(data, traf, b"trun")
    decode = find(data, traf, b"tfdt")
    ticks = None
    if decode is not None:
        (ticks,) = struct.unpack_from(">Q" if data[decode.content] == 1 else ">I", data, decode.content + 4)
    samples = read_traf(data, moof, traf, init.defaults) if ticks is not None else []
    keys = [_is_key(data, sample, init) for sample in samples if sample.offset + sample.size <= len(data)]
    return MeasuredFragment(
        start=moof.start,
        stop=mdat.stop,
        sequence=struct.unpack_from(">I", data, sequence.content + 4)[0] if sequence else 0,
        tracks=len(trafs),
        runs=len(runs),
        track_id=track_id,
        decode_ticks=ticks,
        base_is_moof=bool(flags & _DEFAULT_BASE_IS_MOOF) and not flags & _BASE_DATA_OFFSET,
        repeats_defaults=_repeats_defaults(data, flags, runs),
        run_version=data[runs[0].content] if runs else 0,
        samples=len(samples),
        duration_ticks=sum(sample.duration_ticks for sample in samples),
        present_from=min((sample.present_ticks for sample in samples), default=0),
        present_to=max((sample.present_ticks + sample.duration_ticks for sample in samples), default=0),
        starts_with_sync=bool(samples) and samples[0].sync,
        syncs=sum(sample.sync for sample in samples),
        starts_with_key_picture=keys[0] if keys else None,
        wrong_flags=sum(key is not None and key != sample.sync for key, sample in zip(keys, samples, strict=False)),
        outside=sum(
            not mdat.content <= sample.offset <= sample.offset + sample.size <= mdat.stop for sample in samples
        ),
        shortest_ticks=min((sample.duration_ticks for sample in samples), default=0),
        protected=_protected(data, traf, init),
        sync_times=tuple(sample.present_ticks for sample in samples if sample.sync),
        protection=_protection_of(data, moof, traf, samples, init) if init.encrypted else None,
    )


def _protection_of(
    data: memoryview, moof: Box, traf: Box, samples: list[Sample], init: MeasuredInit
) -> MeasuredProtection | None:
    key = init.key
    hevc = init.entry.startswith("h")
    return measure_protection(data, moof, traf, samples, default=key, nal_bytes=init.nal_length_bytes, hevc=hevc)


def _protected(data: memoryview, traf: Box, init: MeasuredInit) -> int:
    if not init.encrypted:
        return 0
    own = find(data, traf, b"senc")
    if own is not None:
        return int.from_bytes(data[own.content + 4 : own.content + 8], "big")
    groups = find(data, traf, b"sgpd")  # a sample group may say that these samples are clear, or name another key
    if groups is not None and bytes(data[groups.content + 4 : groups.content + 8]) == b"seig":
        return 0 if data[groups.content + 18] == 0 else -1
    return -1


def _repeats_defaults(data: memoryview, header_flags: int, runs: list[Box]) -> bool:
    """Whether duration, size and flags of every sample are said in the fragment itself."""
    for run in runs:
        (word,) = struct.unpack_from(">I", data, run.content)
        for default, own in ((0x8, 0x100), (0x10, 0x200), (0x20, 0x400)):
            if not header_flags & default and not word & own:
                return False
    return True


def _is_key(data: memoryview, sample: Sample, init: MeasuredInit) -> bool | None:
    """Whether a sample's pictures are IDR (H.264) or IRAP (H.265); None for other codecs and encrypted samples."""
    length = init.nal_length_bytes
    if init.encrypted or not length or init.entry not in ("avc1", "avc3", "hvc1", "hev1"):
        return None
    at, stop = sample.offset, sample.offset + sample.size
    while at + length < stop:
        first = data[at + length]
        if init.entry.startswith("avc"):
            kind = first & 0x1F
            if 1 <= kind <= 5:
                return kind == 5
        else:
            kind = first >> 1 & 0x3F
            if kind < 32:
                return 16 <= kind <= 23
        at += length + int.from_bytes(data[at : at + length], "big")
    return None


def seconds_of(ticks: int, init: MeasuredInit) -> Fraction:
    return Fraction(ticks, init.timescale)
