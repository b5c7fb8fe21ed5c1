"""Where the tracks of a fragmented MP4 end, read from its last fragments (ISO 14496-12, 8.8)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .boxes import movie_header

_PARENTS = frozenset({b"moov", b"mvex", b"traf"})
_DEFAULT_DURATION = 0x8  # flags of tfhd
_BEFORE_DEFAULT_DURATION = ((0x1, 8), (0x2, 4))  # base data offset, sample description index
_SAMPLE_FIELDS = ((0x100, "duration"), (0x200, "size"), (0x400, "flags"), (0x800, "offset"))  # flags of trun


def fragment_ends(path: Path, end_bytes: int) -> dict[int, int]:
    """The decoding time at which each track ends, by track number, as the last ``end_bytes`` of the file tell it. Empty
    where these hold no whole ``moof``."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = movie_header(file, size)
        file.seek(max(0, size - end_bytes))
        last = file.read()
    lengths = _default_lengths(header)
    ends: dict[int, int] = {}
    at = last.find(b"moof")
    while at >= 0:
        length = int.from_bytes(last[at - 4 : at], "big") if at >= 4 else 0
        if 8 < length <= len(last) - at + 4:
            with suppress(struct.error):  # four letters that happened to stand there
                ends |= _ends_of(last[at + 4 : at - 4 + length], lengths)
        at = last.find(b"moof", at + 4)
    return ends


def _default_lengths(header: bytes) -> dict[int, int]:
    found = {}
    for name, body in _walk(header):
        if name == b"trex":
            track, _, duration = struct.unpack_from(">III", body, 4)
            found[track] = duration
    return found


def _ends_of(moof: bytes, lengths: dict[int, int]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for name, traf in _boxes(moof):
        if name != b"traf":
            continue
        track = length = time = 0
        for child, body in _boxes(traf):
            if child == b"tfhd":
                track, length = _track_and_length(body, lengths)
            elif child == b"tfdt":
                (time,) = struct.unpack_from(">Q" if body[0] else ">I", body, 4)
            elif child == b"trun":
                time += _run_length(body, length)
        ends[track] = time
    return ends


def _track_and_length(body: bytes, lengths: dict[int, int]) -> tuple[int, int]:
    flags, track = struct.unpack_from(">II", body)
    at = 8 + sum(size for flag, size in _BEFORE_DEFAULT_DURATION if flags & flag)
    if flags & _DEFAULT_DURATION:
        (length,) = struct.unpack_from(">I", body, at)
        return track, length
    return track, lengths.get(track, 0)


def _run_length(body: bytes, length: int) -> int:
    flags, count = struct.unpack_from(">II", body)
    if not flags & 0x100:
        return int(count) * length
    at = 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    step = sum(4 for flag, _ in _SAMPLE_FIELDS if flags & flag)
    return sum(int(struct.unpack_from(">I", body, at + number * step)[0]) for number in range(count))


def _walk(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for name, body in _boxes(data):
        yield name, body
        if name in _PARENTS:
            yield from _walk(body)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + length]
        at += length
