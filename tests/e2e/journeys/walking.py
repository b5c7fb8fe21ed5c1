"""What walks through the web app have in common: pictures that are kept, links that are slow, parts that are killed."""

from __future__ import annotations

import functools
import http.server
import io
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.e2e.published import until_settled
from tests.e2e.stack import RunningStack
from tests.e2e.web import SCREENS, Opened

ROOT = Path(__file__).parents[3]
SOON_MS = 120_000
MBIT_BYTES = 125_000
PICTURES = os.environ.get("LADDER_TEST_PICTURES")
SCHEMES: dict[str, Literal["light", "dark"]] = {"laptop": "light", "phone": "dark"}

CAPTIONS = "WEBVTT\n\n00:00.500 --> 00:20.000\nA quiet morning.\n"
CHAPTERS = [("Meadow", 0), ("By the brook", 5), ("Awake", 12)]


def screens(short: str) -> list[Any]:
    """Both screens, for a walk that `make test` goes too, on ``short`` alone: all of them take ten minutes."""
    return [pytest.param(screen, marks=pytest.mark.e2e) if screen == short else screen for screen in SCREENS]


def keep(page: Page, name: str, *, full: bool = False) -> None:
    """A picture of ``page``, small enough to be committed."""
    if not PICTURES:
        return
    page.wait_for_timeout(400)  # what is sliding in comes to rest
    keep_picture(page.screenshot(full_page=full), name)


def keep_picture(png: bytes, name: str) -> None:
    """The same of what somebody else took."""
    if not PICTURES:
        return
    image = Image.open(io.BytesIO(png)).convert("RGB")
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


def until_up(house: RunningStack) -> None:
    """Until the upload API answers again."""
    deadline = time.monotonic() + 120
    while True:
        try:
            httpx.get(f"{house.api}/readyz", timeout=10).raise_for_status()
            return
        except httpx.HTTPError:
            assert time.monotonic() < deadline, house.logs()
            time.sleep(0.2)


@contextmanager
def workers_at_rest(house: RunningStack) -> Iterator[None]:
    """No worker moves: what is uploaded meanwhile waits."""
    children = psutil.Process(house.process.pid).children(recursive=True)
    at_rest = [each for each in children if "infra.celery_app" in each.cmdline()]
    assert at_rest, [each.cmdline() for each in children]
    for each in at_rest:
        each.suspend()
    try:
        yield
    finally:
        for each in at_rest:
            each.resume()


@contextmanager
def asleep() -> Iterator[None]:
    """The lid is closed: nothing of the browser moves, neither pages nor network."""
    browsers = [each for each in psutil.Process().children(recursive=True) if "--type=" in " ".join(each.cmdline())]
    for each in browsers:
        each.suspend()
    try:
        yield
    finally:
        for each in browsers:
            each.resume()


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Another site, which serves what is in ``folder``; its address."""
    serve = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@dataclass(slots=True)
class FinishedFilm:
    """A film of the house that is ready, with captions and chapters; uploaded again when somebody deleted it."""

    house: RunningStack
    file: Path
    id: str | None = None

    def there(self) -> str:
        videos = f"{self.house.api}/api/v1/videos"
        if self.id is None or httpx.get(f"{videos}/{self.id}", timeout=30).json().get("state") != "ready":
            self.id = self.house.upload(self.file, title="Big Buck Bunny")
            facts = until_settled(self.house.api, self.id, timeout_s=900)
            assert facts["state"] == "ready", facts
            httpx.put(f"{videos}/{self.id}/subtitles/en", content=CAPTIONS.encode(), timeout=30).raise_for_status()
            chapters = [{"title": title, "start_seconds": at} for title, at in CHAPTERS]
            httpx.patch(f"{videos}/{self.id}", json={"chapters": chapters}, timeout=30).raise_for_status()
        return self.id


def make_short_film(ffmpeg: Path, target: Path, *, colour: str, seconds: int = 2) -> Path:
    """A few seconds of a colour: what is encoded in a moment."""
    source = f"color=c={colour}:size=320x180:rate=24:duration={seconds}"
    argv = [str(ffmpeg), "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", source]
    subprocess.run([*argv, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(target)], check=True)
    return target


def made_longer(film: Path, target: Path, *, size: int) -> Path:
    """The same film in a file of ``size`` bytes: what is more than its own is padding that MP4 allows."""
    own = film.read_bytes()
    target.write_bytes(own + (size - len(own)).to_bytes(4, "big") + b"free" + os.urandom(size - len(own) - 8))
    return target
