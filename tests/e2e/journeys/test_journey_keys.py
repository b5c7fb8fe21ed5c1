"""Keys alone bring a film in, change what it says, and take it away, on two screens."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.journeys.walking import SCHEMES, SOON_MS, make_short_film
from tests.e2e.published import until_settled, video_facts
from tests.e2e.stack import RunningStack
from tests.e2e.web import SCREENS, opened

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1800)]

AT = """() => {
  const { activeElement: at } = document;
  return at.labels?.[0]?.innerText || at.getAttribute("aria-label") || at.innerText || at.value || "";
}"""


def tab_to(page: Page, name: str) -> None:
    """Goes on from one thing to the next until what is called ``name``, which has to show that it is reached."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if str(page.evaluate(AT)).strip().startswith(name):
            shown = page.evaluate("() => document.activeElement.matches(':focus-visible')")
            assert shown, name
            return
    raise AssertionError(f"no key leads to {name}")


@pytest.mark.parametrize("screen", SCREENS)
def test_keys_alone_bring_a_film_in_and_take_it_away(
    house: RunningStack, browser: Browser, ffmpeg: Path, node_modules: Path, tmp_path: Path, screen: str
) -> None:
    shade = {"laptop": "0x227744", "phone": "0x772244"}[screen]
    film = make_short_film(ffmpeg, tmp_path / f"keys {screen}.mp4", colour=shade)
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        page, press = it.page, it.page.keyboard.press
        page.on("filechooser", lambda chooser: chooser.set_files(str(film)))
        it.go("/")
        expect(page.locator("#drop")).to_be_visible(timeout=SOON_MS)
        tab_to(page, "Skip to content")
        tab_to(page, "Choose files")
        press("Enter")
        expect(page.locator(".upload.done, .card-title", has_text=film.stem).first).to_be_visible(timeout=SOON_MS)
        page.reload()
        expect(page.locator(".card-title", has_text=film.stem)).to_be_visible(timeout=SOON_MS)
        tab_to(page, film.stem)
        press("Enter")
        page.wait_for_url("**/videos/*")
        video = page.url.rsplit("/", 1)[-1]
        until_settled(house.api, video, timeout_s=300)
        expect(page.locator("#state")).to_have_text("Ready", timeout=SOON_MS)
        tab_to(page, "Rename")
        press("Enter")
        page.keyboard.type(f"By keys, {screen}")
        press("Enter")
        expect(page.locator("#title")).to_have_text(f"By keys, {screen}", timeout=SOON_MS)
        page.get_by_role("heading", name="Who may watch").scroll_into_view_if_needed()
        tab_to(page, "Everybody")
        press("ArrowDown")
        expect(page.locator(".toast", has_text="Changed")).to_be_visible(timeout=SOON_MS)
        assert video_facts(house.api, video)["visibility"] == "unlisted"
        tab_to(page, "Delete this video")
        press("Enter")
        tab_to(page, "Delete")
        press("Enter")
        page.wait_for_url(house.api + "/")
        assert it.wrong == []
    assert video_facts(house.api, video)["state"] == "deleted"
