"""Readers that are no browsers take in all of it: ffmpeg and GStreamer, HLS and DASH, every picture once. And packaging the
same film again gives the same bytes."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from infra.cli.libraries import WebLibrary
from packager.conformance import Severity, judge, read_subject
from tests.conformant import assert_conformant, examined
from tests.integration.test_media_table import through_the_pipeline
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


READ_WITH_HLS_PARSER = """
const { parse } = require(process.argv[1] + "/hls-parser");
const { readFileSync } = require("fs");
const told = process.argv.slice(2).map((file) => {
  const read = parse(readFileSync(file, "utf8"));
  if (read.isMasterPlaylist) {
    return read.variants.map((one) => [one.uri, one.bandwidth, one.averageBandwidth, one.codecs, one.resolution.height]);
  }
  const range = (one) => (one.byterange ? [one.byterange.offset, one.byterange.length] : null);
  return read.segments.map((one) => [one.uri, one.duration, range(one)]);
});
console.log(JSON.stringify(told));
"""


def test_hls_parser_reads_the_facts_that_we_read(site: Path) -> None:
    """A parser in another language by other people."""
    modules = Path(os.environ.get("LADDER_TEST_NODE_MODULES", Path(__file__).parents[2] / "node_modules"))
    node = shutil.which("node")
    if node is None or not (modules / "hls-parser").is_dir():
        pytest.skip("Node.js or hls-parser is not installed: `make test` brings it")
    subject, _ = examined(site)
    master, *media = [*subject.multivariants, *subject.playlists.values()]
    # The image playlist's tags are none of the specification that this parser knows.
    media = [one for one in media if not one.url.endswith("/storyboard.m3u8")]
    files = [unquote(urlsplit(one.url).path) for one in (master, *media)]
    argv = [node, "-e", READ_WITH_HLS_PARSER, str(modules.resolve()), *files]
    told = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout)
    variants, *segments = told
    assert variants == [
        [
            (one.url or "").partition("/site/")[2],
            int(one.number("BANDWIDTH") or 0),
            int(one.number("AVERAGE-BANDWIDTH") or 0),
            one.text("CODECS"),
            int((one.text("RESOLUTION") or "").partition("x")[2]),
        ]
        for one in (*master.variants, *master.iframe_variants)
    ]
    for theirs, ours in zip(segments, media, strict=True):
        assert theirs == [
            [one.uri, float(one.seconds or 0), [one.span[0], one.span[1] - one.span[0]] if one.span else None]
            for one in ours.pieces
        ]


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
    assert_conformant(site)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
