"""Real files that are read in parts, as large ones are, give to the byte what they give where all of them is at hand.

One of each container by default; all that are shared with ``make test-media``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Asset, Video
from storage.catalogue.sql import SqlCatalogue
from tests.large import as_if_large
from tests.pipeline import through_the_pipeline, through_the_pipeline_of
from tests.shared import shared_folder
from workers.ffmpeg.process import Tools, find_tools
from workers.planning.policy import FAST_POLICY

pytestmark = pytest.mark.integration

_SHARED = shared_folder()
_ABSENT = "the shared media inputs are not beside this checkout"
_ALL = bool(os.environ.get("LADDER_TEST_FULL_LADDERS"))
FEW = (
    "mp4_fragmented_wild_duration.mp4",
    "mkv_srt_subs.mkv",
    "mpeg2_program_stream.ps",
    "mpeg4_mp3_960x400.avi",
    "ocean_theora_vorbis_320x240.ogv",
    "ts_720p30_mp3_start6s.ts",
    "wmv2_wma.wmv",
)


def _files() -> list[str]:
    if _SHARED is None:
        return []
    present = sorted(path.name for path in (_SHARED / "media").iterdir() if path.suffix not in (".tsv", ".md"))
    return present if _ALL else [name for name in FEW if name in present]


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.mark.skipif(_SHARED is None, reason=_ABSENT)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", _files())
def test_what_is_made_of_parts_is_what_is_made_of_all(
    name: str, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _SHARED is not None
    file = _SHARED / "media" / name
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = through_the_pipeline(file, tmp_path / "whole", tools)
    as_if_large(file.stat().st_size, monkeypatch)
    catalogue, blobs = SqlCatalogue.in_memory(), MemoryBlobs()
    parts = through_the_pipeline_of(catalogue, file, tmp_path / "parts", tools, FAST_POLICY, blobs=blobs)
    assert facts(*parts) == facts(*whole)


def facts(video: Video, asset: Asset) -> dict[str, Any]:
    """What came of it; the names of segments have the digests of their bytes in them."""
    return {
        "state": video.state,
        "reason": video.reason_code,
        "notes": sorted(note.code for note in video.notes),
        "duration": asset.plan.duration if asset.plan else None,
        "segments": {
            rendition.name: [segment.name for segment in rendition.segments] for rendition in asset.renditions
        },
        "sprites": (asset.storyboard or {}).get("tiles"),
    }
