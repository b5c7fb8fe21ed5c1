"""What end-to-end tests need: the running stack, a published film, and a browser."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.film import make_film
from tests.e2e.player_page import PlayerPage
from tests.e2e.published import PublishedVideo, until_settled
from tests.e2e.stack import RunningStack, running_stack
from workers.ffmpeg.process import find_tools

PAGES = Path(__file__).parent / "pages"
ROOT = Path(__file__).parents[2]

CHROMIUM_FLAGS = [
    "--no-sandbox",  # as root, in CI
    "--disable-gpu",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def ffmpeg() -> Path:
    return find_tools().ffmpeg


NODE_MODULES = Path(os.environ.get("LADDER_TEST_NODE_MODULES", ROOT / "node_modules"))


@pytest.fixture(scope="session")
def node_modules() -> Path:
    if not (NODE_MODULES / "hls.js").is_dir():
        pytest.skip("the browser libraries are not installed: run `make setup`")
    return NODE_MODULES


@pytest.fixture(scope="session")
def node() -> Path:
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not installed here")
    return Path(found)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    # Films that are encrypted change their keys with every segment.
    env = {"FISHLADDER_WEB_LIBRARIES": str(NODE_MODULES), "FISHLADDER_KEY_PERIOD_S": "4"}
    with running_stack(tmp_path_factory.mktemp("state"), env=env) as running:
        yield running


@pytest.fixture(scope="session")
def film_file(ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(ffmpeg, tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture
def another_file(film_file: Path, tmp_path: Path) -> Path:
    """The same film in other bytes: one that its tenant uploaded before would be ready at once."""
    path = tmp_path / f"another-{uuid4().hex[:8]}.mp4"
    nonce = uuid4().bytes
    path.write_bytes(film_file.read_bytes() + (8 + len(nonce)).to_bytes(4, "big") + b"free" + nonce)
    return path


@pytest.fixture(scope="session")
def film(stack: RunningStack, film_file: Path) -> PublishedVideo:
    video = stack.upload(film_file, title="Film")
    facts = until_settled(stack.api, video)
    assert facts["state"] == "ready", facts
    return PublishedVideo(id=video, facts=facts)


class _Pages(http.server.SimpleHTTPRequestHandler):
    """Serves the player page, and the libraries below ``/lib/``, from another origin than the videos."""

    node_modules: Path

    def translate_path(self, path: str) -> str:
        if path.startswith("/lib/"):
            return str(self.node_modules / path.removeprefix("/lib/").split("?")[0])
        return super().translate_path(path)

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture(scope="session")
def pages_url(node_modules: Path) -> Iterator[str]:
    handler = type("Pages", (_Pages,), {"node_modules": node_modules})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(PAGES)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed here: on Debian, `apt-get install chromium`")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, pages_url: str) -> Iterator[PlayerPage]:
    opened = browser.new_page()
    yield PlayerPage(opened, pages_url)
    opened.close()
