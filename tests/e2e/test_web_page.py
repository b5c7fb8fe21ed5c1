"""The web page in Debian's Chromium: a film is chosen, becomes a stream, and plays; nothing breaks the strict policy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.published import until_settled, video_facts
from tests.e2e.stack import RunningStack

pytestmark = pytest.mark.e2e


@pytest.fixture
def watched(browser: Browser, node_modules: Path) -> Iterator[tuple[Page, list[str]]]:
    """A page, and everything that went wrong in it."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("requestfailed", lambda request: wrong.append(f"{request.url}: {request.failure}"))
    yield page, wrong
    page.close()


def until(page: Page, condition: str, timeout_s: float = 30) -> None:
    """Wait until ``condition``, an expression over ``video``, holds. Playwright's own wait needs eval, which the page's
    policy forbids."""
    deadline = time.monotonic() + timeout_s
    while not page.evaluate(f"() => {{ const video = document.getElementById('video'); return {condition}; }}"):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def test_a_film_that_is_chosen_on_the_page_becomes_a_stream_and_plays(
    stack: RunningStack, film_file: Path, watched: tuple[Page, list[str]]
) -> None:
    page, wrong = watched
    page.goto(stack.api)
    page.set_input_files("#files", str(film_file))
    card = page.locator("#videos .card", has=page.get_by_text(film_file.stem)).first
    expect(card.locator(".badge.playable, .badge.ready")).to_be_visible(timeout=60_000)
    assert wrong == []

    card.locator("a.card-title").click()
    page.wait_for_url("**/watch/*")
    video = page.url.rsplit("/", 1)[-1]
    until(page, "video.readyState >= 2")
    page.evaluate("() => { const v = document.getElementById('video'); v.muted = true; return v.play(); }")
    until(page, "video.currentTime > 1")

    facts = until_settled(stack.api, video)
    assert facts["state"] == "ready"
    heights = [f"{rung['height']}p" for rung in facts["renditions"] if rung["kind"] == "video"]
    expect(page.locator("#quality option")).to_have_count(1 + len(heights), timeout=20_000)
    page.select_option("#quality", label=heights[-1])
    until(page, f"video.videoHeight === {int(heights[-1][:-1])}")


def test_a_refused_file_says_why_on_the_page(
    stack: RunningStack, tmp_path: Path, watched: tuple[Page, list[str]]
) -> None:
    page, _ = watched
    fake = tmp_path / "holiday.mp4"
    fake.write_text("These are only words.\n" * 100)
    page.goto(stack.api)
    page.set_input_files("#files", str(fake))
    card = page.locator("#videos .card", has=page.get_by_text("holiday")).first
    expect(card.locator(".badge.rejected")).to_be_visible(timeout=30_000)
    video = str(card.locator("a.card-title").get_attribute("href")).rsplit("/", 1)[-1]
    expect(card.locator(".card-reason")).to_have_text(str(video_facts(stack.api, video)["reason"]))
