"""Four players play a film while the rest of it is being encoded: from `playable` to the end, through the change from
EVENT to VOD and from dynamic to static, without an error and without waiting for what is there."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest
from playwright.sync_api import Browser

from tests.e2e.film import FILM_FPS, make_film
from tests.e2e.player_page import PlayerPage, Report
from tests.e2e.published import until_settled, until_state
from tests.e2e.stack import RunningStack, running_stack

pytestmark = pytest.mark.e2e

SECONDS = 30.0
LISTED_S = 12.0  # when the players start
PLAYERS = (("hls.js", "hls"), ("shaka-player", "hls"), ("shaka-player", "dash"), ("dash.js", "dash"))


@pytest.fixture(scope="module")
def slow_stack(ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Its ffmpeg takes its time over what comes after the first twelve seconds, so that the film surely still grows while
    players play these."""
    folder = tmp_path_factory.mktemp("slow")
    slow = folder / "ffmpeg"
    slow.write_text(f"#!/bin/sh\ncase \"$*\" in *' -ss 1'[0-9]*) sleep 6;; esac\nexec '{ffmpeg}' \"$@\"\n")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    state = folder / "state"
    state.mkdir()
    with running_stack(state, workers=2, env={"FISHLADDER_FFMPEG": str(slow)}) as running:
        yield running


def test_players_play_on_while_the_film_grows(
    slow_stack: RunningStack, ffmpeg: Path, browser: Browser, pages_url: str, tmp_path: Path
) -> None:
    pages = [PlayerPage(browser.new_page(), pages_url) for _ in PLAYERS]
    film = make_film(ffmpeg, tmp_path / "film.mp4", seconds=SECONDS, size="640x360")
    facts = until_state(slow_stack.api, slow_stack.upload(film, title="Growing"), "playable")
    until_listed(facts["hls_url"], LISTED_S)
    for page, (player, kind) in zip(pages, PLAYERS, strict=True):
        page.load(player, facts[f"{kind}_url"])
        page.play()
    for page in pages:
        page.until_time(0.3)
    assert hls_is(facts["hls_url"]) == ("EVENT", False), "the film still grows while all of them play"
    assert mpd_type(facts["dash_url"]) == "dynamic"

    ended = [page.until_ended() for page in pages]

    assert until_settled(slow_stack.api, facts["id"])["state"] == "ready"
    assert hls_is(facts["hls_url"]) == ("VOD", True)
    assert mpd_type(facts["dash_url"]) == "static"
    for (player, kind), last in zip(PLAYERS, ended, strict=True):
        played_through(f"{player} {kind}", last)


def played_through(who: str, last: Report) -> None:
    assert last.errors == [], who
    assert last.ended, who
    assert last.time == pytest.approx(SECONDS, abs=2 / FILM_FPS), who
    assert len(last.buffered) == 1, who
    # At the edge of what is listed a player has to wait if the encoder is slower than it; anywhere else it must not.
    waits = [time for time in last.waits if time > 0.5 and abs(time - LISTED_S) > 0.5]
    assert waits == [], f"{who} waited for what was there already"


def until_listed(url: str, seconds: float, timeout_s: float = 60) -> None:
    """Until the media playlists have grown to ``seconds``."""
    deadline = time.monotonic() + timeout_s
    while sum(float(length) for length in re.findall(r"#EXTINF:([\d.]+)", media_playlist(url))) < seconds - 0.1:
        assert time.monotonic() < deadline, media_playlist(url)
        time.sleep(0.1)


def media_playlist(url: str) -> str:
    """The first one of the multivariant playlist at ``url``."""
    master = httpx.get(url, timeout=10).raise_for_status().text
    media = next(line for line in master.splitlines() if line.endswith("media.m3u8"))
    return httpx.get(url.rsplit("/", 1)[0] + "/" + media, timeout=10).raise_for_status().text


def hls_is(url: str) -> tuple[str | None, bool]:
    """(playlist type, whether it has ended) of the first media playlist."""
    text = media_playlist(url)
    kind = re.search(r"#EXT-X-PLAYLIST-TYPE:(\w+)", text)
    return (kind.group(1) if kind else None, "#EXT-X-ENDLIST" in text)


def mpd_type(url: str) -> str | None:
    return ET.fromstring(httpx.get(url, timeout=10).raise_for_status().content).get("type")
