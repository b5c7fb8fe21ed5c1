"""Encrypted films in players that are not ours, with keys that change on the way: cbcs with ClearKey, AES-128 in HLS."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.e2e.film import FILM_FPS, make_film
from tests.e2e.player_page import PlayerPage
from tests.e2e.published import PublishedVideo, until_settled
from tests.e2e.stack import RunningStack

pytestmark = pytest.mark.e2e

PLAYERS = [
    pytest.param("cbcs", "shaka-player", "dash", id="cbcs-shaka-player-DASH"),
    pytest.param("cbcs", "dash.js", "dash", id="cbcs-dash.js-DASH"),
    pytest.param("cbcs", "shaka-player", "hls", id="cbcs-shaka-player-HLS"),
    pytest.param("aes128", "hls.js", "hls", id="AES-128-hls.js-HLS"),
    pytest.param("aes128", "shaka-player", "hls", id="AES-128-shaka-player-HLS"),
]


SECONDS = 6.0
"""A segment and a half: the second has a key of its own."""


@pytest.fixture(scope="module")
def films(stack: RunningStack, ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, PublishedVideo]:
    file = make_film(ffmpeg, tmp_path_factory.mktemp("encrypted") / "film.mp4", seconds=SECONDS)
    videos = {
        encryption: stack.upload(file, title=f"Film in {encryption}", encryption=encryption)
        for encryption in ("cbcs", "aes128")
    }
    made = {}
    for encryption, video in videos.items():
        facts = until_settled(stack.api, video)
        assert facts["state"] == "ready", facts
        made[encryption] = PublishedVideo(id=video, facts=facts)
    return made


@pytest.mark.parametrize(("encryption", "player", "kind"), PLAYERS)
def test_player_decrypts_every_frame_over_a_change_of_keys_seeks_over_it_and_switches(
    encryption: str, player: str, kind: str, films: dict[str, PublishedVideo], page: PlayerPage
) -> None:
    film = films[encryption]
    playlist = httpx.get(film.url("hls").replace("master.m3u8", "240p/media.m3u8")).text
    assert playlist.count("#EXT-X-KEY:") == 2
    page.load(player, film.url(kind), level=0)
    page.play(2)
    report = page.until_ended()
    assert report.errors == []
    assert report.frames == SECONDS * FILM_FPS
    ((start, end),) = report.buffered
    assert start == pytest.approx(0, abs=0.001)
    assert end == pytest.approx(SECONDS, abs=1 / FILM_FPS)
    _seeks_over_the_change_and_switches(page)


def _seeks_over_the_change_and_switches(page: PlayerPage) -> None:
    heights = page.levels()
    page.seek(1)
    page.until(lambda report: report.time < 2, "the first key's segment")
    page.play()
    page.until_time(1.3)
    page.seek(SECONDS - 1.5)
    page.until_time(SECONDS - 1.2)
    page.seek(1)
    page.until(lambda report: 1.3 <= report.time < 2, "the first key's segment again")
    page.choose(len(heights) - 1)
    assert page.until_height(heights[-1]).errors == []


def test_what_is_encrypted_does_not_play_without_its_keys(
    films: dict[str, PublishedVideo], stack: RunningStack, page: PlayerPage
) -> None:
    """The same segments, and no keys: nothing is shown."""
    page.block(f"{stack.origin}/**/keys**")
    page.load("hls.js", films["aes128"].url("hls"), level=0)  # it fetches what it will play
    report = page.until(lambda seen: bool(seen.errors), "an error", ignores_errors=True)
    assert report.frames == 0
    assert any("key" in error.lower() for error in report.errors)
