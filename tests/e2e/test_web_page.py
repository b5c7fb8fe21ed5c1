"""The web app in Debian's browsers: files become streams and play, by mouse and by keys, and nothing breaks the strict
policy. The longer walks are in ``journeys/``."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.firefox import find_firefox, running_firefox
from tests.e2e.published import PublishedVideo, until_settled, video_facts
from tests.e2e.stack import RunningStack
from tests.e2e.web import opened, serious_findings

pytestmark = pytest.mark.e2e

SOON_MS = 60_000


def test_a_film_that_is_chosen_on_the_page_becomes_a_stream_and_plays(
    stack: RunningStack, another_file: Path, browser: Browser, node_modules: Path
) -> None:
    with opened(browser, stack.api) as it:
        it.go("/")
        it.page.set_input_files("#files", str(another_file))
        card = it.page.locator("#videos .card", has=it.page.get_by_text(another_file.stem)).first
        expect(card.locator(".badge.playable, .badge.ready")).to_be_visible(timeout=2 * SOON_MS)

        card.locator("a.card-title").click()
        it.page.wait_for_url("**/videos/*")
        video = it.page.url.rsplit("/", 1)[-1]
        expect(it.page.locator("#timeline .landed").first).to_be_attached(timeout=SOON_MS)
        it.play()
        it.until("video.currentTime > 0.5")
        facts = until_settled(stack.api, video)
        assert facts["state"] == "ready"
        # The player changes over to the full ladder in place, without a new load of the page.
        heights = sorted((rung["height"] for rung in facts["renditions"] if rung["kind"] == "video"), reverse=True)
        expect(it.page.locator("#ladder tbody tr")).to_have_count(len(facts["renditions"]), timeout=SOON_MS)
        it.choose("Quality")
        expect(it.page.locator(".menu [role=menuitemradio]")).to_have_count(1 + len(heights), timeout=SOON_MS)
        it.page.locator(".menu button", has_text=f"{heights[-1]}p").click()
        it.page.keyboard.press("0")  # it may have come to its end meanwhile
        it.page.evaluate("() => document.getElementById('video').play()")
        it.until(f"video.videoHeight === {heights[-1]}")
        assert it.wrong == []


def test_the_share_page_plays_hls_and_dash_and_reports_how(
    stack: RunningStack, film: PublishedVideo, browser: Browser, node_modules: Path
) -> None:
    with opened(browser, stack.api) as it:
        reported: list[str] = []
        it.page.on("request", lambda request: reported.append(request.url) if "CMCD=" in request.url else None)
        it.go(f"/watch/{film.id}")
        it.play()
        it.until("video.currentTime > 0.5")
        it.choose("Stream", "DASH")
        it.until("video.currentTime > 1.5 && video.readyState >= 3")
        assert it.page.locator(".menu").is_hidden()
        it.choose("What is going on")
        expect(it.page.locator(".menu")).to_contain_text("dash.js")
        assert any(".m4s" in url for url in reported)
        assert it.wrong == []


def test_firefox_plays_the_share_page(
    stack: RunningStack, film: PublishedVideo, node_modules: Path, tmp_path: Path
) -> None:
    program = find_firefox()
    if program is None:
        pytest.skip("Firefox is not installed here: on Debian, `apt-get install firefox-esr`")
    with running_firefox(program, tmp_path / "profile") as firefox:
        firefox.open(f"{stack.api}/watch/{film.id}")
        firefox.until("const v = document.getElementById('video'); return v && v.readyState >= 2;")
        firefox.run("const v = document.getElementById('video'); v.muted = true; v.play();")
        firefox.until("return document.getElementById('video').currentTime > 1;")
        assert firefox.run("return document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames;") > 0


def test_a_refused_file_says_why_on_the_page(
    stack: RunningStack, browser: Browser, node_modules: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "holiday.mp4"
    fake.write_text("These are only words.\n" * 100)
    with opened(browser, stack.api) as it:
        it.go("/")
        it.page.set_input_files("#files", str(fake))
        card = it.page.locator("#videos .card", has=it.page.get_by_text("holiday")).first
        expect(card.locator(".badge.rejected")).to_be_visible(timeout=SOON_MS)
        video = str(card.locator("a.card-title").get_attribute("href")).rsplit("/", 1)[-1]
        reason = str(video_facts(stack.api, video)["reason"])
        expect(card.locator(".card-reason")).to_have_text(reason)
        expect(it.page.locator(".upload.failed .say")).to_have_text(reason)


def test_keys_alone_are_enough(stack: RunningStack, film: PublishedVideo, browser: Browser, node_modules: Path) -> None:
    with opened(browser, stack.api) as it:
        press = it.page.keyboard.press
        it.go("/")
        expect(it.page.locator("#videos .card").first).to_be_visible(timeout=SOON_MS)
        press("/")
        with it.page.expect_response(lambda reply: "text=" in reply.url):
            it.page.keyboard.type(film.facts["title"])
        title = it.page.locator("#videos .card-title", has_text=film.facts["title"]).first
        for _ in range(30):
            press("Tab")
            if it.ask(f"document.activeElement.getAttribute('href') === '/videos/{film.id}'"):
                break
        expect(title).to_be_attached()
        press("Enter")
        it.page.wait_for_url(f"**/videos/{film.id}")
        it.until("video && video.readyState >= 2")
        press("k")
        it.until("!video.paused && video.currentTime > 0.2")
        press("k")
        it.until("video.paused")
        press("5")
        it.until("video.currentTime > 6 && video.currentTime < 9")
        press("ArrowLeft")
        it.until("video.currentTime < 4")
        press("m")
        it.until("video.muted")
        it.page.get_by_role("button", name="Settings").focus()
        press("Enter")
        it.page.keyboard.press("ArrowDown")  # from quality to speed
        press("Enter")
        press("End")
        press("Enter")
        it.until("video.playbackRate === 2")
        it.page.get_by_role("slider", name="Position").focus()
        press("Home")
        it.until("video.currentTime < 0.5")
        assert it.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    stack: RunningStack,
    film: PublishedVideo,
    browser: Browser,
    node_modules: Path,
    scheme: Literal["light", "dark"],
) -> None:
    axe = node_modules / "axe-core" / "axe.min.js"
    with opened(browser, stack.api, scheme=scheme) as it:
        for path, shown in {
            "/": ".card img",
            f"/videos/{film.id}": "#ladder td",
            f"/watch/{film.id}": ".controls",
            f"/embed/{film.id}": ".controls",
            "/watch/nothing": "h1",
        }.items():
            it.go(path)
            it.page.locator(shown).first.wait_for(timeout=SOON_MS)
            it.page.mouse.move(100, 100)
            assert serious_findings(it.page, axe) == [], path


def test_without_a_server_and_without_a_network_the_page_says_so_and_goes_on(
    stack: RunningStack, film: PublishedVideo, browser: Browser, node_modules: Path
) -> None:
    with opened(browser, stack.api) as it:
        it.page.route("**/api/v1/videos?*", lambda route: route.abort())
        it.go("/")
        expect(it.page.locator("#list-error")).to_contain_text("does not answer", timeout=SOON_MS)
        it.page.unroute("**/api/v1/videos?*")
        # The page may have gone on by itself in this very moment: then the button is not to be seen any more.
        it.page.locator("#list-retry").dispatch_event("click")
        expect(it.page.locator("#videos .card").first).to_be_visible(timeout=SOON_MS)
        it.page.context.set_offline(True)
        expect(it.page.locator("#offline")).to_be_visible(timeout=SOON_MS)
        it.page.context.set_offline(False)
        expect(it.page.locator("#offline")).to_be_hidden(timeout=SOON_MS)


def test_videos_are_searched_picked_and_deleted(
    stack: RunningStack, browser: Browser, node_modules: Path, tmp_path: Path
) -> None:
    made = []
    for n in range(2):
        upload = httpx.post(
            f"{stack.api}/files",
            headers={
                "Tus-Resumable": "1.0.0",
                "Upload-Length": "1000",
                "Upload-Metadata": f"title {_base64(f'Gone {n}')}",
            },
            timeout=30,
        ).raise_for_status()
        made.append(upload.headers["Fishladder-Video"])
    with opened(browser, stack.api) as it:
        it.go("/")
        it.page.fill("#search", "gone")
        cards = it.page.locator("#videos .card:not(.bones)")
        expect(cards).to_have_count(2, timeout=SOON_MS)
        it.page.click(".chip[value=ready]")
        expect(it.page.locator("#videos-empty")).to_be_visible(timeout=SOON_MS)
        it.page.click(".chip[value=busy]")
        expect(cards).to_have_count(2, timeout=SOON_MS)
        for n in range(2):
            cards.nth(n).get_by_role("checkbox").check()
        it.page.click("#picked-delete")
        it.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(cards).to_have_count(0, timeout=SOON_MS)
    assert [video_facts(stack.api, video)["state"] for video in made] == ["deleted", "deleted"]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
