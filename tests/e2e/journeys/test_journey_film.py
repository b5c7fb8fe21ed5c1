"""From an empty library to a film that is shared, on two screens. With ``LADDER_TEST_PICTURES=folder`` what is seen on the
way is kept there."""

from __future__ import annotations

import io
from pathlib import Path

import av
import httpx
import pytest
from PIL import Image, ImageStat
from playwright.sync_api import Browser, Page, expect

from tests.e2e.journeys.walking import CAPTIONS, CHAPTERS, SCHEMES, SOON_MS, keep, screens, slow_link
from tests.e2e.published import until_settled, until_state, video_facts
from tests.e2e.stack import RunningStack
from tests.e2e.web import Opened, opened, serious_findings

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1800)]

CLIPBOARD = ["clipboard-read", "clipboard-write"]


@pytest.mark.parametrize("screen", screens("phone"))
def test_from_an_empty_library_to_a_film_that_is_shared(
    house: RunningStack, reel: Path, browser: Browser, node_modules: Path, screen: str, tmp_path: Path
) -> None:
    empty_the_library(house)
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen], permissions=CLIPBOARD) as it:
        video = uploads_and_watches_it_become(it, house, reel, screen)
        changes_what_it_says(it, screen)
        poster = httpx.get(str(video_facts(house.api, video)["poster_url"]), timeout=30).content
        assert max(ImageStat.Stat(Image.open(io.BytesIO(poster)).convert("L")).extrema[0]) > 60, "it is black"
        assert serious_findings(it.page, node_modules / "axe-core" / "axe.min.js") == []
        copies_links(it, house, video)
        keeps_files(it, reel, tmp_path)
        watches_it_as_others_do(it, video, screen)
        it.go("/")
        expect(it.page.locator(".card img").first).to_be_visible(timeout=SOON_MS)
        keep(it.page, f"{screen}-library")
        assert it.wrong == []
    assert video_facts(house.api, video)["visibility"] == "unlisted"


def empty_the_library(house: RunningStack) -> None:
    for video in httpx.get(f"{house.api}/api/v1/videos?limit=200", timeout=30).json()["videos"]:
        httpx.delete(f"{house.api}/api/v1/videos/{video['id']}", timeout=30).raise_for_status()


def uploads_and_watches_it_become(it: Opened, house: RunningStack, reel: Path, screen: str) -> str:
    page = it.page
    it.go("/")
    expect(page.locator("#drop.first")).to_be_visible(timeout=SOON_MS)
    keep(page, f"{screen}-empty")
    slow_link(it, 8)
    page.set_input_files("#files", [str(reel)])
    expect(page.locator(".upload .say")).to_contain_text("left", timeout=SOON_MS)
    keep(page, f"{screen}-uploading")
    slow_link(it, 1000)
    expect(page.locator(".upload.done")).to_be_visible(timeout=SOON_MS)
    page.get_by_role("link", name="Open").click()
    page.wait_for_url("**/videos/*")
    video = page.url.rsplit("/", 1)[-1]
    until_state(house.api, video, "playable", timeout_s=600)
    it.play()
    it.until("video.currentTime > 1.5")
    page.evaluate("() => { window.isTheSamePage = true; }")
    expect(page.locator("#timeline .landed").first).to_be_attached(timeout=SOON_MS)
    expect(page.locator("#timeline .at-work").first).to_be_attached(timeout=SOON_MS)
    expect(page.locator("#now")).to_contain_text("It plays already", timeout=SOON_MS)
    page.evaluate("() => document.querySelector('.legend').scrollIntoView({block: 'end'})")
    keep(page, f"{screen}-becoming")
    facts = until_settled(house.api, video, timeout_s=900)
    expect(page.locator("#state")).to_have_text("Ready", timeout=SOON_MS)
    # The player went over to all renditions in place.
    rungs = [each for each in facts["renditions"] if each["kind"] == "video"]
    it.until(f"document.querySelector('.stage').dataset.quality && video.duration > {facts['duration_seconds'] - 1}")
    offered_all(it, len(rungs))
    assert page.evaluate("() => window.isTheSamePage")
    return video


def offered_all(it: Opened, rungs: int) -> None:
    """The player looks for more renditions a few times after the last news: until then the menu may lack some."""
    it.choose("Quality")
    expect(it.page.locator(".menu [role=menuitemradio]")).to_have_count(1 + rungs, timeout=SOON_MS)
    it.page.keyboard.press("Escape")


def changes_what_it_says(it: Opened, screen: str) -> None:
    page = it.page
    page.fill("#chapters-field", "\n".join(f"0:{at:02} {title}" for title, at in CHAPTERS))
    page.locator("#chapters").get_by_role("button", name="Save").click()
    expect(page.locator(".toast", has_text="Chapters")).to_be_visible(timeout=SOON_MS)
    page.get_by_label("Who has the link").check()
    expect(page.locator(".toast", has_text="Changed")).to_be_visible(timeout=SOON_MS)
    before = page.locator("#poster-now").get_attribute("src")
    page.click("#poster-choose")
    page.locator(".frame").nth(5).click(timeout=SOON_MS)
    expect(page.locator("#poster-save")).to_be_enabled(timeout=SOON_MS)
    keep(page, f"{screen}-poster")
    page.click("#poster-save")
    expect(page.locator("#poster-dialog")).to_be_hidden(timeout=SOON_MS)
    expect(page.locator("#poster-now")).not_to_have_attribute("src", str(before), timeout=SOON_MS)
    for track, language in {"en": "English", "de": "German"}.items():
        page.fill("#captions-language", track)
        file = {"name": f"{track}.vtt", "mimeType": "text/vtt", "buffer": CAPTIONS.encode()}
        page.set_input_files("#captions-file", file)
        page.get_by_role("button", name="Add captions").click()
        expect(page.locator("#captions-list")).to_contain_text(language, timeout=SOON_MS)
    page.get_by_role("button", name="Remove: de").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.locator("#captions-list")).not_to_contain_text("German", timeout=SOON_MS)
    expect(page.locator("#captions-list")).to_contain_text("English")
    page.click("#title-edit")
    page.get_by_label("Title", exact=True).fill("Big Buck Bunny wakes up")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("Big Buck Bunny wakes up", timeout=SOON_MS)
    page.reload()
    expect(page.locator("#ladder td").first).to_be_visible(timeout=SOON_MS)
    expect(page.locator("#plot circle.mean").first).to_be_visible(timeout=SOON_MS)
    for panel in ("#facts dd", "#tracks li", "#files tr", "#notes li"):
        expect(page.locator(panel).first).to_be_visible(timeout=SOON_MS)
    keep(page, f"{screen}-video", full=True)


def copies_links(it: Opened, house: RunningStack, video: str) -> None:
    facts = video_facts(house.api, video)
    for what, told in {
        "Copy HLS": facts["hls_url"],
        "Copy DASH": facts["dash_url"],
        "Copy Share page": facts["watch_url"],
        "Copy Embed code": facts["embed_url"],
    }.items():
        it.page.get_by_role("button", name=what, exact=True).click()
        assert told in it.page.evaluate("() => navigator.clipboard.readText()"), what


def keeps_files(it: Opened, reel: Path, folder: Path) -> None:
    """What is downloaded is the film: the uploaded file byte by byte, a rendition as an MP4 of all its pictures."""
    source = downloaded(it.page, "Download the original", folder / "source.mp4")
    assert source.read_bytes() == reel.read_bytes()
    rendition = downloaded(it.page, "Download 360p as MP4", folder / "360p.mp4")
    with av.open(str(reel)) as film, av.open(str(rendition)) as kept:
        assert kept.streams.video[0].height == 360
        pictures = sum(1 for _ in kept.decode(video=0))
        assert abs(pictures - film.streams.video[0].frames) <= 1
        assert kept.streams.audio[0].codec_context.name == "aac"


def downloaded(page: Page, words: str, target: Path) -> Path:
    with page.expect_download(timeout=SOON_MS) as arriving:
        page.get_by_role("link", name=words).click()
    assert arriving.value.suggested_filename.endswith(".mp4")
    arriving.value.save_as(target)
    return target


def watches_it_as_others_do(it: Opened, video: str, screen: str) -> None:
    page = it.page
    it.go(f"/watch/{video}")
    slow_link(it, 3)
    it.play()
    it.until("video.currentTime > 1")
    page.keyboard.press("c")
    it.until("[...video.textTracks].some((track) => track.mode === 'showing' && track.activeCues?.length)")
    if screen == "laptop":
        line = page.locator(".scrub").bounding_box()
        assert line is not None
        page.mouse.move(line["x"] + line["width"] * 0.55, line["y"] + 8)
        expect(page.locator(".peek .sprite")).to_be_visible(timeout=SOON_MS)
    else:
        page.touchscreen.tap(30, 120)
        it.play()
    keep(page, f"{screen}-watch")
    page.locator("#chapter-list button", has_text="Awake").click()
    it.until("video.currentTime >= 12")
    page.reload()
    it.play()
    it.until("video.currentTime >= 11")  # it goes on where it was left
