"""Extensions of tus as other people's clients use them, on a real server."""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tusclient.client import TusClient

from storage.blobs.local import LocalBlobs
from storage.ids import VideoId
from storage.keys import source_key
from tests.upload_server import PART_BYTES, UploadServer, running

pytestmark = pytest.mark.e2e

PAGES = Path(__file__).parent / "pages"
FILM = b"\x1a\x45\xdf\xa3" + random.Random(11).randbytes(7 * PART_BYTES + 321)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[UploadServer]:
    with running(tmp_path) as server:
        yield server


def arrived(server: UploadServer, folder: Path, url: str) -> bytes:
    """The bytes of the video that the upload at ``url`` became."""
    deadline = time.monotonic() + 60
    while True:
        told = httpx.get(f"{server.url}/api/v1/uploads/{url.rpartition('/')[2]}").json()
        if told["state"] == "completed":
            return LocalBlobs(folder / "store").get(source_key(VideoId(told["video_id"])))
        assert time.monotonic() < deadline, told
        time.sleep(0.05)


def test_tus_js_client_uploads_in_parallel_and_the_server_joins(
    server: UploadServer, tmp_path: Path, node: Path, node_modules: Path
) -> None:
    (tmp_path / "film.mkv").write_bytes(FILM)
    done = subprocess.run(
        [str(node), str(PAGES / "upload-parallel.mjs"), f"{server.url}/files", str(tmp_path / "film.mkv"), "3"],
        capture_output=True, text=True, timeout=120, check=False, env={"LADDER_TEST_NODE_MODULES": str(node_modules)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = arrived(server, tmp_path, json.loads(done.stdout)["url"])
    assert hashlib.sha256(content).digest() == hashlib.sha256(FILM).digest()
    assert len(httpx.get(f"{server.url}/api/v1/videos").json()["videos"]) == 1


def test_tuspy_uploads_with_a_checksum_on_every_chunk(server: UploadServer, tmp_path: Path) -> None:
    uploader = TusClient(f"{server.url}/files").uploader(
        file_stream=io.BytesIO(FILM), chunk_size=1_500_000, upload_checksum=True
    )
    uploader.upload()
    assert arrived(server, tmp_path, str(uploader.url)) == FILM
