"""Our own init segments: equal for every chunk of a rendition, whatever the encoder's muxer felt like."""

from __future__ import annotations

import struct

from packager.cmaf.boxes import Buffer, box, child, full_box
from packager.cmaf.facts import VideoFacts, entry_boxes, only_track, read_facts, sample_entry

TRACK_ID = 1

_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_KEPT_IN_ENTRY = frozenset({b"avcC", b"esds", b"colr", b"pasp"})
"""Not ``btrt``: a bit rate that the muxer measures or guesses would differ from chunk to chunk."""


def build_init(encoded: Buffer, *, timescale: int) -> bytes:
    """The init segment for the only track of ``encoded``, in ``timescale``.

    No edit list, no times, no durations. The codec's own configuration (avcC, esds), colour and pixel shape come from
    the encoder. Brands: ``cmf2`` (no edit list, version 1 runs, defaults repeated in every tfhd) includes ``cmfc``.
    """
    data = memoryview(encoded)
    facts = read_facts(data)
    moov = box(
        b"moov",
        full_box(b"mvhd", 0, 0, _movie_header(timescale)),
        _track(data, facts_are_video=isinstance(facts, VideoFacts), timescale=timescale, language=facts.language),
        box(b"mvex", full_box(b"trex", 0, 0, struct.pack(">5I", TRACK_ID, 1, 0, 0, 0))),
    )
    return box(b"ftyp", b"iso6", bytes(4), b"iso6", b"cmfc", b"cmf2") + moov


def _movie_header(timescale: int) -> bytes:
    rate_and_volume = struct.pack(">IH", 0x10000, 0x100)
    return (
        struct.pack(">4I", 0, 0, timescale, 0)
        + rate_and_volume
        + bytes(10)
        + _UNITY_MATRIX
        + bytes(24)
        + struct.pack(">I", TRACK_ID + 1)
    )


def _track(data: memoryview, *, facts_are_video: bool, timescale: int, language: str) -> bytes:
    track = only_track(data)
    tkhd = child(data, track, b"tkhd")
    display_size = bytes(data[tkhd.stop - 8 : tkhd.stop])  # 16.16 width and height close the box in both versions
    volume = 0 if facts_are_video else 0x100
    header = full_box(
        b"tkhd",
        0,
        3,  # enabled, in movie
        struct.pack(">5I", 0, 0, TRACK_ID, 0, 0) + bytes(8) + struct.pack(">HHHH", 0, 0, volume, 0),
        _UNITY_MATRIX,
        display_size,
    )
    packed_language = sum((ord(letter) - 0x60) << shift for letter, shift in zip(language, (10, 5, 0), strict=True))
    handler, name = (b"vide", b"Video\0") if facts_are_video else (b"soun", b"Sound\0")
    media_header = full_box(b"vmhd", 0, 1, bytes(8)) if facts_are_video else full_box(b"smhd", 0, 0, bytes(4))
    media = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">4IHH", 0, 0, timescale, 0, packed_language, 0)),
        full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name),
        box(
            b"minf",
            media_header,
            box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1))),
            box(
                b"stbl",
                full_box(b"stsd", 0, 0, struct.pack(">I", 1), _sample_entry(data)),
                *(full_box(kind, 0, 0, bytes(4)) for kind in (b"stts", b"stsc")),
                full_box(b"stsz", 0, 0, bytes(8)),
                full_box(b"stco", 0, 0, bytes(4)),
            ),
        ),
    )
    return box(b"trak", header, media)


def _sample_entry(data: memoryview) -> bytes:
    entry = sample_entry(data, only_track(data))
    fixed, inside = entry_boxes(data, entry)
    return box(entry.kind, fixed, *(data[part.start : part.stop] for part in inside if part.kind in _KEPT_IN_ENTRY))
