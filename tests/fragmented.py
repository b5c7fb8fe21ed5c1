"""A stand-in for an encoder and its muxer: fragmented MP4 whose samples depend on nothing but their frame's number."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from packager.cmaf.boxes import box, full_box
from packager.cmaf.samples import NON_SYNC

SPS_PPS = bytes.fromhex("0164001effe1000467640c1e01000268ee")
# Sets that say what slice headers look like: baseline, 640x360, and the slice headers that go with them.
REAL_SETS = bytes.fromhex("0142001effe100096742001eda0280be4001000468ce3880")
AAC_LC_48K_STEREO = bytes.fromhex("1190")


def coded_picture(frame: int, *, idr: bool, padding: int = 0) -> bytes:
    """One NAL unit that names its frame: type 5 for an IDR picture, else type 1."""
    unit = bytes([0x65 if idr else 0x41]) + struct.pack(">I", frame) + bytes(padding + frame % 7)
    return struct.pack(">I", len(unit)) + unit


def sliced_picture(frame: int, *, idr: bool, padding: int) -> bytes:
    """A slice with a header as of `REAL_SETS`: bits ``1 0001000 1 0000 1 00 1`` for an IDR picture, else
    ``1 00110 1 0000 0 0 0 1``; then a supplemental unit, which is no slice."""
    head = bytes.fromhex("658884ff") if idr else bytes.fromhex("419a03")
    unit = (
        head + struct.pack(">I", frame) + bytes((index * 7 + frame) % 251 + 1 for index in range(padding + frame % 7))
    )
    more = bytes([0x06, 5, 4, 1, 2, 3, 4, 0x80])
    return struct.pack(">I", len(more)) + more + struct.pack(">I", len(unit)) + unit


def decoding_order(frames: int) -> list[int]:
    """Positions in presentation order of a closed GOP's pictures as x264 codes them: I, then P with a B before it."""
    order = [0]
    for first in range(1, frames, 2):
        order += [first + 1, first] if first + 1 < frames else [first]
    return order


def _init(handler: bytes, entry: bytes, timescale: int) -> bytes:
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    track = box(
        b"trak",
        full_box(
            b"tkhd",
            0,
            3,
            struct.pack(">5I", 7, 7, 1, 0, 0),
            bytes(16),
            matrix,
            struct.pack(">II", 640 << 16, 360 << 16),
        ),
        box(b"edts", full_box(b"elst", 0, 0, struct.pack(">IIiI", 1, 0, 1024, 0x10000))),
        box(
            b"mdia",
            full_box(b"mdhd", 0, 0, struct.pack(">4IHH", 7, 7, timescale, 0, 0x55C4, 0)),
            full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), b"Handler\0"),
            box(b"minf", box(b"stbl", full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry))),
        ),
    )
    return box(b"ftyp", b"iso5", struct.pack(">I", 512), b"iso5") + box(
        b"moov", track, box(b"mvex", full_box(b"trex", 0, 0, struct.pack(">5I", 1, 1, 0, 0, 0)))
    )


def _fragment(base_ticks: int, samples: Sequence[tuple[bytes, int, int]], duration_ticks: int) -> bytes:
    """``samples``: (bytes, flags, composition offset)."""
    rows = b"".join(struct.pack(">IIIi", duration_ticks, len(data), flags, offset) for data, flags, offset in samples)

    def moof(offset: int) -> bytes:
        return box(
            b"moof",
            full_box(b"mfhd", 0, 0, struct.pack(">I", 1)),
            box(
                b"traf",
                full_box(b"tfhd", 0, 0x020000, struct.pack(">I", 1)),
                full_box(b"tfdt", 1, 0, struct.pack(">Q", base_ticks)),
                full_box(b"trun", 1, 0x1 | 0xF00, struct.pack(">Ii", len(samples), offset), rows),
            ),
        )

    return moof(len(moof(0)) + 8) + box(b"mdat", *(data for data, _, _ in samples))


def fake_video(
    frames: Iterable[int],
    *,
    gop_frames: int,
    timescale: int = 12_800,
    frame_ticks: int = 512,
    delay_frames: int = 2,
    padding: int = 0,
    sliced: bool = False,
) -> bytes:
    """What an encoder would write for the contiguous output ``frames``: times from 0 on, IDR pictures where the absolute
    frame number says so, presentation late by ``delay_frames`` as muxers without negative offsets do it. ``sliced``: with slice headers."""
    numbers = list(frames)
    visual = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", 640, 360) + bytes(50)
    entry = box(
        b"avc1",
        visual,
        box(b"avcC", REAL_SETS if sliced else SPS_PPS),
        box(b"colr", b"nclx", bytes.fromhex("00010001000100")),
        box(b"pasp", struct.pack(">II", 1, 1)),
        box(b"btrt", struct.pack(">III", 0, numbers[0], numbers[0])),
    )
    parts = [_init(b"vide", entry, timescale)]
    for start in range(0, len(numbers), gop_frames):
        gop = numbers[start : start + gop_frames]
        samples = [
            (
                (sliced_picture if sliced else coded_picture)(gop[position], idr=position == 0, padding=padding),
                0x2000000 if position == 0 else 0x1000000 | NON_SYNC,
                (position - index + delay_frames) * frame_ticks,
            )
            for index, position in enumerate(decoding_order(len(gop)))
        ]
        parts.append(_fragment(start * frame_ticks, samples, frame_ticks))
    return b"".join(parts)


def fake_audio(frames: Iterable[int], *, fragment_frames: int = 50, padding: int = 0) -> bytes:
    """What an AAC encoder would write: each frame holds its number."""
    numbers = list(frames)
    specific = bytes([5, len(AAC_LC_48K_STEREO)]) + AAC_LC_48K_STEREO
    config = bytes([0x40, 0x15]) + bytes(11) + specific
    stream = bytes(2) + bytes(1) + bytes([4, 0x80, 0x80, 0x80, len(config)]) + config + bytes([6, 1, 2])
    esds = full_box(b"esds", 0, 0, bytes([3, len(stream)]), stream)
    sound = bytes(6) + struct.pack(">H", 1) + bytes(8) + struct.pack(">HHHHI", 2, 16, 0, 0, 48_000 << 16)
    parts = [_init(b"soun", box(b"mp4a", sound, esds, box(b"btrt", bytes(12))), 48_000)]
    for start in range(0, len(numbers), fragment_frames):
        samples = [
            (struct.pack(">i", number) + bytes(padding + number % 5), 0x2000000, 0)
            for number in numbers[start : start + fragment_frames]
        ]
        parts.append(_fragment(start * 1024, samples, 1024))
    return b"".join(parts)
