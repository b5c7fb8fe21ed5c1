"""Everything that the player offers, and what it says when it cannot, on two screens and in two browsers."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Route, expect

from tests.e2e.firefox import find_firefox, running_firefox
from tests.e2e.journeys.walking import SCHEMES, SOON_MS, FinishedFilm, keep, keep_picture, screens
from tests.e2e.published import until_settled, video_facts
from tests.e2e.stack import RunningStack
from tests.e2e.web import SCREENS, Opened, opened

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("screen", screens("laptop"))
def test_everything_in_the_menu_and_under_the_film_does_what_it_says(
    house: RunningStack, finished: FinishedFilm, browser: Browser, node_modules: Path, screen: str
) -> None:
    video = finished.there()
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        reported: list[str] = []
        it.page.on("request", lambda request: reported.append(request.url) if "CMCD=" in request.url else None)
        it.go(f"/watch/{video}")
        it.play()
        it.until("video.currentTime > 0.5")
        it.choose("Quality", "240p")
        it.until("video.videoHeight === 240")
        it.choose("Speed", "1.5×")
        it.until("video.playbackRate === 1.5")
        it.choose("Speed", "Normal")
        it.choose("Sound", "German")
        expect(entry(it, "Sound")).to_contain_text("German", timeout=SOON_MS)
        it.page.keyboard.press("Escape")
        it.choose("Subtitles", "English")
        it.until("[...video.textTracks].some((track) => track.mode === 'showing' && track.activeCues?.length)")
        it.choose("Chapters", "By the brook")
        it.until("video.currentTime >= 5 && video.currentTime < 11")
        it.choose("What is going on")
        expect(it.page.locator(".menu")).to_contain_text("hls.js")
        keep(it.page, f"{screen}-menu")
        it.page.keyboard.press("Escape")
        stands_in_a_picture_of_its_own(it, screen)
        scrubs(it)
        # On a slow machine the film is at its end by now, and what comes next would begin there.
        it.page.evaluate("() => { document.getElementById('video').currentTime = 2; }")
        it.choose("Stream", "DASH")
        it.until("video.currentTime > 1 && video.readyState >= 3")
        it.choose("What is going on")
        expect(it.page.locator(".menu")).to_contain_text("dash.js")
        assert any(".m4s" in url and "sid%3D" in url for url in reported)
        assert it.wrong == []


def entry(it: Opened, name: str) -> Locator:
    it.choose()
    return it.page.locator(".menu [role=menuitem]", has_text=name)


def stands_in_a_picture_of_its_own(it: Opened, screen: str) -> None:
    def asked() -> None:
        if screen == "laptop":
            it.page.mouse.move(210, 310)
            it.page.get_by_role("button", name="Picture in picture").click()
        else:
            expect(it.page.locator(".key.wide-only")).to_be_hidden()
            it.choose("Picture in picture")

    asked()
    it.until("document.pictureInPictureElement === video")
    expect(it.page.locator(".key.wide-only")).to_have_attribute("aria-pressed", "true")
    asked()
    it.until("document.pictureInPictureElement === null")
    expect(it.page.locator(".key.wide-only")).to_have_attribute("aria-pressed", "false")


def scrubs(it: Opened) -> None:
    """Draws the knob to the middle, with a sprite of where that is."""
    it.page.mouse.move(200, 300)
    line = it.page.locator(".scrub").bounding_box()
    assert line is not None
    height = line["y"] + line["height"] / 2
    it.page.mouse.move(line["x"] + 20, height)
    it.page.mouse.down()
    for share in (0.2, 0.4, 0.5):
        it.page.mouse.move(line["x"] + line["width"] * share, height)
    expect(it.page.locator(".peek .sprite")).to_be_visible(timeout=SOON_MS)
    expect(it.page.locator(".peek b")).to_contain_text("By the brook")
    it.page.mouse.up()
    it.until("video.currentTime > 8 && video.currentTime < 13")


@pytest.mark.e2e
@pytest.mark.parametrize("stream", ["hls", "dash"])
def test_a_film_that_is_opened_at_its_very_end_comes_to_a_picture(
    house: RunningStack, finished: FinishedFilm, browser: Browser, node_modules: Path, stream: str
) -> None:
    """As it is when its ladder is complete at last and somebody has just watched it to its end."""
    video = finished.there()
    with opened(browser, house.api) as it:
        it.page.add_init_script(f"localStorage.setItem('fishladder.likes', JSON.stringify({{engine: '{stream}'}}))")
        it.go(f"/watch/{video}#t={video_facts(house.api, video)['duration_seconds']}")
        it.until("video && video.readyState >= 2 && !video.seeking && video.currentTime > 16")
        it.page.keyboard.press("k")
        it.until("video.ended")
        it.choose("Stream", {"hls": "DASH", "dash": "HLS"}[stream])  # what has ended is at its beginning again
        it.until("video.readyState >= 2 && video.paused && video.currentTime < 1")
        it.page.keyboard.press("k")
        it.until("video.currentTime > 0.5")
        assert it.wrong == []


@pytest.mark.e2e
def test_a_quality_that_is_chosen_at_the_end_is_that_of_the_next_play(
    house: RunningStack, finished: FinishedFilm, browser: Browser, node_modules: Path
) -> None:
    video = finished.there()
    with opened(browser, house.api) as it:
        it.go(f"/watch/{video}")
        it.play()
        it.until("video.currentTime > 1 && video.videoHeight > 240 && video.buffered.end(0) > video.duration - 0.5")
        it.page.get_by_role("slider", name="Position").focus()
        it.page.keyboard.press("End")
        it.until("video.ended")
        it.choose("Quality", "240p")
        it.page.keyboard.press("0")
        it.page.keyboard.press("k")
        it.until("video.videoHeight === 240 && video.currentTime < 10")
        assert it.wrong == []


@pytest.mark.e2e
def test_controls_go_when_a_film_plays_unless_somebody_goes_by_keys(
    house: RunningStack, finished: FinishedFilm, browser: Browser, node_modules: Path
) -> None:
    video = finished.there()
    with opened(browser, house.api) as it:
        it.go(f"/watch/{video}")
        it.until("video && video.readyState >= 2")
        it.page.mouse.move(200, 300)
        it.page.locator(".keys").get_by_role("button", name="Play").click()
        it.page.mouse.move(600, 300)
        controls = it.page.locator(".controls")
        expect(controls).to_have_css("opacity", "0", timeout=SOON_MS)  # though what was clicked has the focus
        it.page.keyboard.press("Tab")
        expect(controls).to_have_css("opacity", "1", timeout=SOON_MS)
        expect(it.page.locator(".stage.idle.plays")).to_be_attached(timeout=SOON_MS)
        expect(controls).to_have_css("opacity", "1")
        assert it.wrong == []


def test_sound_alone_has_a_length_a_picture_and_controls(
    house: RunningStack, browser: Browser, ffmpeg: Path, node_modules: Path, tmp_path: Path
) -> None:
    sound = tmp_path / "sound.m4a"
    argv = ["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "sine=frequency=330:duration=9.5", "-c:a", "aac"]
    subprocess.run([str(ffmpeg), *argv, str(sound)], check=True)
    picture = io.BytesIO()
    Image.new("RGB", (640, 360), "#ea6546").save(picture, "JPEG")
    video = house.upload(sound, title="Sound alone")
    assert until_settled(house.api, video)["state"] == "ready"
    with opened(browser, house.api) as it:
        page = it.page
        it.go("/")
        expect(page.locator(f"[data-video='{video}'] .time")).to_have_text("0:09", timeout=SOON_MS)
        it.go(f"/videos/{video}")
        it.play()
        it.until("video.currentTime > 0.5")
        expect(page.locator(".stage.sound .heard svg")).to_be_visible()
        page.get_by_role("button", name="Choose a picture").click()
        file = {"name": "cover.jpg", "mimeType": "image/jpeg", "buffer": picture.getvalue()}
        page.set_input_files("#poster-file", file)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#poster-now")).to_be_visible(timeout=SOON_MS)
        it.go(f"/watch/{video}")
        expect(page.locator("#video[poster]")).to_be_attached(timeout=SOON_MS)
        expect(page.locator(".stage.sound")).to_have_count(0)
        assert it.wrong == []


def answering(status: int) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status)


@pytest.mark.parametrize("screen", SCREENS)
def test_what_is_in_the_way_of_a_film_is_said(
    house: RunningStack, finished: FinishedFilm, browser: Browser, node_modules: Path, screen: str
) -> None:
    video = finished.there()
    segments = re.compile(r"/v/.*\.m4s")
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        page = it.page
        for status, words in {403: "not good any more", 404: "not there any more"}.items():
            page.route(re.compile(r"/v/"), answering(status))
            it.go(f"/watch/{video}")
            expect(page.locator(".curtain")).to_contain_text(words, timeout=SOON_MS)
            page.unroute(re.compile(r"/v/"))
        keep(page, f"{screen}-trouble")
        page.locator(".curtain").get_by_role("button", name="Try again").click()
        expect(page.locator(".curtain")).to_be_hidden(timeout=SOON_MS)

        page.route(segments, lambda route: route.abort())
        it.go(f"/watch/{video}")
        expect(page.locator(".curtain")).to_contain_text("does not answer", timeout=SOON_MS)
        page.context.set_offline(True)
        page.unroute(segments)
        expect(page.locator("#offline")).to_be_visible(timeout=SOON_MS)
        expect(page.locator(".curtain")).to_contain_text("You are offline", timeout=SOON_MS)
        page.context.set_offline(False)
        expect(page.locator(".curtain")).to_be_hidden(timeout=SOON_MS)
        it.play()
        it.until("video.currentTime > 1")

        def damaged(route: Route) -> None:
            route.fulfill(status=200, body=b"no film at all" * 1000, headers={"Access-Control-Allow-Origin": "*"})

        page.route(segments, damaged)
        it.go(f"/watch/{video}")
        expect(page.locator(".curtain")).to_contain_text(re.compile("could not decode|does not know"), timeout=SOON_MS)


MANAGED = """
  window.ManagedMediaSource = class extends window.MediaSource {
    constructor() {
      super();
      window.managed = true;
      this.streaming = true;
      setTimeout(() => this.dispatchEvent(new Event("startstreaming")), 50);
    }
  };
  delete window.MediaSource;
"""
NONE_AT_ALL = "delete window.MediaSource; delete window.ManagedMediaSource; delete window.WebKitMediaSource;"


@pytest.mark.parametrize(
    ("given", "engine"),
    [pytest.param(MANAGED, "hls.js", id="managed"), pytest.param(NONE_AT_ALL, "this browser", id="own HLS")],
)
def test_browsers_without_a_media_source_have_another_way(
    house: RunningStack, finished: FinishedFilm, browser: Browser, node_modules: Path, given: str, engine: str
) -> None:
    """Chromium with what phones have in place of MediaSource: their way is walked, though not by them."""
    video = finished.there()
    with opened(browser, house.api, screen="phone") as it:
        it.page.add_init_script(given)
        it.go(f"/watch/{video}")
        can = it.page.evaluate("() => document.createElement('video').canPlayType('application/vnd.apple.mpegurl')")
        if engine == "this browser" and not can:
            expect(it.page.locator(".curtain")).to_contain_text("neither Media Source Extensions nor HLS")
            return
        it.play()
        it.until("video.currentTime > 1.5 && video.videoHeight > 0")
        assert it.page.evaluate("() => window.managed === true") is (engine == "hls.js")
        it.choose("What is going on")
        expect(it.page.locator(".menu")).to_contain_text(engine)
        it.page.keyboard.press("Escape")
        it.page.locator("#chapter-list button", has_text="Awake").click()
        it.until("video.currentTime >= 12")
        assert it.wrong == []


def test_captions_stand_above_the_controls_in_firefox(
    house: RunningStack, finished: FinishedFilm, node_modules: Path, tmp_path: Path
) -> None:
    program = find_firefox()
    if program is None:
        pytest.skip("Firefox is not installed here: on Debian, `apt-get install firefox-esr`")
    video = finished.there()
    film = "const film = document.getElementById('video'), stage = document.getElementById('stage');"
    line = f"{film} const [cue] = [...film.textTracks].flatMap((track) => [...(track.activeCues ?? [])]);"
    with running_firefox(program, tmp_path / "profile") as firefox:
        firefox.open(f"{house.api}/watch/{video}")
        firefox.until(f"{film} return film && film.readyState >= 2;")
        firefox.run(f"{film} film.muted = true; film.play();")
        firefox.until(f"{film} return film.currentTime > 1;")
        firefox.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'c', bubbles: true}));")
        firefox.until(f"{line} return cue && stage.classList.contains('idle') && cue.line === 'auto';")
        idle = firefox.picture_at_rest()
        firefox.run(f"{film} film.pause();")
        place = firefox.until(f"{line} return cue && cue.line !== 'auto' && !cue.snapToLines && cue.line;")
        top = firefox.run(
            f"{film} const [of, line] = [stage, document.querySelector('.scrub')].map((e) => e.getBoundingClientRect());"
            "return 100 * (line.top - of.top) / of.height;"
        )
        assert 60 < place <= top + 0.5
        keep_picture(firefox.picture_at_rest(), "firefox-watch")
        keep_picture(idle, "firefox-watch-idle")
