"""Four players play a film while the rest of it is being encoded: from `playable` to the end, through the change from
EVENT to VOD and from dynamic to static, without an error and without waiting for data."""

from __future__ import annotations

import re
import stat
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
PLAYERS = (("hls.js", "hls"), ("shaka-player", "hls"), ("shaka-player", "dash"), ("dash.js", "dash"))


@pytest.fixture(scope="module")
def slow_stack(ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One worker whose ffmpeg takes its time over everything after the first twelve seconds: so the film surely still
    grows while players play these."""
    folder = tmp_path_factory.mktemp("slow")
    slow = folder / "ffmpeg"
    later = "*' -ss 1'[0-9]*|*' -ss 2'[0-9]*|*' -ss 3'[0-9]*"
    slow.write_text(f'#!/bin/sh\ncase "$*" in {later}) sleep 2;; esac\nexec "{ffmpeg}" "$@"\n')
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    state = folder / "state"
    state.mkdir()
    with running_stack(state, workers=1, env={"FISHLADDER_FFMPEG": str(slow)}) as running:
        yield running


def test_players_play_on_while_the_film_grows(
    slow_stack: RunningStack, ffmpeg: Path, browser: Browser, pages_url: str, tmp_path: Path
) -> None:
    pages = [PlayerPage(browser.new_page(), pages_url) for _ in PLAYERS]
    video = slow_stack.upload(make_film(ffmpeg, tmp_path / "film.mp4", seconds=SECONDS), title="Growing")
    facts = until_state(slow_stack.api, video, "playable")
    for page, (player, kind) in zip(pages, PLAYERS, strict=True):
        page.load(player, facts[f"{kind}_url"])
        page.play()
    began = [page.until_time(0.3) for page in pages]
    assert hls_is(facts["hls_url"]) == ("EVENT", False), "the film still grows while all of them play"
    assert mpd_type(facts["dash_url"]) == "dynamic"

    ended = [page.until_ended() for page in pages]

    assert until_settled(slow_stack.api, video)["state"] == "ready"
    assert hls_is(facts["hls_url"]) == ("VOD", True)
    assert mpd_type(facts["dash_url"]) == "static"
    for (player, kind), first, last in zip(PLAYERS, began, ended, strict=True):
        played_through(f"{player} {kind}", first, last)


def played_through(who: str, first: Report, last: Report) -> None:
    assert last.errors == [], who
    assert last.ended, who
    assert last.time == pytest.approx(SECONDS, abs=2 / FILM_FPS), who
    assert last.waiting == first.waiting, f"{who} waited for data in the middle of the film"
    assert last.buffered[0][0] == pytest.approx(0, abs=0.05) or len(last.buffered) == 1, who


def hls_is(url: str) -> tuple[str | None, bool]:
    """(playlist type, whether it has ended) of the first media playlist."""
    master = httpx.get(url, timeout=10).raise_for_status().text
    media = next(line for line in master.splitlines() if line.endswith("media.m3u8"))
    text = httpx.get(url.rsplit("/", 1)[0] + "/" + media, timeout=10).raise_for_status().text
    kind = re.search(r"#EXT-X-PLAYLIST-TYPE:(\w+)", text)
    return (kind.group(1) if kind else None, "#EXT-X-ENDLIST" in text)


def mpd_type(url: str) -> str | None:
    return ET.fromstring(httpx.get(url, timeout=10).raise_for_status().content).get("type")
