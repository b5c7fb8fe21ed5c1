"""States that nobody hopes for, and whether everybody can read and reach them: two screens, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from storage.grants import KeyRing, PlaybackGrant, sign_grant
from storage.ids import VideoId
from tests.e2e.journeys.conftest import KEYS
from tests.e2e.journeys.walking import SCHEMES, SOON_MS, FinishedFilm, keep
from tests.e2e.published import until_settled
from tests.e2e.stack import RunningStack
from tests.e2e.web import SCREENS, Opened, opened, serious_findings

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1800)]


@dataclass(frozen=True, slots=True)
class Videos:
    """One of each: ready, on its way up, refused; and a link to the second that was good until just now."""

    ready: str
    uploading: str
    refused: str
    expired: str


@pytest.fixture
def videos(house: RunningStack, finished: FinishedFilm, tmp_path: Path) -> Videos:
    ready = finished.there()
    asked = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
    uploading = httpx.post(f"{house.api}/files", headers=asked, timeout=30).raise_for_status()
    words = tmp_path / "words.mp4"
    words.write_text("These are only words.\n" * 100)
    refused = house.upload(words, title="Only words")
    until_settled(house.api, refused)
    coming = uploading.headers["Fishladder-Video"]
    httpx.patch(f"{house.api}/api/v1/videos/{coming}", json={"visibility": "signed"}, timeout=30).raise_for_status()
    token = sign_grant(PlaybackGrant(video=VideoId(coming), expires_at_s=1), KeyRing.parse((KEYS,)))
    return Videos(ready, coming, refused, f"/watch/{coming}?token={token}")


@contextmanager
def answered(page: Page, pattern: str, answer: Callable[[Route], None]) -> Iterator[None]:
    """Requests for what matches get ``answer`` meanwhile."""
    page.route(re.compile(pattern), answer)
    try:
        yield
    finally:
        page.unroute(re.compile(pattern))


def states(it: Opened, videos: Videos) -> Iterator[str]:
    """Brings the page to one state after the other, and tells the name of each."""
    page = it.page

    def shown(path: str, sign: str) -> None:
        it.go(path)
        page.locator(sign).first.wait_for(timeout=SOON_MS)

    shown("/", ".card img")
    yield "library"
    with answered(page, r"/api/v1/videos\?", lambda route: route.fulfill(json={"videos": [], "next_cursor": None})):
        shown("/", "#drop.first")
        yield "first visit"
    with answered(page, r"/api/v1/videos\?", lambda route: None):
        shown("/", ".card.bones")
        yield "loading"
    with answered(page, r"/api/v1/videos\?", lambda route: route.abort()):
        shown("/", "#list-error:not([hidden])")
        yield "error"
    shown("/", ".card img")
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_be_visible(timeout=SOON_MS)
    yield "without a network"
    page.context.set_offline(False)
    page.locator(f"[data-video='{videos.refused}']").get_by_role("checkbox").check()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    yield "question"

    shown(f"/videos/{videos.ready}", "#ladder td")
    yield "video"
    page.click("#poster-choose")
    page.locator(".frame").first.wait_for(timeout=SOON_MS)
    yield "choice of a poster"
    with answered(page, rf"/api/v1/videos/{videos.ready}$", lambda route: None):
        shown(f"/videos/{videos.ready}", "#loading .bone")
        yield "video-loading"
    with answered(page, rf"/api/v1/videos/{videos.ready}$", lambda route: route.abort()):
        shown(f"/videos/{videos.ready}", "#instead h1")
        yield "video-error"
    shown("/videos/nothing", "#instead h1")
    yield "no such video of an owner"
    shown(f"/videos/{videos.refused}", "#problem:not([hidden])")
    yield "video-refused"

    shown(f"/watch/{videos.ready}", ".controls:not([hidden])")
    yield "share page"
    it.choose("Quality")
    yield "menu of qualities"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator(".stage").evaluate("() => document.activeElement.blur()")
    page.keyboard.press("?")
    page.locator(".helps").wait_for()
    yield "keys"
    shown(f"/watch/{videos.uploading}", ".curtain progress")
    yield "curtain"
    shown(f"/watch/{videos.refused}", ".curtain.ends")
    yield "watch-refused"
    with answered(page, r"/v/.*\.m4s", lambda route: route.abort()):
        shown(f"/watch/{videos.ready}", ".curtain .button")
        yield "trouble with the network"
    shown("/watch/nothing", "h1")
    yield "missing"
    shown(videos.expired, "h1")
    expect(page.get_by_role("heading", name="This link has expired")).to_be_visible()
    yield "expired"
    shown(f"/embed/{videos.ready}", ".controls:not([hidden])")
    yield "frame"


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_is_there_for_everybody(
    house: RunningStack,
    videos: Videos,
    browser: Browser,
    node_modules: Path,
    screen: str,
    scheme: Literal["light", "dark"],
) -> None:
    axe = node_modules / "axe-core" / "axe.min.js"
    with opened(browser, house.api, screen=screen, scheme=scheme) as it:
        for state in states(it, videos):
            if " " not in state and scheme == SCHEMES[screen]:
                keep(it.page, f"{screen}-{state}")
            elif state == "video" and screen == "laptop":
                keep(it.page, "laptop-dark")
            it.page.mouse.move(100, 100)
            assert serious_findings(it.page, axe) == [], state
            too_wide = it.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
            assert too_wide <= 0, (state, too_wide)
        for path in ("/", f"/videos/{videos.ready}", f"/videos/{videos.refused}", f"/watch/{videos.ready}"):
            it.page.set_viewport_size({"width": 320, "height": 640})  # what WCAG's «Reflow» asks for
            it.go(path)
            it.page.locator(".card img, #state:not(:empty), .controls:not([hidden])").first.wait_for(timeout=SOON_MS)
            assert it.page.evaluate("() => document.documentElement.scrollWidth") <= 320, path


def test_nothing_moves_for_who_asked_for_that(
    house: RunningStack, videos: Videos, browser: Browser, node_modules: Path
) -> None:
    with opened(browser, house.api, reduced_motion="reduce") as it:
        it.go(f"/watch/{videos.uploading}")
        expect(it.page.locator(".curtain .fish")).to_have_css("animation-name", "none", timeout=SOON_MS)
