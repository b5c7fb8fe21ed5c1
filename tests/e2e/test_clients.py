"""Other people's tus clients upload, and what they uploaded plays."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from tusclient import client as tus_client

from tests.e2e.published import until_settled
from tests.e2e.stack import RunningStack

pytestmark = pytest.mark.e2e

PAGES = Path(__file__).parent / "pages"


def uploaded_video(api: str, upload_url: str) -> str:
    upload_id = upload_url.rstrip("/").rsplit("/", 1)[-1]
    facts = httpx.get(f"{api}/api/v1/uploads/{upload_id}", timeout=10).raise_for_status().json()
    video: str = facts["video_id"]
    assert video != upload_id, "an upload URL is a capability, a video id is public"
    return video


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tuspy_uploads_in_chunks_and_the_video_becomes_ready(stack: RunningStack, film_file: Path) -> None:
    uploader = tus_client.TusClient(f"{stack.api}/files").uploader(
        str(film_file), chunk_size=300_000, metadata={"filename": "film.mp4", "title": "From tuspy"}
    )
    uploader.upload()
    facts = until_settled(stack.api, uploaded_video(stack.api, uploader.url))
    assert facts["state"] == "ready", facts
    assert facts["title"] == "From tuspy"
    assert facts["progress"] == 1


@pytest.mark.parametrize("chunk_bytes", [pytest.param(None, id="one PATCH"), pytest.param(250_000, id="chunked")])
def test_tus_js_client_uploads_and_learns_the_video_id(
    stack: RunningStack, film_file: Path, node: Path, node_modules: Path, chunk_bytes: int | None
) -> None:
    argv = [str(node), str(PAGES / "upload.mjs"), f"{stack.api}/files", str(film_file)]
    done = subprocess.run(
        argv if chunk_bytes is None else [*argv, str(chunk_bytes)],
        capture_output=True, text=True, timeout=120, check=False, env={"LADDER_TEST_NODE_MODULES": str(node_modules)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["video"] == uploaded_video(stack.api, said["url"])
    facts = until_settled(stack.api, said["video"])
    assert facts["state"] == "ready", facts
    assert facts["title"] == "From tus-js-client"
