"""Thumbnails while scrubbing, in players that are not ours: sprites from HLS (image playlist) and DASH (tile set)."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.player_page import PlayerPage
from tests.e2e.published import PublishedVideo

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("player", "kind"),
    [
        pytest.param("shaka-player", "hls", id="shaka-player-HLS"),
        pytest.param("shaka-player", "dash", id="shaka-player-DASH"),
        pytest.param("dash.js", "dash", id="dash.js-DASH"),
    ],
)
def test_player_finds_the_part_of_a_sprite_for_a_time(
    player: str, kind: str, film: PublishedVideo, page: PlayerPage
) -> None:
    page.load(player, film.url(kind))
    first, later = page.thumbnail(0.2), page.thumbnail(5.2)
    assert first is not None
    assert later is not None
    assert (first["x"], first["y"]) == (0, 0)
    assert (later["x"], later["y"]) != (0, 0)
    assert first["width"] / first["height"] == pytest.approx(854 / 480, abs=0.05)
    assert httpx.get(later["url"]).headers["content-type"] == "image/jpeg"
