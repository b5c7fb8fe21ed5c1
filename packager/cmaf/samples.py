"""The samples of a fragmented MP4, as an index: where each lies, and when it is decoded and shown. Reads boxes only,
never media data."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from packager.cmaf.boxes import Box, child, children, find, reading, walk
from packager.cmaf.facts import movie
from storage.errors import WrongOutput

NON_SYNC = 0x10000  # sample_is_non_sync_sample of the sample flags (ISO/IEC 14496-12 section 8.8.3.1)

# Flags of tfhd and trun (ISO/IEC 14496-12 sections 8.8.7 and 8.8.8).
_BASE_DATA_OFFSET = 0x1
_DATA_OFFSET = 0x1
_FIRST_FLAGS = 0x4
_MOST_SAMPLES = 1 << 20  # a run may claim samples that take no bytes in it
_DURATION, _SIZE, _FLAGS, _COMPOSITION = 0x100, 0x200, 0x400, 0x800


@dataclass(frozen=True, slots=True)
class Sample:
    """One coded picture or audio frame. Ticks are of the file's own timescale."""

    offset: int
    size: int
    duration_ticks: int
    decode_ticks: int
    present_ticks: int
    sync: bool


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for samples of which nothing else is said: of a track (trex), or of a fragment (tfhd)."""

    duration: int
    size: int
    flags: int


def read_samples(data: memoryview) -> list[Sample]:
    """Every sample of the file's only track, in decoding order."""
    samples: list[Sample] = []
    with reading():
        defaults = read_defaults(data)
        for box in walk(data):
            if box.kind == b"moof":
                for traf in children(data, box, b"traf"):
                    samples += read_traf(data, box, traf, defaults)
    for sample in samples:
        if sample.offset < 0 or sample.offset + sample.size > len(data):
            raise WrongOutput("A sample lies beyond the end of the file.", offset=sample.offset, size=sample.size)
    return samples


def read_defaults(data: memoryview) -> Defaults:
    """The defaults that the movie box gives its first track."""
    trex = child(data, movie(data), b"mvex", b"trex")
    _, _, duration, size, flags = struct.unpack_from(">5I", data, trex.content + 4)
    return Defaults(duration, size, flags)


def read_traf(data: memoryview, moof: Box, traf: Box, defaults: Defaults) -> list[Sample]:
    """The samples of one track fragment; they may claim bytes beyond ``data``."""
    base, defaults = _read_tfhd(data, moof, child(data, traf, b"tfhd"), defaults)
    tfdt = find(data, traf, b"tfdt")
    if tfdt is None:
        raise WrongOutput("A fragment does not say when it is decoded.", offset=moof.start)
    (decode,) = struct.unpack_from(">Q" if data[tfdt.content] == 1 else ">I", data, tfdt.content + 4)
    samples: list[Sample] = []
    for trun in children(data, traf, b"trun"):
        run = _read_trun(data, trun, base, decode, defaults)
        if run:
            base = run[-1].offset + run[-1].size
            decode = run[-1].decode_ticks + run[-1].duration_ticks
        samples += run
    return samples


def _read_tfhd(data: memoryview, moof: Box, tfhd: Box, defaults: Defaults) -> tuple[int, Defaults]:
    (flags,) = struct.unpack_from(">I", data, tfhd.content)
    at = tfhd.content + 8
    base = moof.start
    if flags & _BASE_DATA_OFFSET:
        (base,) = struct.unpack_from(">Q", data, at)
        at += 8
    values = [0, defaults.duration, defaults.size, defaults.flags]
    for index, bit in enumerate((0x2, 0x8, 0x10, 0x20)):  # description index, duration, size, flags
        if flags & bit:
            (values[index],) = struct.unpack_from(">I", data, at)
            at += 4
    return base, Defaults(*values[1:])


def _read_trun(data: memoryview, trun: Box, base: int, decode: int, defaults: Defaults) -> list[Sample]:
    word, count = struct.unpack_from(">II", data, trun.content)
    signed, flags = bool(word >> 24), word & 0xFFFFFF
    at = trun.content + 8
    first_flags = None
    offset = base
    if flags & _DATA_OFFSET:
        offset = base + struct.unpack_from(">i", data, at)[0]
        at += 4
    if flags & _FIRST_FLAGS:
        (first_flags,) = struct.unpack_from(">I", data, at)
        at += 4
    present = [bit for bit in (_DURATION, _SIZE, _FLAGS, _COMPOSITION) if flags & bit]
    row = struct.Struct(">" + "".join("i" if bit == _COMPOSITION and signed else "I" for bit in present))
    if at + count * row.size > trun.stop or count > _MOST_SAMPLES:
        raise WrongOutput("A run of samples is cut short.", offset=trun.start, samples=count)
    samples: list[Sample] = []
    for index in range(count):
        own = dict(zip(present, row.unpack_from(data, at), strict=True))
        at += row.size
        duration = own.get(_DURATION, defaults.duration)
        size = own.get(_SIZE, defaults.size)
        sample_flags = own.get(_FLAGS, defaults.flags)
        if index == 0 and first_flags is not None:
            sample_flags = first_flags
        sync = not sample_flags & NON_SYNC
        samples.append(Sample(offset, size, duration, decode, decode + own.get(_COMPOSITION, 0), sync))
        offset += size
        decode += duration
    return samples
