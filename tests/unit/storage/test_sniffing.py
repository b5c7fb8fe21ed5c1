"""What a file is by its first bytes, and what a refused one is called."""

from __future__ import annotations

import pytest

from storage.media.sniffing import CONTAINER_NAMES, describe_stranger, sniff

PACKET = b"\x47" + bytes(187)
STAMPED_PACKET = bytes(4) + PACKET
MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)  # MPEG 1 layer III, 128 kb/s, 44.1 kHz: 417 bytes
ADTS_FRAME = b"\xff\xf1\x50\x80\x04\x1f\xfc" + bytes(25)  # 32 bytes
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
MXF = bytes.fromhex("060e2b34020501010d01020101020400")


def box(name: bytes, size: int = 32) -> bytes:
    return size.to_bytes(4, "big") + name + bytes(max(0, size - 8))


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        pytest.param(box(b"ftyp"), "mov", id="mp4"),
        pytest.param(b"\x00\x00\x00\x14ftypqt  ", "mov", id="quicktime"),
        pytest.param(box(b"moov", 1000), "mov", id="old-quicktime"),
        pytest.param(box(b"wide", 8) + box(b"mdat"), "mov", id="camera-quicktime"),
        pytest.param(box(b"styp") + box(b"moof"), "mov", id="bare-segment"),
        pytest.param(b"\x1a\x45\xdf\xa3\x9f", "matroska", id="webm"),
        pytest.param(PACKET * 5, "mpegts", id="ts"),
        pytest.param(STAMPED_PACKET * 5, "mpegts", id="m2ts"),
        pytest.param(PACKET[100:] + PACKET * 12, "mpegts", id="ts-cut-inside-a-packet"),
        pytest.param(b"\x00\x00\x01\xba\x44", "mpeg", id="ps"),
        pytest.param(b"RIFF\x00\x10\x00\x00AVI LIST", "avi", id="avi"),
        pytest.param(b"RIFF\x00\x10\x00\x00WAVEfmt ", "wav", id="wav"),
        pytest.param(b"FLV\x01\x05", "flv", id="flv"),
        pytest.param(ASF, "asf", id="wmv"),
        pytest.param(b"OggS\x00\x02", "ogg", id="ogg"),
        pytest.param(b"GIF89a", "gif", id="gif"),
        pytest.param(MXF, "mxf", id="mxf"),
        pytest.param(bytes(3000) + MXF, "mxf", id="mxf-after-a-run-in"),
        pytest.param(b"fLaC\x00", "flac", id="flac"),
        pytest.param(MP3_FRAME * 2, "mp3", id="mp3"),
        pytest.param(b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + MP3_FRAME, "mp3", id="tagged-mp3"),
        pytest.param(b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + ADTS_FRAME * 2, "aac", id="tagged-aac"),
        pytest.param(ADTS_FRAME * 2, "aac", id="aac"),
        pytest.param(b"FORM\x00\x00\x00\x00AIFF", "aiff", id="aiff"),
        pytest.param(b"BW64\xff\xff\xff\xffWAVE", "wav", id="bw64"),
        pytest.param(b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000"), "w64", id="w64"),
    ],
)
def test_media_is_recognised_by_its_first_bytes(head: bytes, demuxer: str) -> None:
    assert sniff(head) == demuxer
    assert demuxer in CONTAINER_NAMES


@pytest.mark.parametrize(
    ("head", "name"),
    [
        pytest.param(b"", "an empty file", id="empty"),
        pytest.param(b"ffconcat version 1.0\nfile 'other.mov'\n", "a list of files to join", id="ffconcat"),
        pytest.param(b"#EXTM3U\n#EXT-X-VERSION:7\n", "an HLS playlist", id="hls"),
        pytest.param(b"\xef\xbb\xbf#EXTM3U\n", "an HLS playlist", id="hls-with-byte-order-mark"),
        pytest.param(b'<?xml version="1.0"?>\n<MPD xmlns="urn">', "a DASH manifest", id="dash"),
        pytest.param(b'<?xml version="1.0"?>\n<note/>', "an XML document", id="xml"),
        pytest.param(b"\n <!DOCTYPE html><html>", "a web page", id="html"),
        pytest.param(b"\xff\xfe" + "v=0\r\n".encode("utf-16-le"), "a session description", id="sdp-in-utf-16"),
        pytest.param(b"WEBVTT\n\n", "a subtitle file", id="vtt"),
        pytest.param(b"PK\x03\x04\x14", "a ZIP archive", id="zip"),
        pytest.param(b"%PDF-1.7", "a PDF", id="pdf"),
        pytest.param(b"\xff\xd8\xff\xe0", "a picture (JPEG)", id="jpeg"),
        pytest.param(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "a picture (HEIF", id="heic"),
        pytest.param(b"RIFF\x00\x10\x00\x00WEBPVP8 ", "a picture (WebP)", id="webp"),
        pytest.param(b"Just some words.\n" * 20, "a text file", id="text"),
        pytest.param(b"The free encyclopedia", "a text file", id="text-that-spells-a-box"),
        pytest.param(bytes(range(1, 256)), "data of a kind", id="noise"),
        pytest.param(MP3_FRAME[:200], "data of a kind", id="one-lone-mp3-header"),
    ],
)
def test_anything_else_is_refused_and_called_by_its_name(head: bytes, name: str) -> None:
    assert sniff(head) is None
    assert describe_stranger(head).startswith(name)


def test_every_beginning_of_a_file_has_an_answer() -> None:
    for head in (box(b"ftyp"), PACKET * 5, ASF, ADTS_FRAME * 2, b"ID3\x04\x00\x00\x00\x00\x00\x0a"):
        for length in range(len(head)):
            assert sniff(head[:length]) is not None or describe_stranger(head[:length])
