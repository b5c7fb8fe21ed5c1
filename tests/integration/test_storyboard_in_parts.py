"""A film whose storyboard many jobs make, from the file to what players are given."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.jobs import JobKind
from storage.lifecycle import VideoState
from tests.conformant import assert_conformant
from tests.media import Pictures, make_film
from tests.pipeline import through_the_pipeline_of
from workers.ffmpeg.process import find_tools

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def test_players_are_given_the_same_storyboard_however_many_jobs_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [Fraction(number, 2) for number in range(2 * 420)]
    film = make_film(tmp_path / "film.mp4", Pictures(times=times, keyframe_every=9), container="mp4")
    told, pictures = [], []
    for jobs, longest in ((1, 3000), (3, 200)):
        monkeypatch.setattr("workers.planning.thumbnails.PART_S", Fraction(longest))
        catalogue, folder = SqlCatalogue.in_memory(), tmp_path / str(jobs)
        video, asset = through_the_pipeline_of(catalogue, film, folder, find_tools())
        assert video.state is VideoState.READY
        assert [job.kind for job in catalogue.jobs(video=video.id)].count(JobKind.THUMBNAILS) == jobs
        site = folder / "site"
        assert_conformant(site)
        names = ("storyboard.vtt", "storyboard.m3u8", "manifest.mpd")
        texts = [re.sub(r"(Number\$|storyboard/\d+)-[0-9a-f]{12}", r"\1", (site / name).read_text()) for name in names]
        told.append([re.sub(r'(availabilityStart|publish)Time="[^"]*"', "", text) for text in texts])
        tiles = [site / tile for tile in (asset.storyboard or {})["tiles"]]
        pictures.append([tile.read_bytes() for tile in (*tiles, site / "poster.jpg")])
        assert {tile.name for tile in tiles} == {tile.name for tile in (site / "storyboard").iterdir()}
    assert len(pictures[0]) == 4
    assert pictures[0] == pictures[1]
    assert told[0] == told[1]
