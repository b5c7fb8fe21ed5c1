"""What a file is, by its first bytes alone. Never by its name, and never by asking ffmpeg to guess.

ffmpeg's own probing would take a playlist or a concat script for a video and go on to read whatever they name. We pin
the demuxer instead, and these are the only ones that are ever pinned.
"""

from __future__ import annotations

from collections.abc import Callable

HEAD_BYTES = 64 * 1024
"""How much of a file `sniff` wants to see: an MXF may have a run-in of this length (SMPTE ST 377-1, 6.5)."""

CONTAINER_NAMES: dict[str, str] = {
    "mov": "MP4/QuickTime",
    "matroska": "Matroska/WebM",
    "mpegts": "MPEG transport stream",
    "mpeg": "MPEG program stream",
    "avi": "AVI",
    "flv": "Flash video",
    "asf": "Windows Media",
    "ogg": "Ogg",
    "gif": "GIF",
    "mxf": "MXF",
    "mp3": "MP3",
    "aac": "AAC",
    "wav": "WAV",
    "flac": "FLAC",
    "w64": "Sony Wave64",
    "aiff": "AIFF",
}
"""The demuxers that we pin, with the names that people know them by."""

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"FLV\x01", "flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "asf"),
    (b"OggS", "ogg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"fLaC", "flac"),
    (b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", "w64"),
)
_RIFF_FORMS = {b"AVI ": "avi", b"AVIX": "avi", b"WAVE": "wav"}
_MXF_PARTITION = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02"

_BOXES_THAT_OPEN_A_FILE = frozenset({b"ftyp", b"moov", b"mdat", b"styp", b"moof", b"sidx", b"emsg", b"prft"})
# Boxes whose names are English words: text may spell them, so their size has to make sense too.
_BOXES_OF_PADDING = frozenset({b"free", b"skip", b"wide", b"pnot", b"uuid"})
_LARGEST_PADDING_BYTES = 16 * 1024 * 1024
_PICTURE_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"crx ", b"jxl "}
)

_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"\x89PNG\r\n\x1a\n", "a picture (PNG)"),
    (b"BM", "a picture (BMP)"),
    (b"II*\x00", "a picture (TIFF)"),
    (b"MM\x00*", "a picture (TIFF)"),
    (b"8BPS", "a picture (Photoshop)"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b".RMF", "a RealMedia file, which we do not read"),
    (b"FWS", "a Flash animation"),
    (b"CWS", "a Flash animation"),
    (b"MThd", "a MIDI file"),
    (b"SQLite format 3", "a database"),
)

_TEXTS: tuple[tuple[str, str], ...] = (
    ("#extm3u", "an HLS playlist, not the video it points at"),
    ("ffconcat", "a list of files to join, not a video"),
    ("[playlist]", "a playlist, not the video it points at"),
    ("[reference]", "a playlist, not the video it points at"),
    ("<asx", "a playlist, not the video it points at"),
    ("<mpd", "a DASH manifest, not the video it points at"),
    ("<smil", "a playlist, not the video it points at"),
    ("<!doctype html", "a web page"),
    ("<html", "a web page"),
    ("<svg", "a picture (SVG)"),
    ("<?xml", "an XML document"),
    ("webvtt", "a subtitle file"),
    ("v=0", "a session description, not the video it points at"),
)


def sniff(head: bytes) -> str | None:
    """The ffmpeg demuxer for a file that starts with ``head`` (ideally `HEAD_BYTES` of it), None if it is none of ours.

    None means refusal: `describe_stranger` says what to call it.
    """
    for prefix, demuxer in _PREFIXES:
        if head.startswith(prefix):
            return demuxer
    if head[:4] in (b"RIFF", b"RF64", b"BW64"):
        return _RIFF_FORMS.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if _is_iso_media(head):
        return None if _is_picture_brand(head) else "mov"
    if _MXF_PARTITION in head:
        return "mxf"
    if _has_transport_packets(head):
        return "mpegts"
    return _sniff_bare_audio(head)


def describe_stranger(head: bytes) -> str:
    """What a file that `sniff` refused looks like, to end the sentence “This looks like …”."""
    if not head:
        return "an empty file"
    if _is_iso_media(head) and _is_picture_brand(head):
        return "a picture (HEIF/AVIF)"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a picture (WebP)"
    for prefix, name in _STRANGERS:
        if head.startswith(prefix):
            return name
    text = _as_text(head)
    if text is None:
        return "data of a kind that we do not know"
    start = text.lstrip("\ufeff \t\r\n").lower()
    for opening, name in _TEXTS:
        if start.startswith(opening):
            # Manifests and web pages may hide behind an XML declaration.
            return _inside_xml(start) if opening == "<?xml" else name
    return "a text file"


def _inside_xml(text: str) -> str:
    roots = [(text.find(opening), name) for opening, name in _TEXTS if opening.startswith("<") and opening != "<?xml"]
    found = [(at, name) for at, name in roots if at >= 0]
    return min(found)[1] if found else "an XML document"


def _is_iso_media(head: bytes) -> bool:
    kind = head[4:8]
    if kind in _BOXES_OF_PADDING:
        return 8 <= int.from_bytes(head[:4], "big") <= _LARGEST_PADDING_BYTES
    return kind in _BOXES_THAT_OPEN_A_FILE


def _is_picture_brand(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS


def _has_transport_packets(head: bytes) -> bool:
    """188-byte packets, 192 with a time stamp before each (Blu-ray, AVCHD), or 204 with parity behind each.

    The first packet may be cut; then more sync bytes are asked for before we believe it.
    """
    for packet_size, sync_at in ((188, 0), (192, 4), (204, 0)):
        if _syncs(head, sync_at, packet_size) >= 3:
            return True
        if any(_syncs(head, start, packet_size) >= 6 for start in range(min(packet_size, len(head)))):
            return True
    return False


def _syncs(head: bytes, start: int, packet_size: int) -> int:
    """How many of the first eight packets, from ``start`` on, begin with the sync byte; 0 if any of them does not."""
    bytes_there = head[start : start + 8 * packet_size : packet_size]
    return len(bytes_there) if bytes_there and set(bytes_there) == {0x47} else 0


def _sniff_bare_audio(head: bytes) -> str | None:
    """MP3 or ADTS AAC, with or without an ID3 tag before it: two frames in a row are asked for."""
    if head[:3] == b"ID3" and len(head) >= 10:
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        after = head[10 + size :]
        if after[:4] == b"fLaC":
            return "flac"
        return "aac" if _two_frames(after, _adts_frame_bytes) else "mp3"
    if _two_frames(head, _adts_frame_bytes):
        return "aac"
    return "mp3" if _two_frames(head, _mpeg_audio_frame_bytes) else None


def _two_frames(head: bytes, frame_bytes: Callable[[bytes], int]) -> bool:
    first = frame_bytes(head)
    return first > 0 and frame_bytes(head[first:]) > 0


def _adts_frame_bytes(head: bytes) -> int:
    """Length that an ADTS header at the start of ``head`` announces (ISO 14496-3, 1.A.3.2), 0 if there is none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 0xF > 12:
        return 0
    length = (head[3] & 0x3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length >= 7 else 0


_LAYER_3_KBPS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_LAYER_3_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def _mpeg_audio_frame_bytes(head: bytes) -> int:
    """Length of the MPEG audio layer III frame at the start of ``head`` (ISO 11172-3, 2.4.1.3), 0 if there is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate_index, kbps_index = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer != 1 or rate_index == 3 or kbps_index in (0, 15):
        return 0
    kbps = _LAYER_3_KBPS[3 if version == 3 else 2][kbps_index]
    samples_over_8 = 144 if version == 3 else 72
    return samples_over_8 * kbps * 1000 // _LAYER_3_RATES_HZ[version][rate_index] + (head[2] >> 1 & 1)


def _as_text(head: bytes) -> str | None:
    if b"\x00" in head[:1024] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    text = head[:1024].decode(encoding, errors="replace")
    odd = sum(1 for char in text if char == "\ufffd" or (char < " " and char not in "\t\r\n\f"))
    return text if odd * 20 <= len(text) else None
