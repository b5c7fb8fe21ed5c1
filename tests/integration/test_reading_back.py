"""Readers that are no browsers take in all of it: ffmpeg and GStreamer, HLS and DASH, every picture once. And packaging the
same film again gives the same bytes."""

from __future__ import annotations

import functools
import hashlib
import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import pytest

from infra.cli.libraries import WebLibrary
from packager.conformance import Severity, judge, read_subject
from packager.conformance.reference import NOT_MET
from tests.conformant import assert_conformant
from tests.hls_parser import assert_hls_parser_reads_alike
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.process import Tools, find_tools

pytestmark = pytest.mark.integration

SECONDS, RATE = 9, 25
MANIFESTS = ["master.m3u8", "manifest.mpd"]


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture(scope="module")
def film(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    argv = [
        str(tools.ffmpeg),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=size=640x360:rate={RATE}:duration={SECONDS}",
    ]
    argv += ["-f", "lavfi", "-i", f"sine=duration={SECONDS}", "-preset", "ultrafast", "-bf", "2", str(file)]
    subprocess.run(argv, check=True)
    return file


@pytest.fixture(scope="module")
def site(film: Path, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    through_the_pipeline(film, folder, tools)
    return folder / "site"


def test_hls_parser_reads_the_facts_that_we_read(site: Path) -> None:
    """A parser in another language by other people."""
    assert_hls_parser_reads_alike(site)


class Plain(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return None


class Ranged(Plain):
    """Knows ranges of one part, as web servers do and Python's does not."""

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        body = path.read_bytes()
        part = body[int(wanted[1]) : int(wanted[2]) + 1 if wanted[2] else None]
        self.send_response(206)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {wanted[1]}-{int(wanted[1]) + len(part) - 1}/{len(body)}")
        self.end_headers()
        self.wfile.write(part)


@contextmanager
def serving(handler: type[Plain], site: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with serving(Ranged, site) as where:
        yield where


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_ffmpeg_reads_every_picture_once_and_in_time(manifest: str, url: str, tools: Tools) -> None:
    """Times are compared with the second picture's: libavformat shows all but the first late by the delay of reordering,
    as there is no edit list (see ``docs/explanation/manifests.md``)."""
    argv = [str(tools.ffmpeg), "-v", "error", "-i", f"{url}/{manifest}", "-map", "0:v:0", "-fps_mode", "passthrough"]
    told = subprocess.run([*argv, "-f", "framemd5", "-"], capture_output=True, text=True, check=True, timeout=60).stdout
    base = re.search(r"#tb 0: (\d+)/(\d+)", told)
    assert base is not None
    tick = Fraction(int(base[1]), int(base[2]))
    times = [int(line.split(",")[2]) * tick for line in told.splitlines() if not line.startswith("#")]
    assert len(times) == SECONDS * RATE
    assert [time - times[1] for time in times[1:]] == [Fraction(number, RATE) for number in range(SECONDS * RATE - 1)]
    assert times[0] == 0
    assert times[1] <= Fraction(3, RATE)


def pictures_of(where: str, tools: Tools) -> list[str]:
    """A digest for each picture that ffmpeg decodes."""
    argv = [str(tools.ffmpeg), "-v", "error", "-i", where, "-map", "0:v:0", "-fps_mode", "passthrough"]
    told = subprocess.run([*argv, "-f", "framemd5", "-"], capture_output=True, text=True, check=True, timeout=60).stdout
    return [line.split(",")[-1].strip() for line in told.splitlines() if not line.startswith("#")]


def test_ffmpeg_reads_one_picture_for_each_range_of_an_iframe_playlist(site: Path, url: str, tools: Tools) -> None:
    rung = min(site.glob("*/iframes.m3u8")).parent.name
    entries = (site / rung / "iframes.m3u8").read_text().count("#EXT-X-BYTERANGE:")
    keyframes = pictures_of(f"{url}/{rung}/media.m3u8", tools)[:: 2 * RATE]
    assert pictures_of(f"{url}/{rung}/iframes.m3u8", tools) == keyframes
    assert len(keyframes) == entries == -(-SECONDS // 2)


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_gstreamer_reads_every_picture_once(manifest: str, url: str) -> None:
    launch = shutil.which("gst-launch-1.0")
    if launch is None:
        pytest.skip(
            "GStreamer is not installed: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-{good,bad} gstreamer1.0-libav"
        )
    sinks = ["video-sink=fakesink name=pictures silent=false sync=false", "audio-sink=fakesink sync=false"]
    told = subprocess.run(
        [launch, "-v", "playbin", f"uri={url}/{manifest}", *sinks],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    shown = re.findall(r"GstFakeSink:\S+: last-message = chain", told.stdout)
    assert len(shown) == SECONDS * RATE, told.stderr


def test_a_plain_web_server_is_told_what_it_lacks(site: Path) -> None:
    with serving(Plain, site) as url, WebLibrary() as web:
        report = judge(read_subject(web.entries(url), web))
    assert {one.rule.id for one in report.of(Severity.MUST)} == {"hls-gzip", "url-range"}
    assert "url-etag" in report.ids


def test_the_same_film_gives_the_same_bytes(film: Path, site: Path, tools: Tools, tmp_path: Path) -> None:
    through_the_pipeline(film, tmp_path, tools)
    assert digests(tmp_path / "site") == digests(site)
    assert {finding.rule.id for finding in assert_conformant(site).findings} <= set(NOT_MET)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
