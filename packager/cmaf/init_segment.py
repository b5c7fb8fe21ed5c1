"""Our own init segments: equal for every chunk of a rendition, whatever the encoder's muxer felt like."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from packager.cmaf.boxes import Buffer, box, child, full_box
from packager.cmaf.facts import VideoFacts, entry_boxes, only_track, read_facts, sample_entry
from packager.cmaf.protection import AUDIO_PATTERN, VIDEO_PATTERN, protection_info
from packager.cmaf.pssh import pssh_boxes
from storage.errors import WrongOutput
from storage.media.encryption import KeyFacts

TRACK_ID = 1

_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_KEPT_IN_ENTRY = frozenset({b"avcC", b"esds", b"colr", b"pasp"})
"""Not ``btrt``: a bit rate that the muxer measures or guesses would differ from chunk to chunk."""


def build_init(encoded: Buffer, *, timescale: int, keys: Sequence[KeyFacts] = ()) -> bytes:
    """The init segment for the only track of ``encoded``, in ``timescale``.

    No edit list, no times, no durations. The codec's own configuration (avcC, esds), colour and pixel shape come from
    the encoder. Brands: ``cmf2`` (no edit list, version 1 runs, defaults repeated in every tfhd) includes ``cmfc``.
    ``keys``: of encrypted samples, in order; the first is the track's default.
    """
    data = memoryview(encoded)
    facts = read_facts(data)
    moov = box(
        b"moov",
        full_box(b"mvhd", 0, 0, _movie_header(timescale)),
        _track(
            data,
            facts_are_video=isinstance(facts, VideoFacts),
            timescale=timescale,
            language=facts.language,
            key=keys[0] if keys else None,
        ),
        box(b"mvex", full_box(b"trex", 0, 0, struct.pack(">5I", TRACK_ID, 1, 0, 0, 0))),
        *(pssh_boxes(keys) if keys else ()),
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


def _track(data: memoryview, *, facts_are_video: bool, timescale: int, language: str, key: KeyFacts | None) -> bytes:
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
                full_box(b"stsd", 0, 0, struct.pack(">I", 1), _sample_entry(data, key)),
                *(full_box(kind, 0, 0, bytes(4)) for kind in (b"stts", b"stsc")),
                full_box(b"stsz", 0, 0, bytes(8)),
                full_box(b"stco", 0, 0, bytes(4)),
            ),
        ),
    )
    return box(b"trak", header, media)


def _sample_entry(data: memoryview, key: KeyFacts | None) -> bytes:
    entry = sample_entry(data, only_track(data))
    fixed, inside = entry_boxes(data, entry)
    kept = [data[part.start : part.stop] for part in inside if part.kind in _KEPT_IN_ENTRY]
    if key is None:
        return box(entry.kind, fixed, *kept)
    is_sound = entry.kind == b"mp4a"
    information = protection_info(entry.kind, key, AUDIO_PATTERN if is_sound else VIDEO_PATTERN)
    return box(b"enca" if is_sound else b"encv", fixed, *kept, information)


def with_default_key(init: bytes, key: KeyFacts) -> bytes:
    """``init``, an init segment of ours, for samples under ``key``: for players that take the key's id from here, and not
    from the fragments. Raises `WrongOutput` if it is of a clear track."""
    data = memoryview(init)
    entry = sample_entry(data, only_track(data))
    information = next((part for part in entry_boxes(data, entry)[1] if part.kind == b"sinf"), None)
    if information is None:
        raise WrongOutput("This track is not encrypted.")
    default = child(data, information, b"schi", b"tenc")
    ids = bytes.fromhex(key.kid) + bytes([len(key.iv) // 2]) + bytes.fromhex(key.iv)
    return init[: default.content + 8] + ids + init[default.stop :]
