"""Subtitles in sources, through the whole pipeline: every kind of text comes out as WebVTT at its own time. And what tracks
are for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from packager.conformance.reference import NOT_MET
from packager.subtitles import parse_webvtt
from storage.catalogue import Asset
from storage.lifecycle import VideoState
from tests.conformant import assert_conformant
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.process import Tools, find_tools

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SRT = "1\n00:00:00,500 --> 00:00:01,500\n<i>First</i> & more\n\n2\n00:00:04,800 --> 00:00:05,600\nLast\n"
FILM = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=12:duration=6")
X264 = ("-map", "0:v", "-c:v", "libx264", "-preset", "ultrafast")


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture
def make(tools: Tools, tmp_path: Path) -> Callable[..., Path]:
    """A film with the subtitles ``SRT`` once for each ``-map``, and these options for what is written."""
    text = tmp_path / "text.srt"
    text.write_text(SRT)

    def run(*argv: str, sounds: int = 0) -> Path:
        *options, name = argv
        file = tmp_path / name
        heard = ("-f", "lavfi", "-i", "sine=duration=6:sample_rate=48000") * sounds
        command = [str(tools.ffmpeg), "-v", "error", *FILM, "-i", str(text), *heard, *X264, *options, str(file)]
        subprocess.run(command, check=True)
        return file

    return run


def said(site: Path, asset: Asset, name: str) -> list[tuple[float, float, str]]:
    (row,) = [row for row in asset.subtitles if row.rendition.name == name]
    text = (site / name / (row.whole_name or "")).read_text()
    cues = parse_webvtt(text).cues
    return [(float(cue.start), float(cue.stop), cue.text.split("\n")[-1].replace("&amp;", "&")) for cue in cues]


EXPECTED = [(0.5, 1.5, "<i>First</i> & more"), (4.8, 5.6, "Last")]


@pytest.mark.parametrize(
    ("codec", "name"),
    [("mov_text", "film.mp4"), ("subrip", "film.mkv"), ("ass", "film.mkv"), ("webvtt", "film.webm")],
)
def test_text_of_any_codec_comes_out_at_its_time(
    codec: str, name: str, make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    video_codec = ("-c:v", "libvpx", "-deadline", "realtime") if name.endswith("webm") else ()
    film = make("-map", "1", "-c:s", codec, "-metadata:s:s:0", "language=ger", *video_codec, name)
    video, asset = through_the_pipeline(film, tmp_path, tools)
    assert (video.state, video.reason) == (VideoState.READY, None)
    assert said(tmp_path / "site", asset, "text-de") == EXPECTED
    assert_conformant(tmp_path / "site")
    first, second = sorted((tmp_path / "site" / "text-de").glob("[01]-*.vtt"))
    assert ("First" in first.read_text(), "Last" in first.read_text()) == (True, False)
    assert ("First" in second.read_text(), "Last" in second.read_text()) == (False, True)


def test_languages_and_what_tracks_are_for_reach_both_manifests(
    make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    film = make(
        *("-map", "1", "-map", "1", "-map", "1", "-c:s", "srt"),
        *("-metadata:s:s:0", "language=eng", "-disposition:s:0", "default"),
        *("-metadata:s:s:1", "language=fre", "-disposition:s:1", "forced"),
        *("-metadata:s:s:2", "language=eng", "-disposition:s:2", "hearing_impaired"),
        *("-map", "2", "-map", "3", "-c:a", "aac", "-metadata:s:a", "language=eng"),
        *("-ac:a:0", "6", "-disposition:a:0", "default", "-disposition:a:1", "visual_impaired"),
        "film.mkv",
        sounds=2,
    )
    video, _ = through_the_pipeline(film, tmp_path, tools)
    assert video.state is VideoState.READY
    playlist = (tmp_path / "site" / "master.m3u8").read_text()
    english, french, captions = [line for line in playlist.splitlines() if "TYPE=SUBTITLES" in line]
    assert 'NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,FORCED=NO' in english
    assert 'NAME="French",LANGUAGE="fr",DEFAULT=NO,AUTOSELECT=YES,FORCED=YES' in french
    assert 'NAME="English (captions)"' in captions
    assert "transcribes-spoken-dialog" in captions
    sounds = [line for line in playlist.splitlines() if "TYPE=AUDIO" in line]
    described = [line for line in sounds if 'CHARACTERISTICS="public.accessibility.describes-video"' in line]
    assert [line.partition('GROUP-ID="')[2].partition('"')[0] for line in described] == ["audio", "surround"]
    assert all(
        'NAME="English (audio description)"' in line and "DEFAULT=NO,AUTOSELECT=YES" in line for line in described
    )
    assert len(sounds) == 4
    mpd = (tmp_path / "site" / "manifest.mpd").read_text()
    assert mpd.count('contentType="text"') == 3
    assert 'value="forced-subtitle"' in mpd
    purposes = re.findall(r'<Accessibility schemeIdUri="urn:tva:metadata:cs:AudioPurposeCS:2007" value="(.)" />', mpd)
    assert purposes == ["1", "2"]  # for those who cannot see, and for those who cannot hear
    assert {finding.rule.id for finding in assert_conformant(tmp_path / "site").findings} <= set(NOT_MET)


def test_text_is_told_on_the_film_s_clock_wherever_its_own_begins(
    make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    film = make("-map", "1", "-c:s", "srt", "-output_ts_offset", "7.25", "film.mkv")
    video, asset = through_the_pipeline(film, tmp_path, tools)
    assert video.state is VideoState.READY
    assert said(tmp_path / "site", asset, "text-und") == EXPECTED


def test_subtitles_that_are_pictures_are_told_of_and_left_out(
    make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    film = make("-map", "1", "-c:s", "srt", "-metadata:s:s:0", "language=dan", "film.mkv")
    # The codec's name is all that tells a demuxer what is inside: here it says PGS, in as many letters.
    film.write_bytes(film.read_bytes().replace(b"\x86\x8bS_TEXT/UTF8", b"\x86\x8bS_HDMV/PGS\x00"))
    video, asset = through_the_pipeline(film, tmp_path, tools)
    assert video.state is VideoState.READY
    assert asset.subtitles == ()
    (note,) = [note for note in video.notes if note.code == "subtitles_left_out"]
    assert "Danish" in note.sentence


def test_subtitles_in_which_nothing_can_be_read_hold_nothing_up(
    make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    film = make("-map", "1", "-c:s", "mov_text", "film.mp4")
    data = film.read_bytes()
    for line in (b"First & more", b"Last"):
        at = data.index(line) - 2
        data = data[:at] + bytes(2 + len(line)) + data[at + 2 + len(line) :]
    film.write_bytes(data)
    video, asset = through_the_pipeline(film, tmp_path, tools)
    assert video.state is VideoState.READY
    assert asset.subtitles == ()
    assert {note.code for note in video.notes} & {"subtitles_empty", "subtitles_unreadable"}
