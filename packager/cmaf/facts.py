"""What an init segment says of its one track: codec string, timescale, size or channels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

from packager.cmaf.boxes import Box, Buffer, child, children, reading, walk
from storage.errors import WrongOutput

# Bytes of a sample entry before its own boxes, its header not counted (ISO/IEC 14496-12 sections 12.1.3 and 12.2.3).
_VISUAL_ENTRY = 78
_AUDIO_ENTRY = 28

_SAMPLE_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """A video track. ``codecs``: RFC 6381. ``width``/``height``: coded pixels; ``pixel_aspect``: width to height of one."""

    codecs: str
    timescale: int
    language: str
    width: int
    height: int
    pixel_aspect: Fraction
    nal_length_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """An audio track, as its elementary stream's own configuration says. ``codecs``: RFC 6381."""

    codecs: str
    timescale: int
    language: str
    channels: int
    sample_rate_hz: int


Facts = VideoFacts | AudioFacts


def read_facts(init: Buffer) -> Facts:
    """The facts of the only track in ``init`` (a whole file works too); raises `WrongOutput` if it is not one that we
    write: H.264 in ``avc1`` or AAC in ``mp4a``, encrypted or not."""
    data = memoryview(init)
    with reading():
        track = only_track(data)
        timescale, language = _media_header(data, child(data, track, b"mdia", b"mdhd"))
        entry = sample_entry(data, track)
        handler = child(data, track, b"mdia", b"hdlr").content + 8
        match (bytes(data[handler : handler + 4]), original_kind(data, entry)):
            case (b"vide", b"avc1"):
                return _video_facts(data, entry, timescale, language)
            case (b"soun", b"mp4a"):
                return _audio_facts(data, entry, timescale, language)
            case (_, kind):
                raise WrongOutput("This is not a codec that we package.", sample_entry=kind.decode("latin-1"))


def movie(data: memoryview) -> Box:
    """The ``moov`` box. Stops reading there: what follows may be long."""
    for box in walk(data):
        if box.kind == b"moov":
            return box
    raise WrongOutput("There is no movie box.")


def only_track(data: memoryview) -> Box:
    """The one ``trak`` box. CMAF: one track per file."""
    tracks = children(data, movie(data), b"trak")
    if len(tracks) != 1:
        raise WrongOutput("One track was expected.", tracks=len(tracks))
    return tracks[0]


def sample_entry(data: memoryview, track: Box) -> Box:
    """The one sample entry of ``track``."""
    descriptions = child(data, track, b"mdia", b"minf", b"stbl", b"stsd")
    entries = list(walk(data, descriptions.content + 8, descriptions.stop))
    if len(entries) != 1:
        raise WrongOutput("One sample entry was expected.", entries=len(entries))
    return entries[0]


def entry_boxes(data: memoryview, entry: Box) -> tuple[memoryview, list[Box]]:
    """The fixed fields of a sample entry, and the boxes after them."""
    fixed = _AUDIO_ENTRY if entry.kind in (b"mp4a", b"enca") else _VISUAL_ENTRY
    return data[entry.content : entry.content + fixed], list(walk(data, entry.content + fixed, entry.stop))


def original_kind(data: memoryview, entry: Box) -> bytes:
    """What ``entry`` is, or was before it was encrypted (ISO/IEC 14496-12 section 8.12)."""
    if entry.kind in (b"encv", b"enca"):
        for box in entry_boxes(data, entry)[1]:
            if box.kind == b"sinf":
                original = child(data, box, b"frma")
                return bytes(data[original.content : original.content + 4])
    return entry.kind


def _media_header(data: memoryview, header: Box) -> tuple[int, str]:
    version = data[header.content]
    timescale, duration_size = (header.content + 20, 8) if version == 1 else (header.content + 12, 4)
    (value,) = struct.unpack_from(">I", data, timescale)
    (packed,) = struct.unpack_from(">H", data, timescale + 4 + duration_size)
    if value <= 0:
        raise WrongOutput("The timescale is zero.")
    # Three letters of ISO 639-2, five bits each, from "`" on.
    letters = "".join(chr(0x60 + (packed >> shift & 0x1F)) for shift in (10, 5, 0))
    return value, letters if letters.isalpha() else "und"


def _part(data: memoryview, entry: Box, kind: bytes) -> memoryview:
    for box in entry_boxes(data, entry)[1]:
        if box.kind == kind:
            return data[box.content : box.stop]
    raise WrongOutput("A box is missing.", box=kind.decode("latin-1"))


def avc_configuration(data: memoryview) -> memoryview:
    """The content of the avcC box of the only track."""
    return _part(data, sample_entry(data, only_track(data)), b"avcC")


def _video_facts(data: memoryview, entry: Box, timescale: int, language: str) -> VideoFacts:
    fixed, inside = entry_boxes(data, entry)
    width, height = struct.unpack_from(">HH", fixed, 24)
    configuration = _part(data, entry, b"avcC")
    aspect = Fraction(1)
    for box in inside:
        if box.kind == b"pasp":
            horizontal, vertical = struct.unpack_from(">II", data, box.content)
            aspect = Fraction(horizontal, vertical) if horizontal and vertical else aspect
    return VideoFacts(
        # RFC 6381 section 3.3: profile_idc, constraint flags and level_idc in hexadecimal.
        codecs=f"avc1.{bytes(configuration[1:4]).hex()}",
        timescale=timescale,
        language=language,
        width=width,
        height=height,
        pixel_aspect=aspect,
        nal_length_bytes=(configuration[4] & 3) + 1,
    )


def _audio_facts(data: memoryview, entry: Box, timescale: int, language: str) -> AudioFacts:
    object_type, frequency_index, channels = _audio_specific_config(_part(data, entry, b"esds")[4:])
    if frequency_index >= len(_SAMPLE_RATES_HZ):
        raise WrongOutput("The audio has a sample rate that we do not write.", frequency_index=frequency_index)
    return AudioFacts(
        codecs=f"mp4a.40.{object_type}",
        timescale=timescale,
        language=language,
        channels=8 if channels == 7 else channels,
        sample_rate_hz=_SAMPLE_RATES_HZ[frequency_index],
    )


def _audio_specific_config(stream: memoryview) -> tuple[int, int, int]:
    """Object type, index of the sampling frequency and channel configuration (ISO/IEC 14496-3 section 1.6.2.1)."""
    es_content = _descriptor(stream, 3)
    flags = es_content[2]
    if flags & 0xE0:
        raise WrongOutput("The elementary stream depends on another one.")
    configuration = _descriptor(es_content[3:], 4)
    if configuration[0] != 0x40:  # ISO/IEC 14496-3 audio
        raise WrongOutput("The audio is not MPEG-4 audio.", object_type_indication=configuration[0])
    specific = _descriptor(configuration[13:], 5)
    bits = int.from_bytes(specific[:2], "big")
    return bits >> 11, bits >> 7 & 0xF, bits >> 3 & 0xF


def _descriptor(data: memoryview, tag: int) -> memoryview:
    """Content of the descriptor that ``data`` starts with (ISO/IEC 14496-1 section 8.3.3: sizes of 7 bits a byte)."""
    if len(data) < 2 or data[0] != tag:
        raise WrongOutput("The elementary stream descriptor cannot be read.", expected_tag=tag)
    size, at = 0, 1
    while True:
        size = size << 7 | data[at] & 0x7F
        at += 1
        if not data[at - 1] & 0x80:
            return data[at : at + size]
