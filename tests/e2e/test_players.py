"""Other people's players play what we publish: first frame, every frame, one buffered range, seeks and rung switches."""

from __future__ import annotations

import pytest

from tests.e2e.film import FILM_FPS, FILM_FRAMES, FILM_SECONDS
from tests.e2e.player_page import PlayerPage
from tests.e2e.published import PublishedVideo

pytestmark = pytest.mark.e2e

PLAYERS = [
    pytest.param("hls.js", "hls", id="hls.js-HLS"),
    pytest.param("shaka-player", "hls", id="shaka-player-HLS"),
    pytest.param("shaka-player", "dash", id="shaka-player-DASH"),
    pytest.param("dash.js", "dash", id="dash.js-DASH"),
]


@pytest.mark.parametrize(("player", "kind"), PLAYERS)
def test_player_shows_every_frame_of_the_lowest_rung_in_one_buffered_range(
    player: str, kind: str, film: PublishedVideo, page: PlayerPage
) -> None:
    page.load(player, film.url(kind), level=0)
    page.play(2)
    report = page.until_ended()
    assert report.errors == []
    assert report.first_frame_ms is not None
    assert report.frames == FILM_FRAMES
    assert len(report.buffered) == 1, "the seams between chunks are not seen by the player"
    start, end = report.buffered[0]
    assert start == pytest.approx(0, abs=0.001)
    assert end == pytest.approx(FILM_SECONDS, abs=1 / FILM_FPS)


@pytest.mark.parametrize(("player", "kind"), PLAYERS)
def test_player_seeks_into_another_chunk_and_back(
    player: str, kind: str, film: PublishedVideo, page: PlayerPage
) -> None:
    page.load(player, film.url(kind))
    page.play()
    page.until_time(0.5)
    for target in (FILM_SECONDS - 2.5, 1.0, 6.2):
        page.seek(target)
        report = page.until_time(target + 0.3)
        assert report.time < target + 2
    assert report.errors == []


@pytest.mark.parametrize(("player", "kind"), PLAYERS)
def test_player_switches_to_the_top_rung_and_back_without_an_error(
    player: str, kind: str, film: PublishedVideo, page: PlayerPage
) -> None:
    page.load(player, film.url(kind), level=0)
    heights = page.levels()
    assert heights == sorted(heights)
    assert len(heights) >= 2
    page.play()
    page.until_time(0.5)
    page.choose(len(heights) - 1)
    assert page.until_height(heights[-1]).errors == []
    page.choose(0)
    assert page.until_height(heights[0]).errors == []
    page.play(2)
    assert page.until_ended().errors == []


def test_chromium_plays_seeks_and_switches_natively(film: PublishedVideo, page: PlayerPage) -> None:
    """It chooses by itself: it begins with a small rung, and goes on with a larger one once it has measured the line."""
    page.load("native", film.url("hls"))
    page.play()
    first = page.until_time(0.5)
    larger = page.until(lambda report: report.height > first.height or report.ended, "a larger rung")
    assert (larger.errors, larger.ended) == ([], False)
    for target in (FILM_SECONDS - 2.5, 1.0, 6.2):
        page.seek(target)
        report = page.until_time(target + 0.3)
        assert report.time < target + 2
    page.seek(FILM_SECONDS - 1)
    report = page.until_ended()
    assert report.errors == []
    assert report.time == pytest.approx(FILM_SECONDS, abs=0.1)
