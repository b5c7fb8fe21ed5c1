"""Every shared input through the whole pipeline in this process: each ends as the last column of its manifest says.

With two small rungs, because what is tested is whether a source goes through; ``make test-media`` makes full ladders, and
has their playlists read by one more parser.
"""

from __future__ import annotations

import csv
import os
from fractions import Fraction
from pathlib import Path

import pytest

from storage.catalogue import Asset
from storage.lifecycle import VideoState
from tests.conformant import assert_conformant
from tests.hls_parser import assert_hls_parser_reads_alike
from tests.pipeline import through_the_pipeline
from tests.shared import shared_folder
from workers.ffmpeg.process import Tools, find_tools
from workers.planning.policy import DEFAULT_POLICY, FAST_POLICY

pytestmark = pytest.mark.integration

_SHARED = shared_folder()
_ABSENT = "the shared media inputs are not beside this checkout"
_FULL = bool(os.environ.get("LADDER_TEST_FULL_LADDERS"))
_POLICY = DEFAULT_POLICY if _FULL else FAST_POLICY

LOSSES = {"pictures_lost", "pictures_damaged", "sound_damaged", "damaged_packets", "truncated", "starts_mid_stream"}


def _table() -> list[tuple[str, str]]:
    """(file, outcome) of every shared input."""
    if _SHARED is None:
        return []
    with (_SHARED / "media" / "manifest.tsv").open(newline="") as manifest:
        rows = csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["file"], row["outcome"]) for row in rows]


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.mark.skipif(_SHARED is None, reason=_ABSENT)
@pytest.mark.timeout(3600 if _FULL else 900)
@pytest.mark.parametrize(("name", "outcome"), _table(), ids=lambda value: str(value))
def test_each_input_ends_as_its_manifest_says(name: str, outcome: str, tools: Tools, tmp_path: Path) -> None:
    assert _SHARED is not None
    video, asset = through_the_pipeline(_SHARED / "media" / name, tmp_path, tools, _POLICY)
    codes = {note.code for note in video.notes}
    if outcome == "refuse":
        assert video.state is VideoState.REJECTED
        assert video.reason_code
        assert video.reason is not None
        assert video.reason.endswith(".")
        return
    assert (video.state, video.reason) == (VideoState.READY, None)
    _everything_is_there(asset, sound_alone=outcome == "audio")
    assert_conformant(tmp_path / "site")
    if outcome == "salvage":
        assert codes & LOSSES
    if _FULL:
        assert_hls_parser_reads_alike(tmp_path / "site")


def _everything_is_there(asset: Asset, *, sound_alone: bool) -> None:
    plan = asset.plan
    assert plan is not None
    names = {name.name for name in asset.names}
    assert {"master.m3u8", "manifest.mpd"} <= names
    assert ("poster.jpg" in names) is not sound_alone
    assert all(rendition.audio for rendition in asset.renditions) is sound_alone
    for rendition in asset.renditions:
        last = rendition.segments[-1]
        assert [segment.number for segment in rendition.segments] == list(range(len(rendition.segments)))
        ends = Fraction(last.start_ticks + last.duration_ticks, rendition.timescale or 1)
        # Sound ends with the picture, on one of its own frames.
        assert ends == plan.duration if rendition.rung else 0 <= ends - plan.duration < Fraction(1024, 48_000) * 2
