"""Every journey through the web app, on two screens: ``make test-web``. With ``LADDER_TEST_PICTURES=folder`` what is seen on
the way is kept there."""

from __future__ import annotations

import functools
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import NODE_MODULES
from tests.e2e.published import until_settled, until_state
from tests.e2e.stack import RunningStack, running_stack
from tests.e2e.web import SCREENS, Opened, opened, serious_findings
from tests.shared import shared_folder

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1800)]

SOON_MS = 120_000
KEYS = "k1:00112233445566778899aabbccddeeff"
MBIT_BYTES = 125_000
PICTURES = os.environ.get("LADDER_TEST_PICTURES")
SCHEMES = {"laptop": "light", "phone": "dark"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack of its own, which signs and fetches, and whose parts may be killed."""
    env = {
        "FISHLADDER_WEB_LIBRARIES": str(NODE_MODULES),
        "FISHLADDER_PLAYBACK_KEYS": KEYS,
        "FISHLADDER_IMPORT_NETWORKS": "127.0.0.0/8",
        "FISHLADDER_DOWNLOADS": "open",
    }
    with running_stack(tmp_path_factory.mktemp("house"), store="local", workers=1, env=env) as running:
        yield running


@pytest.fixture(scope="module")
def reel(ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film worth a picture: shared media where it is there, else a fractal; 18 seconds, 720p."""
    target = tmp_path_factory.mktemp("reel") / "Big Buck Bunny.mp4"
    shared = shared_folder()
    found = shared / "media" / "bbb_1080p24_h264_aac51_30s.mp4" if shared else None
    if found is not None and found.exists():
        source = f"-ss 5 -i {found} -vf scale=-2:720"
    else:
        source = "-f lavfi -i mandelbrot=size=1280x720:rate=24 -f lavfi -i sine=frequency=330"
    encoding = "-c:v libx264 -preset veryfast -crf 25 -pix_fmt yuv420p -c:a aac -ac 2 -movflags +faststart"
    argv = [
        str(ffmpeg),
        "-nostdin",
        "-loglevel",
        "error",
        "-y",
        *source.split(),
        "-t",
        "18",
        *encoding.split(),
        str(target),
    ]
    subprocess.run(argv, check=True)
    return target


def keep(page: Page, name: str, *, full: bool = False) -> None:
    """A picture of ``page``, small enough to be committed."""
    if not PICTURES:
        return
    page.wait_for_timeout(400)  # what is sliding in comes to rest
    image = Image.open(io.BytesIO(page.screenshot(full_page=full))).convert("RGB")
    if image.width > 1280:
        image = image.resize((round(image.width * 0.6), round(image.height * 0.6)), Image.Resampling.LANCZOS)
    folder = Path(PICTURES)
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{name}.webp", quality=82, method=6)


def slow_link(it: Opened, mbit: float) -> None:
    devtools = it.page.context.new_cdp_session(it.page)
    rate = {
        "offline": False,
        "latency": 40,
        "downloadThroughput": mbit * MBIT_BYTES,
        "uploadThroughput": mbit * MBIT_BYTES,
    }
    devtools.send("Network.emulateNetworkConditions", rate)


def api_process(house: RunningStack) -> psutil.Process:
    """The upload API's process, found by the port that it listens on."""
    port = int(house.api.rsplit(":", 1)[-1])
    for process in psutil.Process(house.process.pid).children(recursive=True):
        try:
            if any(each.laddr.port == port and each.status == psutil.CONN_LISTEN for each in process.net_connections()):
                return process
        except psutil.Error:
            continue
    raise AssertionError("nobody listens on the port of the upload API")


@pytest.mark.parametrize("screen", SCREENS)
def test_from_an_empty_library_to_a_film_that_is_shared(
    house: RunningStack, reel: Path, browser: Browser, node_modules: Path, screen: str
) -> None:
    for video in httpx.get(f"{house.api}/api/v1/videos", timeout=30).json()["videos"]:
        httpx.delete(f"{house.api}/api/v1/videos/{video['id']}", timeout=30).raise_for_status()
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        page = it.page
        it.go("/")
        expect(page.locator("#drop.first")).to_be_visible(timeout=SOON_MS)
        keep(page, f"{screen}-empty")
        slow_link(it, 24)
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
        expect(page.locator("#timeline .at-work").first).to_be_attached(timeout=SOON_MS)
        it.page.evaluate("() => document.querySelector('.legend').scrollIntoView({block: 'end'})")
        keep(page, f"{screen}-becoming")
        until_settled(house.api, video, timeout_s=900)
        expect(page.locator("#state")).to_have_text("Ready", timeout=SOON_MS)

        page.fill("#chapters-field", "0:00 Meadow\n0:05 By the brook\n0:12 Awake")
        page.locator("#chapters").get_by_role("button", name="Save").click()
        expect(page.locator(".toast")).to_contain_text("Chapters", timeout=SOON_MS)
        page.click("#poster-choose")
        frames = page.locator(".frame")
        frames.nth(5).click(timeout=SOON_MS)
        expect(page.locator("#poster-save")).to_be_enabled(timeout=SOON_MS)
        keep(page, f"{screen}-poster")
        page.click("#poster-save")
        expect(page.locator("#poster-dialog")).to_be_hidden(timeout=SOON_MS)
        captions = {
            "name": "en.vtt",
            "mimeType": "text/vtt",
            "buffer": b"WEBVTT\n\n00:00.500 --> 00:20.000\nA quiet morning.\n",
        }
        page.fill("#captions-language", "en")
        page.set_input_files("#captions-file", captions)
        page.get_by_role("button", name="Add captions").click()
        expect(page.locator("#captions-list")).to_contain_text("English", timeout=SOON_MS)
        page.click("#title-edit")
        page.get_by_label("Title", exact=True).fill("Big Buck Bunny wakes up")
        page.keyboard.press("Enter")
        expect(page.locator("#title")).to_have_text("Big Buck Bunny wakes up", timeout=SOON_MS)
        page.reload()
        expect(page.locator("#ladder td").first).to_be_visible(timeout=SOON_MS)
        keep(page, f"{screen}-video", full=True)
        assert serious_findings(page, node_modules / "axe-core" / "axe.min.js") == []

        it.go(f"/watch/{video}")
        it.play()
        it.until("video.currentTime > 1")
        page.keyboard.press("c")
        page.wait_for_timeout(1500)
        if screen == "laptop":
            line = page.locator(".scrub").bounding_box()
            assert line is not None
            page.mouse.move(line["x"] + line["width"] * 0.55, line["y"] + 8)
            expect(page.locator(".peek .sprite")).to_be_visible(timeout=SOON_MS)
        keep(page, f"{screen}-watch")
        page.locator("#chapter-list button", has_text="Awake").click()
        it.until("video.currentTime >= 12")
        page.reload()
        it.play()
        it.until("video.currentTime >= 11")  # it goes on where it was left
        it.go("/")
        expect(page.locator(".card img").first).to_be_visible(timeout=SOON_MS)
        keep(page, f"{screen}-library")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_slow_link_a_pause_a_reload_and_a_killed_server_lose_nothing(
    house: RunningStack, film_file: Path, browser: Browser, node_modules: Path, screen: str, tmp_path: Path
) -> None:
    film = tmp_path / f"interrupted-{screen}.mp4"
    film.write_bytes(film_file.read_bytes())
    size = film.stat().st_size
    with opened(browser, house.api, screen=screen, scheme=SCHEMES[screen]) as it:
        page = it.page
        it.go("/")
        slow_link(it, min(3.0, size / MBIT_BYTES / 20))  # 3 Mbit/s, or what takes 20 seconds
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

        page.context.set_offline(True)
        expect(say).to_contain_text("No network", timeout=SOON_MS)
        keep(page, f"{screen}-offline")
        page.context.set_offline(False)
        expect(page.locator(".upload.running")).to_be_visible(timeout=SOON_MS)

        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        expect(page.locator(".upload.earlier .say")).to_contain_text("earlier visit", timeout=SOON_MS)
        keep(page, f"{screen}-earlier")
        slow_link(it, 100)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose file", exact=True).click()
        chooser.value.set_files(str(film))
        expect(page.locator(".upload.done, .card-title").first).to_be_visible(timeout=SOON_MS)
    listed = httpx.get(f"{house.api}/api/v1/videos", params={"text": film.stem}, timeout=30).json()["videos"]
    assert [each["source_bytes"] for each in listed] == [size]


def test_a_folder_and_a_link_bring_videos_too(
    house: RunningStack, film_file: Path, browser: Browser, node_modules: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "one.mp4").write_bytes(film_file.read_bytes())
    (folder / "notes.txt").write_text("words")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with opened(browser, house.api) as it:
            it.go("/")
            it.page.set_input_files("#folder", str(folder))
            expect(it.page.locator(".toast")).to_contain_text("left out", timeout=SOON_MS)
            expect(it.page.locator(".upload .name")).to_have_text(["one.mp4"], timeout=SOON_MS)
            it.page.click("#choose-link")
            it.page.fill("#link-field", f"http://127.0.0.1:{server.server_port}/one.mp4")
            keep(it.page, "laptop-link")
            it.page.click("#link-send")
            expect(it.page.locator(".toast", has_text="fetches")).to_be_visible(timeout=SOON_MS)
            deadline = time.monotonic() + 120
            while len(httpx.get(f"{house.api}/api/v1/videos?text=one", timeout=30).json()["videos"]) < 2:
                assert time.monotonic() < deadline
                it.page.wait_for_timeout(200)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_signed_film_plays_for_its_owner_and_a_frame_keeps_strangers_out(
    house: RunningStack, film_file: Path, browser: Browser, node_modules: Path
) -> None:
    video = house.upload(film_file, title="For few")
    until_settled(house.api, video, timeout_s=900)
    with opened(browser, house.api) as it:
        it.go(f"/videos/{video}")
        it.page.get_by_label("Only with a signed link").check()
        expect(it.page.locator(".toast")).to_contain_text("Changed", timeout=SOON_MS)
        it.page.get_by_label("No page may embed it").check()
        it.page.locator("#embedding").get_by_role("button", name="Save").click()
        expect(it.page.locator(".toast")).to_have_count(2, timeout=SOON_MS)
        it.wrong.clear()  # what the page asked for before the change may be refused after it
        it.go(f"/watch/{video}")
        it.play()
        it.until("video.currentTime > 1")
        embedded = it.page.request.get(f"{house.api}/embed/{video}")
        assert "frame-ancestors 'self'" in embedded.headers["content-security-policy"]
        assert it.wrong == []
    unsigned = httpx.get(f"{house.origin}/v/{video}/master.m3u8", timeout=30)
    assert unsigned.status_code == 403


def test_a_server_that_asks_for_keys_lets_in_who_has_one(browser: Browser, node_modules: Path, tmp_path: Path) -> None:
    env = {"FISHLADDER_WEB_LIBRARIES": str(NODE_MODULES), "FISHLADDER_ACCESS": "keys"}
    with running_stack(tmp_path, store="local", workers=1):
        token = _new_key(tmp_path)
    with running_stack(tmp_path, store="local", workers=1, env=env) as running, opened(browser, running.api) as it:
        it.go("/")
        it.page.wait_for_url("**/signin?next=*")
        keep(it.page, "laptop-signin")
        it.page.fill("#key", "fl_live_nonsense")
        it.page.get_by_role("button", name="Sign in").click()
        expect(it.page.locator("#sign-problem")).to_be_visible(timeout=SOON_MS)
        assert serious_findings(it.page, node_modules / "axe-core" / "axe.min.js") == []
        it.page.fill("#key", token)
        it.page.get_by_role("button", name="Sign in").click()
        expect(it.page.locator("#drop")).to_be_visible(timeout=SOON_MS)
        it.page.get_by_role("button", name="Sign out").click()
        it.page.wait_for_url("**/signin")


def _new_key(state: Path) -> str:
    argv = [
        sys.executable,
        "-m",
        "infra",
        "keys",
        "create",
        "--name",
        "web",
        "--scopes",
        "admin",
        "--state-dir",
        str(state),
        "--json",
    ]
    made = subprocess.run(argv, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    token: str = json.loads(made.stdout)["token"]
    return token
