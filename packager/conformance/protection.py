"""What segments say of their own encryption (ISO/IEC 23001-7): keys, maps of subsamples, and whether what players need to
read is clear. Facts; the rules that hold them against the specification are in `ciphers`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from packager.cmaf.boxes import Box, children, find
from packager.cmaf.pssh import read_pssh
from packager.cmaf.samples import Sample
from storage.errors import WrongOutput

_USES_SUBSAMPLES = 2
_SEIG = b"seig"
_MOST_SAMPLES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackKey:
    """The key of samples, by tenc or a sample group. ``iv``: the constant one, in hexadecimal; None: samples have their own,
    of ``iv_bytes``."""

    kid: str
    pattern: tuple[int, int]
    iv_bytes: int
    iv: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredProtection:
    """Of one fragment. ``key`` None: the track's default. Problems are sentences; None: there is none."""

    key: TrackKey | None
    map_problem: str | None
    sum_problem: str | None
    clear_problem: str | None


def read_key(content: memoryview, *, version: int) -> TrackKey:
    """The fields that tenc (version given) and seig share, from the byte that holds the pattern on."""
    packed, is_protected, iv_bytes = content[0], content[1], content[2]
    kid = bytes(content[3:19]).hex()
    iv = None
    if is_protected and iv_bytes == 0 and len(content) > 19:
        size = content[19]
        iv = bytes(content[20 : 20 + size]).hex()
    return TrackKey(kid=kid, pattern=(packed >> 4, packed & 0xF) if version else (0, 0), iv_bytes=iv_bytes, iv=iv)


def read_pssh_boxes(data: memoryview, moov: Box) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], str | None]:
    """(system, key ids) of the pssh boxes in ``moov``, and what is wrong with one of them."""
    found = []
    for box in children(data, moov, b"pssh"):
        try:
            found.append(read_pssh(bytes(data[box.start : box.stop])))
        except WrongOutput as error:
            return tuple(found), error.sentence
    return tuple(found), None


def measure_protection(
    data: memoryview,
    moof: Box,
    traf: Box,
    samples: Sequence[Sample],
    *,
    default: TrackKey | None,
    nal_bytes: int,
    hevc: bool,
) -> MeasuredProtection:
    """``nal_bytes``: of NAL units' lengths; 0: the track has none. ``default``: of the track. ``hevc``: else it is H.264."""
    key = _group_key(data, traf)
    senc = find(data, traf, b"senc")
    holds = key or default
    iv_bytes = holds.iv_bytes if holds is not None else 0
    try:
        entries, ends = _entries(data, senc, iv_bytes) if senc is not None else ((), ())
    except (struct.error, IndexError):
        return MeasuredProtection(
            key=key, map_problem="The map of subsamples is cut short.", sum_problem=None, clear_problem=None
        )
    return MeasuredProtection(
        key=key,
        map_problem=_map_problem(data, moof, traf, senc, ends),
        sum_problem=_sum_problem(entries, samples),
        clear_problem=_clear_problem(data, entries, samples, nal_bytes, hevc=hevc),
    )


def _group_key(data: memoryview, traf: Box) -> TrackKey | None:
    for box in children(data, traf, b"sgpd"):
        at = box.content
        if bytes(data[at + 4 : at + 8]) == _SEIG and data[at] == 1:
            (length,) = struct.unpack_from(">I", data, at + 8)
            start = at + 16 + (4 if length == 0 else 0)
            return read_key(data[start + 1 : box.stop], version=1)
    return None


_Entries = tuple[tuple[tuple[int, int], ...], ...]


def _entries(data: memoryview, senc: Box, iv_bytes: int) -> tuple[_Entries, tuple[int, ...]]:
    """The subsamples of every sample, and where each one's entry ends, counted from its box's first entry."""
    flags, count = struct.unpack_from(">II", data, senc.content)
    at = senc.content + 8
    entries, ends = [], []
    for _ in range(min(count, _MOST_SAMPLES)):
        at += iv_bytes
        pairs: tuple[tuple[int, int], ...] = ()
        if flags & _USES_SUBSAMPLES:
            (number,) = struct.unpack_from(">H", data, at)
            rows = (struct.unpack_from(">HI", data, at + 2 + 6 * index) for index in range(number))
            pairs = tuple((clear, protected) for clear, protected in rows)
            at += 2 + 6 * number
        if at > senc.stop:
            raise IndexError
        entries.append(pairs)
        ends.append(at - senc.content - 8)
    return tuple(entries), tuple(ends)


def _map_problem(data: memoryview, moof: Box, traf: Box, senc: Box | None, ends: Sequence[int]) -> str | None:
    """Whether saiz and saio, which players go by, say where senc's entries are."""
    sizes, offsets = find(data, traf, b"saiz"), find(data, traf, b"saio")
    if senc is None:
        return None
    if sizes is None or offsets is None:
        return "There is a senc, and no saiz or saio that tells of it."
    at = sizes.content + 4 + (8 if data[sizes.content + 3] & 1 else 0)
    default = data[at]
    (count,) = struct.unpack_from(">I", data, at + 1)
    stated = [default] * count if default else list(data[at + 5 : at + 5 + count])
    real = [end - start for start, end in zip((0, *ends), ends, strict=False)]
    if stated != real:
        return f"saiz states {stated[:3]} bytes of the first samples, they have {real[:3]}."
    at = offsets.content + 4 + (8 if data[offsets.content + 3] & 1 else 0)
    wide = data[offsets.content] == 1
    (offset,) = struct.unpack_from(">Q" if wide else ">I", data, at + 4)
    place = senc.content + 8 - moof.start
    return None if offset == place else f"saio points at {offset}, the entries are at {place}."


def _sum_problem(entries: _Entries, samples: Sequence[Sample]) -> str | None:
    for number, (pairs, sample) in enumerate(zip(entries, samples, strict=False)):
        whole = sum(clear + protected for clear, protected in pairs)
        if pairs and whole != sample.size:
            return f"The subsamples of sample {number} make {whole} bytes of {sample.size}."
    return None


def _clear_problem(
    data: memoryview, entries: _Entries, samples: Sequence[Sample], nal_bytes: int, *, hevc: bool
) -> str | None:
    """Lengths and headers of NAL units, and all of those that are no slices, are clear."""
    if not nal_bytes:
        return None
    for number, sample in enumerate(samples):
        if sample.offset + sample.size > len(data):
            return None
        pairs = entries[number] if number < len(entries) else ()
        if not pairs:
            return f"Sample {number} is encrypted whole, its NAL units' lengths too."
        if not _is_clear(data, sample, pairs, nal_bytes, hevc=hevc):
            return f"In sample {number} more than the data of slices is encrypted."
    return None


def _is_clear(
    data: memoryview, sample: Sample, pairs: Sequence[tuple[int, int]], nal_bytes: int, *, hevc: bool
) -> bool:
    at, stop = sample.offset, sample.offset + sample.size
    protected = []
    place = sample.offset
    for clear, length in pairs:
        protected.append((place + clear, place + clear + length))
        place += clear + length
    while at + nal_bytes < stop:
        size = int.from_bytes(data[at : at + nal_bytes], "big")
        end = at + nal_bytes + size
        first = data[at + nal_bytes]
        is_slice = first >> 1 & 0x3F < 32 if hevc else first & 0x1F in (1, 5)
        open_until = at + nal_bytes + 2 if is_slice else end
        if (
            size == 0
            or end > stop
            or any(start < open_until and last > at for start, last in protected if last > start)
        ):
            return False
        at = end
    return True
