"""Files come in whatever happens on the way, on two screens."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.journeys.walking import (
    SCHEMES,
    SOON_MS,
    api_process,
    asleep,
    keep,
    made_longer,
    make_short_film,
    site,
    slow_link,
    until_up,
)
from tests.e2e.stack import RunningStack
from tests.e2e.web import SCREENS, opened

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1800)]

HALF_A_MINUTE_BYTES = 16_000_000  # and more, at 3 Mbit/s


@pytest.fixture(scope="module")
def short_film(ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_short_film(ffmpeg, tmp_path_factory.mktemp("short") / "short.mp4", colour="0x336699")


def titled(house: RunningStack, text: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = httpx.get(f"{house.api}/api/v1/videos", params={"text": text}, timeout=30).json()[
        "videos"
    ]
    return found


@pytest.mark.parametrize("screen", SCREENS)
def test_a_slow_link_a_pause_a_killed_server_sleep_and_a_reload_lose_nothing(
    house: RunningStack, short_film: Path, browser: Browser, node_modules: Path, screen: str, tmp_path: Path
) -> None:
    film = made_longer(short_film, tmp_path / f"interrupted-{screen}.mp4", size=HALF_A_MINUTE_BYTES)
    size = film.stat().st_size
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        page = it.page
        it.go("/")
        slow_link(it, 3)
        page.set_input_files("#files", str(film))
        say = page.locator(".upload .say")
        expect(say).to_contain_text("left", timeout=SOON_MS)
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(say).to_contain_text("Paused at", timeout=SOON_MS)
        keep(page, f"{screen}-paused")
        page.get_by_role("button", name="Resume", exact=True).click()
        expect(say).to_contain_text("left", timeout=SOON_MS)

        api_process(house).send_signal(signal.SIGKILL)
        expect(say).to_contain_text("Trying again", timeout=SOON_MS)
        expect(say).to_contain_text(" of ", timeout=SOON_MS)

        sent = float(page.locator(".upload progress").evaluate("(bar) => bar.value"))
        with asleep():
            api_process(house).send_signal(signal.SIGKILL)
            until_up(house)
        it.until(f"document.querySelector('.upload progress').value > {sent} + 0.03")
        expect(say).to_contain_text(" left", timeout=SOON_MS)

        page.context.set_offline(True)
        expect(say).to_contain_text("No network", timeout=SOON_MS)
        keep(page, f"{screen}-offline")
        page.context.set_offline(False)
        expect(page.locator(".upload.running")).to_be_visible(timeout=SOON_MS)

        assert not any(each["state"] != "uploading" for each in titled(house, film.stem)), "it came in too early"
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        expect(page.locator(".upload.earlier .say")).to_contain_text("earlier visit", timeout=SOON_MS)
        keep(page, f"{screen}-earlier")
        slow_link(it, 100)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose file", exact=True).click()
        chooser.value.set_files(str(film))
        expect(page.locator(".upload.done, .card-title").first).to_be_visible(timeout=SOON_MS)
    assert [each["source_bytes"] for each in titled(house, film.stem)] == [size]


@pytest.mark.parametrize("screen", SCREENS)
def test_several_files_take_turns_rest_together_and_one_is_given_up(
    house: RunningStack, short_film: Path, browser: Browser, node_modules: Path, screen: str, tmp_path: Path
) -> None:
    names = [f"{name} {screen}" for name in ("first", "second", "third")]
    films = [made_longer(short_film, tmp_path / f"{name}.mp4", size=HALF_A_MINUTE_BYTES) for name in names]
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        page = it.page
        it.go("/")
        slow_link(it, 6)
        page.set_input_files("#files", [str(film) for film in films])
        say = page.locator(".upload .say")
        expect(say).to_have_count(3)
        expect(say.nth(0)).to_contain_text("left", timeout=SOON_MS)
        expect(say.nth(1)).to_contain_text("left", timeout=SOON_MS)
        expect(say.nth(2)).to_contain_text("Waiting for its turn")
        keep(page, f"{screen}-several")
        page.get_by_role("button", name="Pause all").click()
        expect(page.locator(".upload.paused")).to_have_count(3, timeout=SOON_MS)
        page.get_by_role("button", name="Resume all").click()
        expect(say.nth(0)).to_contain_text("left", timeout=SOON_MS)

        second = page.locator(".upload", has_text=names[1])
        second.get_by_role("button", name="Cancel upload").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel upload").click()
        expect(second).to_have_count(0, timeout=SOON_MS)
        expect(page.locator(".upload", has_text=names[2]).locator(".say")).to_contain_text("left", timeout=SOON_MS)
        slow_link(it, 1000)
        expect(page.locator("#uploads-count")).to_have_text("all done", timeout=SOON_MS)
        for name in (names[0], names[2]):
            expect(page.locator(".upload.done .name, .card-title", has_text=name).first).to_be_visible(timeout=SOON_MS)
        assert it.wrong == []
    states = {name: [each["state"] for each in titled(house, name)] for name in names}
    assert states[names[1]] in ([], ["deleted"]), states
    assert all("uploading" not in states[name] and states[name] for name in (names[0], names[2])), states


@pytest.mark.parametrize("screen", SCREENS)
def test_a_folder_a_drop_a_paste_and_a_link_bring_videos_too(
    house: RunningStack, browser: Browser, ffmpeg: Path, node_modules: Path, tmp_path: Path, screen: str
) -> None:
    folder = tmp_path / "holiday"
    (folder / "day two").mkdir(parents=True)
    shades = {"laptop": ["0x112233", "0x223344"], "phone": ["0x332211", "0x443322"]}[screen]
    made = [f"one {screen}.mp4", f"two {screen}.mp4"]
    make_short_film(ffmpeg, folder / made[0], colour=shades[0])
    make_short_film(ffmpeg, folder / "day two" / made[1], colour=shades[1])
    (folder / "notes.txt").write_text("words")
    with site(folder) as elsewhere, opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        page = it.page
        it.go("/")
        arrived = page.locator(".upload .name, .card-title")
        if screen == "laptop":  # a phone has no folders to choose and nothing to drop with
            page.set_input_files("#folder", str(folder))
            expect(page.locator(".toast")).to_contain_text("left out", timeout=SOON_MS)
            for name in made:
                expect(arrived.filter(has_text=Path(name).stem).first).to_be_visible(timeout=SOON_MS)
            drop(page, folder)
        else:
            expect(page.get_by_role("button", name="Folder")).to_be_hidden()
            expect(page.get_by_role("heading", name="Upload a video")).to_be_visible()
            page.set_input_files("#files", [str(folder / made[0]), str(folder / "day two" / made[1])])
        until_titled(it.page, house, f"one {screen}", 2 if screen == "laptop" else 1)
        until_titled(it.page, house, f"two {screen}", 2 if screen == "laptop" else 1)
        before = len(titled(house, f"one {screen}"))
        page.click("#choose-link")
        page.fill("#link-field", f"{elsewhere}/{made[0].replace(' ', '%20')}")
        keep(page, f"{screen}-link")
        page.click("#link-send")
        expect(page.locator(".toast", has_text="fetches")).to_be_visible(timeout=SOON_MS)
        until_titled(page, house, f"one {screen}", before + 1)
        assert it.wrong == []


def drop(page: Page, path: Path) -> None:
    """Drops a folder as a file manager does."""
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
        if kind == "dragOver":
            expect(page.get_by_role("heading", name="Let go to upload")).to_be_visible()


def until_titled(page: Page, house: RunningStack, text: str, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(found := titled(house, text)) < count:
        assert time.monotonic() < deadline, found
        page.wait_for_timeout(200)


@pytest.mark.parametrize("screen", SCREENS)
def test_what_is_refused_says_why_as_early_as_that_is_known(
    house: RunningStack, browser: Browser, node_modules: Path, tmp_path: Path, screen: str
) -> None:
    empty, huge = tmp_path / "empty.mp4", tmp_path / "huge.mp4"
    empty.touch()
    with huge.open("wb") as sink:
        sink.truncate(80_000_000)  # more than this house takes
    words = tmp_path / f"words-{screen}.mp4"
    words.write_text("These are only words.\n" * 500_000)
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        page = it.page
        it.go("/")
        slow_link(it, 3)
        page.set_input_files("#files", [str(words), str(empty)])
        expect(page.locator(".upload.failed", has_text="empty.mp4").locator(".say")).to_have_text("This file is empty.")
        said = page.locator(".upload.failed", has_text=words.name).locator(".say")
        expect(said).to_contain_text("not a video", timeout=SOON_MS)
        page.set_input_files("#files", str(huge))
        expect(page.locator(".upload.failed", has_text="huge.mp4").locator(".say")).to_contain_text("larger than")
        expect(page.locator("#uploads-count")).to_have_text("3 not taken")
        expect(page.get_by_role("button", name="Try again")).to_have_count(0)
        expect(page.get_by_role("button", name="Cancel upload")).to_have_count(0)
        keep(page, f"{screen}-refused")
        [video] = titled(house, words.stem)
        assert video["state"] == "rejected"
        assert video["reason"] == said.text_content()
        # The server knew after the first part, and the browser sent no more.
        received, size = video["received_bytes"], words.stat().st_size
        assert isinstance(received, int)
        assert received < size / 2, (received, size)
        page.reload()
        card = page.locator(f"[data-video='{video['id']}']")
        expect(card.locator(".card-reason")).to_have_text(str(video["reason"]), timeout=SOON_MS)
        it.go(f"/watch/{video['id']}")
        expect(page.locator(".curtain")).to_contain_text(str(video["reason"]), timeout=SOON_MS)
        expect(page.get_by_role("button", name="Copy link")).to_be_hidden()  # to what nobody could watch
        it.go(f"/videos/{video['id']}")
        expect(page.locator("#problem")).to_contain_text(str(video["reason"]), timeout=SOON_MS)
        for nothing in ("Share", "Who may watch", "Captions", "Files"):
            expect(page.get_by_role("heading", name=nothing, exact=True)).to_be_hidden()
    assert titled(house, "huge") == []
