"""Who is sent a link, who shows a film on their own page, and who has to sign in, on two screens."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from storage.access import NewKey, Scope, new_token
from storage.ids import DEFAULT_TENANT
from tests.e2e.journeys.walking import SCHEMES, SOON_MS, FinishedFilm, keep, site
from tests.e2e.stack import RunningStack
from tests.e2e.web import SCREENS, opened, serious_findings
from tests.upload_server import open_ports, running

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("screen", SCREENS)
def test_a_share_page_is_embedded_by_whom_the_owner_lets(
    house: RunningStack, finished: FinishedFilm, browser: Browser, node_modules: Path, tmp_path: Path, screen: str
) -> None:
    """As a feed does it: from the share page to its oEmbed, from that to a frame in a page of another site."""
    video = finished.there()
    shared = httpx.get(f"{house.api}/watch/{video}", timeout=30).text
    assert re.search(r'property="og:image" content="[^"]+/poster\.jpg"', shared)
    found = re.search(r'type="application/json\+oembed" href="([^"]+)"', shared)
    assert found is not None
    told = httpx.get(found[1].replace("&amp;", "&"), timeout=30).json()
    for name in ("friend", "stranger"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(
            "<!doctype html><meta name=viewport content='width=device-width'><link rel=icon href='data:,'>"
            "<style>iframe { width: 100%; height: auto; aspect-ratio: 16 / 9; }</style>"
            f"<title>{name}</title>{told['html']}"
        )
    with (
        site(tmp_path / "friend") as friend,
        site(tmp_path / "stranger") as stranger,
        opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it,
    ):
        page = it.page
        it.go(f"/videos/{video}")
        page.get_by_label("Only these sites").check()
        page.fill("#embed-origins", friend)
        page.locator("#embedding").get_by_role("button", name="Save").click()
        expect(page.locator(".toast", has_text="Changed")).to_be_visible(timeout=SOON_MS)

        page.goto(friend)
        frame = frame_of(page, f"/embed/{video}")
        frame.wait_for_selector("#video")
        stage, room = frame.locator(".stage").bounding_box(), page.locator("iframe").bounding_box()
        assert stage is not None
        assert room is not None
        for side in ("width", "height"):  # it fills what it is given, to the pixel
            assert abs(stage[side] - room[side]) < 1, (side, stage, room)
        frame.locator(".go").click()
        until_plays(page, frame)
        expect(frame.locator(".titled a")).to_have_attribute("href", f"{house.api}/watch/{video}")
        keep(page, f"{screen}-embed")
        assert it.wrong == []

        page.goto(stranger)
        expect(page.frame_locator("iframe").locator("#video")).to_have_count(0)
        it.page.wait_for_timeout(500)
        assert any("frame-ancestors" in each for each in it.wrong), it.wrong
        it.go(f"/videos/{video}")
        page.get_by_label("Any page may embed it").check()
        page.locator("#embedding").get_by_role("button", name="Save").click()
        expect(page.locator(".toast", has_text="Changed")).to_be_visible(timeout=SOON_MS)


def frame_of(page: Page, path: str) -> Frame:
    page.wait_for_selector("iframe")
    for _ in range(600):
        if found := next((frame for frame in page.frames if path in frame.url), None):
            return found
        page.wait_for_timeout(100)
    raise AssertionError([frame.url for frame in page.frames])


def until_plays(page: Page, frame: Frame) -> None:
    for _ in range(900):
        if frame.evaluate("() => document.getElementById('video').currentTime > 1"):
            return
        page.wait_for_timeout(100)
    raise AssertionError("the frame does not play")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_signed_film_plays_for_its_owner_and_who_has_a_link(
    house: RunningStack, finished: FinishedFilm, browser: Browser, node_modules: Path, screen: str
) -> None:
    video = finished.there()
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        it.go(f"/videos/{video}")
        it.page.get_by_label("Only with a signed link").check()
        expect(it.page.locator(".toast")).to_contain_text("Changed", timeout=SOON_MS)
        it.wrong.clear()  # what the page asked for before the change may be refused after it
        it.go(f"/watch/{video}")
        it.play()
        it.until("video.currentTime > 1")
        assert it.wrong == []
        until_answered(f"{house.origin}/v/{video}/master.m3u8", 403)
        it.go(f"/videos/{video}")
        it.page.get_by_label("Who has the link").check()
        expect(it.page.locator(".toast")).to_contain_text("Changed", timeout=SOON_MS)
        until_answered(f"{house.origin}/v/{video}/master.m3u8", 200)


def until_answered(url: str, status: int) -> None:
    """The origin remembers for a moment who may see what."""
    for _ in range(600):
        found = httpx.get(url, timeout=30).status_code
        if found == status:
            return
        time.sleep(0.1)
    raise AssertionError(found)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_server_that_asks_for_keys_lets_in_who_has_one(
    browser: Browser, node_modules: Path, tmp_path: Path, screen: str
) -> None:
    ports, key = open_ports(tmp_path), new_token()
    ports.catalogue.create_key(NewKey(tenant=DEFAULT_TENANT, name="mine", scopes=(Scope.ADMIN,)), key)
    ports.catalogue.close()
    with (
        running(tmp_path, libraries=node_modules, needs_key=True) as server,
        opened(browser, server.url, screen=screen, scheme=SCHEMES[screen]) as it,
    ):
        it.go("/")
        it.page.wait_for_url("**/signin?next=*")
        keep(it.page, f"{screen}-signin")
        it.page.fill("#key", "fl_live_nonsense")
        it.page.get_by_role("button", name="Sign in").click()
        expect(it.page.locator("#sign-problem")).to_be_visible(timeout=SOON_MS)
        assert serious_findings(it.page, node_modules / "axe-core" / "axe.min.js") == []
        it.page.fill("#key", key.text)
        it.page.get_by_role("button", name="Sign in").click()
        expect(it.page.locator("#drop")).to_be_visible(timeout=SOON_MS)
        it.page.get_by_role("button", name="Sign out").click()
        it.page.wait_for_url("**/signin")
