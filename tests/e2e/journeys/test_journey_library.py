"""A library is searched, filtered, sorted, and worked on in bulk, on two screens."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.journeys.walking import (
    SCHEMES,
    SOON_MS,
    api_process,
    asleep,
    keep,
    make_short_film,
    screens,
    until_up,
    workers_at_rest,
)
from tests.e2e.published import until_settled, video_facts
from tests.e2e.stack import RunningStack
from tests.e2e.web import SCREENS, opened

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("screen", screens("laptop"))
def test_videos_are_found_stopped_made_again_and_deleted(
    house: RunningStack, browser: Browser, ffmpeg: Path, node_modules: Path, tmp_path: Path, screen: str
) -> None:
    weir = f"Weir {screen}"
    shades = {"laptop": ("0x204060", "0x406080", "0x6080a0"), "phone": ("0x602040", "0x804060", "0xa06080")}[screen]
    files = [
        make_short_film(ffmpeg, tmp_path / f"{n}.mp4", colour=shade, seconds=n + 1) for n, shade in enumerate(shades)
    ]
    whole = house.upload(files[2], title=f"{weir} c, whole")
    until_settled(house.api, whole, timeout_s=300)
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        page = it.page
        with workers_at_rest(house):
            stopped = [house.upload(files[n], title=f"{weir} {'ab'[n]}, stopped") for n in range(2)]
            for video in stopped:
                it.go(f"/videos/{video}")
                page.get_by_role("button", name="Stop", exact=True).click()
                expect(page.locator("#state")).to_have_text("Failed", timeout=SOON_MS)
        keep(page, f"{screen}-failed")

        it.go("/")
        page.fill("#search", weir)
        cards = page.locator("#videos .card:not(.bones)")
        titles = cards.locator(".card-title")
        expect(cards).to_have_count(3, timeout=SOON_MS)
        for order, found in {
            "oldest": ["c, whole", "a, stopped", "b, stopped"],
            "title": ["a, stopped", "b, stopped", "c, whole"],
            "longest": ["c, whole"],
            "largest": ["c, whole"],
            "newest": ["b, stopped", "a, stopped", "c, whole"],
        }.items():
            page.select_option("#sort", order)
            if len(found) == 3:
                expect(titles).to_have_text([f"{weir} {each}" for each in found], timeout=SOON_MS)
            else:
                expect(titles.first).to_have_text(f"{weir} {found[0]}", timeout=SOON_MS)
        page.click(".chip[value=ready]")
        expect(titles).to_have_text([f"{weir} c, whole"], timeout=SOON_MS)
        page.fill("#search", "no such film")
        expect(page.locator("#videos-empty")).to_be_visible(timeout=SOON_MS)
        keep(page, f"{screen}-nothing")
        page.get_by_role("button", name="Show all videos").click()
        expect(page.locator(".chip[aria-pressed=true]")).to_have_text("All")
        page.fill("#search", weir)
        page.click(".chip[value=wrong]")
        expect(cards).to_have_count(2, timeout=SOON_MS)

        for n in range(2):
            cards.nth(n).get_by_role("checkbox").check()
        expect(page.locator("#picked-count")).to_have_text("2 selected")
        keep(page, f"{screen}-picked")
        page.get_by_role("toolbar").get_by_role("button", name="Encode again").click()
        expect(page.locator(".toast", has_text="2 videos are encoded again")).to_be_visible(timeout=SOON_MS)
        for video in stopped:
            assert until_settled(house.api, video, timeout_s=300)["state"] == "ready"

        page.click(".chip[value=all]")
        expect(cards).to_have_count(3, timeout=SOON_MS)
        expect(cards.locator(".badge.ready")).to_have_count(3, timeout=SOON_MS)
        cards.nth(0).get_by_role("checkbox").check()
        page.get_by_role("toolbar").get_by_role("button", name="All shown").click()
        expect(page.locator("#picked-count")).to_have_text("3 selected")
        page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(cards).to_have_count(3)
        page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(cards).to_have_count(0, timeout=SOON_MS)
        assert it.wrong == []
    assert {video_facts(house.api, video)["state"] for video in (whole, *stopped)} == {"deleted"}


@pytest.mark.parametrize("screen", SCREENS)
def test_one_video_is_made_again_from_its_card_and_deleted_on_its_page(
    house: RunningStack, browser: Browser, ffmpeg: Path, node_modules: Path, tmp_path: Path, screen: str
) -> None:
    shade = {"laptop": "0x335577", "phone": "0x553377"}[screen]
    file = make_short_film(ffmpeg, tmp_path / "one.mp4", colour=shade)
    with workers_at_rest(house):
        video = house.upload(file, title=f"Eddy {screen}")
        httpx.post(f"{house.api}/api/v1/videos/{video}/cancel", timeout=30).raise_for_status()
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        it.go("/")
        card = it.page.locator(f"[data-video='{video}']")
        expect(card.locator(".badge.failed")).to_be_visible(timeout=SOON_MS)
        with asleep():  # what happened meanwhile is told by the event stream when it is there again
            api_process(house).send_signal(signal.SIGKILL)
            until_up(house)
            renamed = {"title": f"Backwater {screen}"}
            httpx.patch(f"{house.api}/api/v1/videos/{video}", json=renamed, timeout=30).raise_for_status()
        expect(card.locator(".card-title")).to_have_text(renamed["title"], timeout=SOON_MS)
        card.get_by_role("button", name="Encode again").click()
        expect(card.locator(".badge.ready")).to_be_visible(timeout=SOON_MS)
        card.get_by_role("link").click()
        it.page.get_by_role("button", name="Delete this video").click()
        it.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        it.page.wait_for_url(house.api + "/")
        expect(card).to_have_count(0, timeout=SOON_MS)
        it.wrong.clear()
        it.go(f"/videos/{video}")
        expect(it.page.get_by_role("heading", name="There is no such video")).to_be_visible(timeout=SOON_MS)
    assert video_facts(house.api, video)["state"] == "deleted"
