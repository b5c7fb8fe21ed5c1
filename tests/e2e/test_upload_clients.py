"""Other people's upload clients against our server: every one of them brings the same bytes."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import http.server
import io
import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiotus
import httpx
import pytest
from playwright.sync_api import Browser, Page
from tusclient.client import TusClient

from storage.blobs.local import LocalBlobs
from storage.ids import VideoId
from storage.keys import source_key
from tests.faults import Fault, FaultProxy
from tests.upload_server import PART_BYTES, UploadServer, running

pytestmark = pytest.mark.e2e

T = TypeVar("T")

PAGES = Path(__file__).parent / "pages"
FILM = b"\x1a\x45\xdf\xa3" + random.Random(31).randbytes(5 * PART_BYTES + 321)  # what Matroska begins with
DIGEST = hashlib.sha256(FILM).hexdigest()
PATIENCE_S = 120

VARIANTS = [
    pytest.param({}, "", "PATCH", id="one PATCH"),
    pytest.param({"chunkSize": 700_000}, "", "PATCH", id="chunked"),
    pytest.param({"parallelUploads": 3}, "", "PATCH", id="parallel"),
    pytest.param({"overridePatchMethod": True, "chunkSize": 2_000_000}, "", "POST", id="override"),
    pytest.param({"chunkSize": 1_000_000}, "sha1", "PATCH", id="checksum"),
    pytest.param({"uploadDataDuringCreation": True, "chunkSize": 3_000_000}, "", "PATCH", id="data with the creation"),
    pytest.param({"uploadLengthDeferred": True, "chunkSize": 1_500_000}, "", "PATCH", id="length told later"),
]


@dataclass(frozen=True)
class Place:
    """A server, where it keeps things, and how many videos it had when the test began."""

    running: UploadServer
    folder: Path
    before: int

    @property
    def url(self) -> str:
        return self.running.url

    def content(self, video: str) -> bytes:
        return LocalBlobs(self.folder / "store").get(source_key(VideoId(video)))


def videos_of(url: str) -> list[dict[str, Any]]:
    """Newest first."""
    return list(httpx.get(f"{url}/api/v1/videos?limit=200", timeout=60).json()["videos"])


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UploadServer, Path]]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder) as server:
        yield server, folder


@pytest.fixture
def server(one_for_all: tuple[UploadServer, Path]) -> Place:
    running, folder = one_for_all
    return Place(running, folder, len(videos_of(running.url)))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "film.mkv").write_bytes(FILM)
    return tmp_path / "film.mkv"


def eventually(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return value


def check_arrived(server: Place, url: str) -> None:
    """The upload at ``url`` became one video of the right bytes, and nothing else came of it."""

    def completed() -> Any:
        told = httpx.get(f"{server.url}/api/v1/uploads/{url.rpartition('/')[2]}", timeout=60).json()
        return told if told["state"] == "completed" else None

    video = eventually(completed)["video_id"]
    assert hashlib.sha256(server.content(video)).hexdigest() == DIGEST
    assert len(videos_of(server.url)) == server.before + 1


@pytest.mark.parametrize(("options", "checksum", "method"), VARIANTS)
def test_tus_js_client_in_node(
    server: Place, tmp_path: Path, film: Path, node: Path, node_modules: Path, options: dict[str, Any],
    checksum: str, method: str,
) -> None:  # fmt: skip
    done = subprocess.run(
        [str(node), str(PAGES / "variants.mjs"), f"{server.url}/files", str(film), json.dumps(options), checksum],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env={"LADDER_TEST_NODE_MODULES": str(node_modules)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert any(each.startswith(method) for each in told["requests"][1:] or told["requests"])
    check_arrived(server, told["url"])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("options", "checksum", "method"), VARIANTS)
def test_tus_js_client_in_chromium(
    server: Place, tmp_path: Path, film: Path, page: Page, pages_url: str, options: dict[str, Any],
    checksum: str, method: str,
) -> None:  # fmt: skip
    page.goto(f"{pages_url}/tus.html")
    page.set_input_files("input", film)
    page.evaluate("([endpoint, options, checksum]) => begin(endpoint, options, checksum)",
                  [f"{server.url}/files", options, checksum and "SHA-1"])  # fmt: skip
    page.wait_for_function("window.done", timeout=PATIENCE_S * 1000)
    told = page.evaluate("window.done")
    assert "error" not in told, told
    check_arrived(server, told["url"])


# --- Uppy ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def uppy_url(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with Uppy on it."""
    bundler = node_modules / ".bin" / "esbuild"
    if not bundler.exists() or not (node_modules / "@uppy" / "tus").is_dir():
        pytest.skip("Uppy is not installed: `make test` brings it")
    folder = tmp_path_factory.mktemp("uppy")
    shutil.copy(PAGES / "uppy.html", folder)
    shutil.copy(PAGES / "uppy.mjs", folder)
    subprocess.run(
        [bundler, "uppy.mjs", "--bundle", "--outfile=uppy-bundle.js", "--log-level=error"],
        cwd=folder, check=True, timeout=PATIENCE_S, env={"NODE_PATH": str(node_modules)} | _path(),
    )  # fmt: skip

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return None

    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=pages.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{pages.server_port}/uppy.html"
    pages.shutdown()
    pages.server_close()
    thread.join()


def _path() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "")}


class Slow:
    """A page's network, which takes so many bytes a second until it is told to hurry."""

    def __init__(self, page: Page, up_bytes_per_s: int) -> None:
        self._cdp = page.context.new_cdp_session(page)
        self._cdp.send("Network.enable")
        self._set(up_bytes_per_s)

    def hurry(self) -> None:
        self._set(-1)

    def _set(self, up: int) -> None:
        speed = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": up}
        self._cdp.send("Network.emulateNetworkConditions", speed)


def start(page: Page, url: str, to: str, film: Path) -> None:
    page.goto(url)
    page.set_input_files("input", film)
    page.evaluate("(endpoint) => begin(endpoint)", f"{to}/files")


def halfway(server: Place) -> int:
    """Once at least two parts of the upload are durable: how many bytes are."""

    def received() -> int:
        videos = videos_of(server.url)
        size = videos[0]["received_bytes"] if len(videos) > server.before else 0
        return int(size) if size >= 2 * PART_BYTES else 0

    size: int = eventually(received)
    assert size < len(FILM), "the upload was over before it could be interrupted"
    return size


def end(page: Page) -> tuple[str, list[dict[str, Any]]]:
    page.wait_for_function("window.done", timeout=PATIENCE_S * 1000)
    done, requests = page.evaluate("[window.done, window.requests]")
    assert done["failed"] == 0, (done, requests)
    return done["url"], requests


def test_uppy_pauses_and_resumes(server: Place, tmp_path: Path, film: Path, page: Page, uppy_url: str) -> None:
    page.goto(uppy_url)
    slow = Slow(page, 1_500_000)
    start(page, uppy_url, server.url, film)
    halfway(server)
    page.evaluate("uppy.pauseResume(window.file)")
    slow.hurry()
    assert page.evaluate("window.done") is None
    page.evaluate("uppy.pauseResume(window.file)")
    url, requests = end(page)
    check_arrived(server, url)
    assert [each["offset"] for each in requests if each["method"] == "PATCH"][-1] >= 2 * PART_BYTES


def test_uppy_comes_back_from_being_offline(server: Place, film: Path, page: Page, uppy_url: str) -> None:
    """Connections are cut and none can be made, and the browser is told so, as a phone's is."""
    with FaultProxy(("127.0.0.1", server.running.port)) as line:
        page.goto(uppy_url)
        slow = Slow(page, 1_500_000)
        start(page, uppy_url, f"http://127.0.0.1:{line.port}", film)
        halfway(server)
        line.fault = Fault.REFUSE
        line.hang_up()
        page.evaluate("goneOffline(true)")
        page.wait_for_timeout(500)
        assert page.evaluate("window.done") is None
        line.fault = Fault.NONE
        slow.hurry()
        page.evaluate("goneOffline(false)")
        url, requests = end(page)
    check_arrived(server, url)
    assert [each["method"] for each in requests].count("POST") == 1
    assert [each["offset"] for each in requests if each["method"] == "PATCH"][-1] >= 2 * PART_BYTES


def test_uppy_goes_on_after_the_page_was_reloaded(server: Place, film: Path, page: Page, uppy_url: str) -> None:
    page.goto(uppy_url)
    slow = Slow(page, 1_500_000)
    start(page, uppy_url, server.url, film)
    halfway(server)
    start(page, uppy_url, server.url, film)  # loads the page anew, and the same file is chosen again
    slow.hurry()
    url, requests = end(page)
    check_arrived(server, url)
    assert [each["method"] for each in requests].count("POST") == 0
    assert [each["offset"] for each in requests if each["method"] == "PATCH"][-1] >= 2 * PART_BYTES


# --- others ----------------------------------------------------------------------------------------------------------


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run in a thread: playwright has a loop of its own in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(PATIENCE_S)


@pytest.mark.parametrize("chunk_bytes", [100_000, 1_000_000])  # above a mebibyte it warns about itself
def test_aiotus(server: Place, chunk_bytes: int) -> None:
    named = {"filename": b"film.mkv"}
    url = finished(aiotus.upload(f"{server.url}/files", io.BytesIO(FILM), named, chunksize=chunk_bytes))
    check_arrived(server, str(url))


def test_aiotus_joins_what_several_uploads_brought(server: Place) -> None:
    middle = len(FILM) // 2
    parts = [io.BytesIO(FILM[:middle]), io.BytesIO(FILM[middle:])]
    url = finished(aiotus.upload_multiple(f"{server.url}/files", parts, {"filename": b"film.mkv"}, chunksize=700_000))
    check_arrived(server, str(url))


def test_tuspy(server: Place, film: Path) -> None:
    client, named = TusClient(f"{server.url}/files"), {"filename": "film.mkv"}
    with film.open("rb") as file:
        uploader = client.uploader(file_stream=file, chunk_size=700_000, metadata=named)
        uploader.upload(stop_at=2_100_000)
        again = client.uploader(file_stream=file, chunk_size=900_000, url=uploader.url)
        assert again.offset == 2_100_000
        again.upload()
    check_arrived(server, str(again.url))


def curl(*argv: str) -> tuple[int, dict[str, str]]:
    found = shutil.which("curl")
    if found is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        [found, "--silent", "--show-error", "--include", "--max-time", str(PATIENCE_S), *argv],
        capture_output=True, check=True, timeout=2 * PATIENCE_S,
    )  # fmt: skip
    heads = done.stdout.decode("utf-8", "replace").split("\r\n\r\n")
    last = [head for head in heads if head.startswith("HTTP/")][-1].split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in last[1:] if ": " in line)
    return int(last[0].split()[1]), fields


def test_curl_speaks_tus(server: Place, tmp_path: Path, film: Path) -> None:
    tus = ("-H", "Tus-Resumable: 1.0.0")
    status, fields = curl("-X", "POST", *tus, "-H", f"Upload-Length: {len(FILM)}", f"{server.url}/files")
    assert status == 201
    url = fields["location"]
    (tmp_path / "first").write_bytes(FILM[:2_000_000])
    (tmp_path / "rest").write_bytes(FILM[2_000_000:])
    body = ("-X", "PATCH", *tus, "-H", "Content-Type: application/offset+octet-stream")
    first = ("-H", "Upload-Offset: 0", "--data-binary", f"@{tmp_path / 'first'}", url)
    assert curl(*body, *first)[1]["upload-offset"] == "2000000"
    assert curl("--head", *tus, url)[1]["upload-offset"] == "2000000"
    # -T streams; a pipe has no length, so the body is chunked and curl asks first with Expect: 100-continue.
    rest = ("-H", "Upload-Offset: 2000000", "-H", "Transfer-Encoding: chunked", "-T", str(tmp_path / "rest"), url)
    assert curl(*body, *rest)[0] == 204
    check_arrived(server, url)


def test_curl_sends_a_form(server: Place, tmp_path: Path, film: Path) -> None:
    status, fields = curl("-F", "title=From curl", "-F", f"file=@{film}", f"{server.url}/api/v1/videos")
    assert status == 201
    video = fields["fishladder-video"]
    assert hashlib.sha256(server.content(video)).hexdigest() == DIGEST


def test_curl_sends_a_file_in_the_dialect_of_the_ietf(server: Place, tmp_path: Path, film: Path) -> None:
    status, fields = curl("-X", "POST", "-H", "Upload-Complete: ?1", "-T", str(film), f"{server.url}/uploads")
    assert (status, fields["upload-complete"]) == (201, "?1")
    assert hashlib.sha256(server.content(fields["fishladder-video"])).hexdigest() == DIGEST
