"""Players play a film while the rest of it is being encoded: from the moment when it becomes `playable` to the end, through
the change from EVENT to VOD and from dynamic to static, without an error and without waiting for what is there. Our own
player changes over to the full ladder in place."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.film import FILM_FPS, make_film
from tests.e2e.player_page import PlayerPage, Report
from tests.e2e.published import until_settled, until_state
from tests.e2e.stack import RunningStack, running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SECONDS = 30.0
PATIENCE_S = 240.0  # players wait for the encoder, and that for the machine
EDGES_S = (4.0, 12.0)  # where what is listed ends before the film is whole: after each early chunk
STANDS_S = 60
PLAYERS = (("hls.js", "hls"), ("shaka-player", "hls"), ("shaka-player", "dash"), ("dash.js", "dash"))


@pytest.fixture(scope="module")
def slow_stack(ffmpeg: Path, node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Its ffmpeg takes its time over what comes after the first twelve seconds, so that the film surely still grows while
    players play these. Over large pictures it waits until `large_pictures_may_come`."""
    folder = tmp_path_factory.mktemp("slow")
    slow = folder / "ffmpeg"
    late = "*' -ss 1'[0-9]*|*/720p.mp4*"
    slow.write_text(f'#!/bin/sh\ncase "$*" in {late}) sleep 6;; esac\nexec \'{ffmpeg}\' "$@"\n')
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    state = folder / "state"
    state.mkdir()
    env = {"FISHLADDER_FFMPEG": str(slow), "FISHLADDER_WEB_LIBRARIES": str(node_modules)}
    with running_stack(state, workers=2, env=env) as running:
        yield running


def test_players_play_on_while_the_film_grows(
    slow_stack: RunningStack, ffmpeg: Path, browser: Browser, pages_url: str, tmp_path: Path
) -> None:
    pages = [PlayerPage(browser.new_page(), pages_url) for _ in PLAYERS]
    film = make_film(ffmpeg, tmp_path / "film.mp4", seconds=SECONDS, size="640x360")
    facts = until_state(slow_stack.api, slow_stack.upload(film, title="Growing"), "playable")
    for page, (player, kind) in zip(pages, PLAYERS, strict=True):
        page.load(player, facts[f"{kind}_url"])
        page.play()
    for page in pages:
        page.until(lambda report: report.time >= 0.3, "its first pictures", PATIENCE_S)
    assert hls_is(facts["hls_url"]) == ("EVENT", False), "the film still grows while all of them play"
    assert mpd_type(facts["dash_url"]) == "dynamic"

    ended = [
        page.until(Ending(player), "the end", PATIENCE_S) for page, (player, _) in zip(pages, PLAYERS, strict=True)
    ]

    assert until_settled(slow_stack.api, facts["id"], timeout_s=PATIENCE_S)["state"] == "ready"
    assert hls_is(facts["hls_url"]) == ("VOD", True)
    assert mpd_type(facts["dash_url"]) == "static"
    for (player, kind), last in zip(PLAYERS, ended, strict=True):
        played_through(f"{player} {kind}", last)


def test_our_own_player_changes_over_to_the_full_ladder_in_place(
    slow_stack: RunningStack, ffmpeg: Path, browser: Browser, tmp_path: Path
) -> None:
    film = make_film(ffmpeg, tmp_path / "film.mp4", seconds=24.0, size="1280x720", pictures="smptebars")
    facts = until_state(slow_stack.api, slow_stack.upload(film, title="Growing larger"), "playable")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{slow_stack.api}/embed/{facts['id']}")
    begun = OwnPlayer(page)
    begun.play(rate=0.2)  # so that the full ladder surely comes while it plays
    begun.until("video.currentTime > 0.2")
    assert begun.height() in (240, 480), "the rungs that are made first"

    begun.until("video.videoHeight === 720", meanwhile=lambda: large_pictures_may_come(slow_stack))
    begun.play(rate=4)
    begun.until("video.ended")

    assert begun.same_page(), "it went on in the page that was opened"
    assert begun.went_back() < 0.5, "nothing was shown a second time"
    assert wrong == []
    assert until_settled(slow_stack.api, facts["id"], timeout_s=PATIENCE_S)["state"] == "ready"
    page.close()


def large_pictures_may_come(stack: RunningStack) -> None:
    for job in (stack.state / "scratch" / "jobs").iterdir():
        with suppress(OSError):  # it ended this moment
            (job / "go").touch()


class OwnPlayer:
    """Our player in its page; what it shows is watched frame by frame. What it keeps behind a still is not shown."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.until("video !== null")
        self._do(
            "window.opened = true; window.back = 0; let last = 0;"
            "const still = () => document.querySelector('canvas:not([hidden])');"
            "const look = (_, shown) => {"
            " if (!still()) { window.back = Math.max(window.back, last - shown.mediaTime); last = shown.mediaTime; }"
            " video.requestVideoFrameCallback(look); };"
            "video.requestVideoFrameCallback(look);"
        )

    def play(self, *, rate: float) -> None:
        self.until("video.readyState >= 2")
        self._do(f"video.muted = true; video.playbackRate = {rate}; return video.play();")

    def until(self, condition: str, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self._do(f"return {condition};"):
            assert time.monotonic() < deadline, condition
            meanwhile()
            self._page.wait_for_timeout(50)

    def height(self) -> int:
        return int(self._do("return video.videoHeight;"))

    def same_page(self) -> bool:
        return bool(self._do("return window.opened === true;"))

    def went_back(self) -> float:
        return float(self._do("return window.back;"))

    def _do(self, statements: str) -> Any:
        return self._page.evaluate(f"() => {{ const video = document.querySelector('video'); {statements} }}")


def drops_its_end(player: str, report: Report) -> bool:
    """dash.js 5.2 may lose its end of stream, and stands half a second before the end then: see
    `docs/explanation/manifests.md`. That is a failure here, but one that need not be waited for."""
    return player == "dash.js" and report.time >= SECONDS - 0.6 and report.buffered[-1][1] >= SECONDS


class Ending:
    """Whether ``player`` has come to the end, or has stood for long where it loses that."""

    def __init__(self, player: str) -> None:
        self._player = player
        self._stood_s: float | None = None

    def __call__(self, report: Report) -> bool:
        if drops_its_end(self._player, report):
            self._stood_s = self._stood_s or time.monotonic()
        return report.ended or (self._stood_s is not None and time.monotonic() - self._stood_s > STANDS_S)


def played_through(who: str, last: Report) -> None:
    assert last.errors == [], who
    assert last.ended, who
    assert last.time == pytest.approx(SECONDS, abs=2 / FILM_FPS), who
    assert len(last.buffered) == 1, who
    # At the edge of what is listed a player has to wait if the encoder is slower than it; anywhere else it must not.
    waits = [time for time in last.waits if time > 0.5 and all(abs(time - edge) > 0.5 for edge in EDGES_S)]
    assert waits == [], f"{who} waited for what was there already"


def media_playlist(url: str) -> str:
    """The first one of the multivariant playlist at ``url``."""
    master = httpx.get(url, timeout=10).raise_for_status().text
    media = next(line for line in master.splitlines() if not line.startswith("#"))
    return httpx.get(url.rsplit("/", 1)[0] + "/" + media, timeout=10).raise_for_status().text


def hls_is(url: str) -> tuple[str | None, bool]:
    """(playlist type, whether it has ended) of the first media playlist."""
    text = media_playlist(url)
    kind = re.search(r"#EXT-X-PLAYLIST-TYPE:(\w+)", text)
    return (kind.group(1) if kind else None, "#EXT-X-ENDLIST" in text)


def mpd_type(url: str) -> str | None:
    return ET.fromstring(httpx.get(url, timeout=10).raise_for_status().content).get("type")
