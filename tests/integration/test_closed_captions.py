"""Closed captions inside the pictures go along, and manifests say that they are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type as SideData

from storage.lifecycle import VideoState
from tests.conformant import assert_conformant
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.probing.captions import channels_in
from workers.ffmpeg.process import Tools, find_tools

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SAID = bytes([0xFC, 0x94, 0x20, 0xFD, 0x80, 0x80, 0xFF, 0x02, 0x21])
"""Field one: a control code; field two: padding; a packet of CEA-708 for service 1."""


def with_captions(film: bytes) -> bytes:
    """An H.264 byte stream whose every picture has ``SAID`` in a message before it (ITU-T H.264 annex D.1.6)."""
    told = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | len(SAID) // 3, 0xFF]) + SAID + b"\xff"
    message = b"\x00\x00\x00\x01\x06\x04" + bytes([len(told)]) + told + b"\x80"
    # Before every first slice of a picture: types 1 and 5 whose first_mb_in_slice is 0, which is a single bit.
    return re.sub(
        rb"\x00\x00(?:\x00)?\x01([\x01\x21\x41\x61\x25\x45\x65])(?=[\x80-\xff])", lambda it: message + it[0], film
    )


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


def test_captions_are_carried_and_named(tools: Tools, tmp_path: Path) -> None:
    ffmpeg = [str(tools.ffmpeg), "-v", "error"]
    plain, told, film = tmp_path / "plain.h264", tmp_path / "told.h264", tmp_path / "film.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=192x128:rate=24:duration=2"]
    x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "slices=1:bframes=0"]
    subprocess.run([*ffmpeg, *source, *x264, str(plain)], check=True)
    told.write_bytes(with_captions(plain.read_bytes()))
    subprocess.run([*ffmpeg, "-framerate", "24", "-i", str(told), "-c", "copy", str(film)], check=True)

    video, asset = through_the_pipeline(film, tmp_path, tools)
    assert (video.state, video.reason) == (VideoState.READY, None)
    assert asset.source is not None
    assert asset.source.video is not None
    assert asset.source.video.captions == ("CC1", "SERVICE1")
    playlist = (tmp_path / "site" / "master.m3u8").read_text()
    assert 'TYPE=CLOSED-CAPTIONS,GROUP-ID="captions",NAME="Captions CC1"' in playlist
    assert 'INSTREAM-ID="SERVICE1"' in playlist
    assert playlist.count('CLOSED-CAPTIONS="captions"') == len(re.findall("#EXT-X-STREAM-INF", playlist))
    assert 'schemeIdUri="urn:scte:dash:cc:cea-608:2015" value="CC1"' in (tmp_path / "site" / "manifest.mpd").read_text()
    assert_conformant(tmp_path / "site")

    for rendition in (tmp_path / "site").glob("*p"):
        (init,) = rendition.glob("init-*.mp4")
        whole = tmp_path / f"{rendition.name}.mp4"
        segments = sorted(rendition.glob("*.m4s"), key=lambda path: int(path.name.partition("-")[0]))
        whole.write_bytes(init.read_bytes() + b"".join(segment.read_bytes() for segment in segments))
        with av.open(str(whole)) as shown:
            carried = [frame.side_data.get(SideData.A53_CC) for frame in shown.decode(video=0)]
        assert sum(data is not None and SAID[:3] in bytes(data) for data in carried) >= len(carried) * 9 // 10


@pytest.mark.parametrize(
    ("data", "channels"),
    [
        (b"", set()),
        (bytes([0xF8, 0x94, 0x20]), set()),  # not valid
        (bytes([0xFC, 0x80, 0x80, 0xFD, 0x80, 0x80]), {"CC1"}),  # room for captions
        (bytes([0xFD, 0x94, 0x20]), {"CC3"}),
        (bytes([0xFF, 0x02, 0x41]), {"SERVICE2"}),
        (bytes([0xFF, 0x02]), set()),  # cut off
    ],
)
def test_channels_are_told_by_their_triples(data: bytes, channels: set[str]) -> None:
    assert set(channels_in(data)) == channels
