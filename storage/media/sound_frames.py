"""Frames of MP3 and AAC as they stand in files of their own: each says how long it is, and none says when it is heard. Pure.

MPEG audio layer III: ISO 11172-3, 2.4.1.3, and 13818-3; ADTS: ISO 14496-3, 1.A.3.2. Tags around the frames: ID3v2.4, 3.1;
ID3v1; APEv2. The frame that tells the length, with no sound in it, is Xing's and LAME's, or Fraunhofer's (VBRI).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

FRAMED = frozenset({"mp3", "aac"})
"""The demuxers of such files."""
LARGEST_FRAME_BYTES = 8191
SMALLEST_REST_BYTES = 7
"""Less than this of a frame that is cut off at the end is no frame to everybody."""

_LAYER_3_KBPS = {
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_LAYER_3_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_ADTS_RATES_HZ = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_ID3V1_BYTES, _APE_BYTES = 128, 32
_DECODER_DELAY = 528 + 1
"""Samples by which decoders of layer III come late (LAME's convention)."""
_KNOWN_WRITERS = (b"LAME", b"Lavf", b"Lavc")
"""Those whose word on the encoder's delay libavformat takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameKind:
    """What is the same for all frames of a file: ``samples`` each, ``rate_hz`` of them a second."""

    samples: int
    rate_hz: int
    mono: bool = False
    lower_rates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthTag:
    """``frames`` behind a tag, whose file has ``size_bytes``; 0: not told. ``end_padding``: so many of their last samples are
    no sound; None: not told."""

    frames: int
    size_bytes: int
    end_padding: int | None = None


def tag_bytes_before(data: bytes) -> int:
    """How long the ID3v2 tag is that ``data`` begins with; 0: there is none."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if data[5] & 0x10 else 0)


def tag_bytes_behind(data: bytes) -> int:
    """How long the tags are that the file ends with whose end is ``data``: ID3v1, and APEv2 before it."""
    found = _ID3V1_BYTES if data[-_ID3V1_BYTES:][:3] == b"TAG" and len(data) >= _ID3V1_BYTES else 0
    footer = data[: len(data) - found][-_APE_BYTES:]
    if footer[:8] == b"APETAGEX":
        header = _APE_BYTES if footer[23] & 0x80 else 0
        found += int.from_bytes(footer[12:16], "little") + header
    return found


def kind_of(demuxer: str, data: bytes) -> FrameKind | None:
    """Of the frame that ``data`` begins with; None: there is none."""
    if demuxer == "aac":
        if len(data) < SMALLEST_REST_BYTES or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
            return None
        rate = data[2] >> 2 & 0xF
        # More than one block in a frame: nobody writes that, and not everybody reads it.
        if rate >= len(_ADTS_RATES_HZ) or data[6] & 3:
            return None
        return FrameKind(samples=1024, rate_hz=_ADTS_RATES_HZ[rate])
    if len(data) < 4 or data[0] != 0xFF or not _layer_3_bytes(data[1], data[2]):
        return None
    version = data[1] >> 3 & 3
    return FrameKind(
        samples=1152 if version == 3 else 576,
        rate_hz=_LAYER_3_RATES_HZ[version][data[2] >> 2 & 3],
        mono=data[3] >> 6 == 3,
        lower_rates=version != 3,
    )


def sizes_like(demuxer: str, data: bytes) -> Callable[[bytes, int], int]:
    """``sizes(data, at)``: how long the frame at ``at`` is, 0 where there is none or one of another kind than the first of
    ``data``. It wants to see `SMALLEST_REST_BYTES`."""
    if demuxer == "aac":
        # All of the fixed header but whether there is a checksum.
        fixed = (data[1] & 0xFE, data[2], data[3] & 0xF0)

        def adts(data: bytes, at: int) -> int:
            if (
                data[at] != 0xFF
                or (data[at + 1] & 0xFE, data[at + 2], data[at + 3] & 0xF0) != fixed
                or data[at + 6] & 3
            ):
                return 0
            length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
            return length if length >= SMALLEST_REST_BYTES else 0

        return adts
    return _layer_3_sizes(data[1] & 0xFE, data[2] & 0x0C, 0x0C)


def sizes_of_one_rate(data: bytes) -> Callable[[bytes, int], int]:
    """`sizes_like` for frames of layer III with as many bits as the first of ``data``, give or take the byte of padding."""
    return _layer_3_sizes(data[1] & 0xFE, data[2] & 0xFC, 0xFC)


def kbps_of(data: bytes) -> int:
    """How many bits the frame of layer III that ``data`` begins with stands for, in thousands a second."""
    return _LAYER_3_KBPS[3 if data[1] >> 3 & 3 == 3 else 2][(data[2] >> 4) - 1]


def _layer_3_sizes(version: int, third_like: int, mask: int) -> Callable[[bytes, int], int]:
    # By the two bytes that tell it, as there are a million frames.
    known = {
        (version | unchecked) << 8 | third: _layer_3_bytes(version | unchecked, third)
        for unchecked in (0, 1)
        for third in range(256)
        if third & mask == third_like
    }

    def layer_3(data: bytes, at: int) -> int:
        return known.get(data[at + 1] << 8 | data[at + 2], 0) if data[at] == 0xFF else 0

    return layer_3


def length_tag(kind: FrameKind, frame: bytes) -> LengthTag | None:
    """What the first frame of an MP3 tells of all that follow; None where it is one like them."""
    at = 4 + ((9 if kind.mono else 17) if kind.lower_rates else (17 if kind.mono else 32))
    if frame[at : at + 4] in (b"Xing", b"Info"):
        return _xing(frame, at + 4)
    if frame[36:40] == b"VBRI" and frame[40:42] == b"\0\1":
        size, frames = (int.from_bytes(frame[start : start + 4], "big") for start in (46, 50))
        return LengthTag(frames=frames, size_bytes=size) if size or frames else None
    return None


def _xing(frame: bytes, at: int) -> LengthTag | None:
    def number(length: int) -> int:
        nonlocal at
        at += length
        return int.from_bytes(frame[at - length : at], "big")

    flags = number(4)
    frames = number(4) if flags & 1 else 0
    size = number(4) if flags & 2 else 0
    if flags & 4:
        number(100)
    if flags & 8:
        number(4)
    if not frames and not size:
        return None
    writer = frame[at : at + 4]
    at += 21
    padding = number(3) & 0xFFF
    end = max(0, padding - _DECODER_DELAY) if writer in _KNOWN_WRITERS else None
    return LengthTag(frames=frames, size_bytes=size, end_padding=end)


@cache
def _layer_3_bytes(second: int, third: int) -> int:
    version, layer = second >> 3 & 3, second >> 1 & 3
    rate_index, kbps_index = third >> 2 & 3, third >> 4
    if second & 0xE0 != 0xE0 or version == 1 or layer != 1 or rate_index == 3 or kbps_index in (0, 15):
        return 0
    kbps = _LAYER_3_KBPS[3 if version == 3 else 2][kbps_index - 1]
    samples_over_8 = 144 if version == 3 else 72
    return samples_over_8 * kbps * 1000 // _LAYER_3_RATES_HZ[version][rate_index] + (third >> 1 & 1)
