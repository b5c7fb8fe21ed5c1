"""What hls-parser, a parser in another language by other people, reads in our playlists."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.conformant import examined

_READ = """
const { parse } = require(process.argv[1] + "/hls-parser");
const { readFileSync } = require("fs");
const told = process.argv.slice(2).map((file) => {
  const read = parse(readFileSync(file, "utf8"));
  if (read.isMasterPlaylist) {
    const height = (one) => (one.resolution ? one.resolution.height : null);
    return read.variants.map((one) => [one.uri, one.bandwidth, one.averageBandwidth, one.codecs, height(one)]);
  }
  const range = (one) => (one.byterange ? [one.byterange.offset, one.byterange.length] : null);
  return read.segments.map((one) => [one.uri, one.duration, range(one)]);
});
console.log(JSON.stringify(told));
"""


def assert_hls_parser_reads_alike(folder: Path) -> None:
    """It finds the variants, segments, durations and ranges that we find. Skips the test where it is not installed."""
    modules = Path(os.environ.get("LADDER_TEST_NODE_MODULES", Path(__file__).parents[1] / "node_modules"))
    node = shutil.which("node")
    if node is None or not (modules / "hls-parser").is_dir():
        pytest.skip("Node.js or hls-parser is not installed: `make test` brings it")
    subject, _ = examined(folder)
    (master,) = subject.multivariants
    # The image playlist's tags are none of the specification that this parser knows.
    media = [one for one in subject.playlists.values() if not one.url.endswith("/storyboard.m3u8")]
    files = [unquote(urlsplit(one.url).path) for one in (master, *media)]
    argv = [node, "-e", _READ, str(modules.resolve()), *files]
    variants, *segments = json.loads(
        subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    )
    assert variants == [
        [
            (one.url or "").rpartition(f"/{folder.resolve().name}/")[2],
            int(one.number("BANDWIDTH") or 0),
            int(one.number("AVERAGE-BANDWIDTH") or 0),
            one.text("CODECS"),
            int(height) if (height := (one.text("RESOLUTION") or "").partition("x")[2]) else None,
        ]
        for one in (*master.variants, *master.iframe_variants)
    ]
    for theirs, ours in zip(segments, media, strict=True):
        assert theirs == [
            [one.uri, float(one.seconds or 0), [one.span[0], one.span[1] - one.span[0]] if one.span else None]
            for one in ours.pieces
        ]
