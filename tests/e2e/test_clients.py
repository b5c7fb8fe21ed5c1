"""Other people's tus clients upload, and what they uploaded plays."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.published import until_settled
from tests.e2e.stack import RunningStack

pytestmark = pytest.mark.e2e

PAGES = Path(__file__).parent / "pages"


def test_tuspy_uploads_in_chunks_and_the_video_becomes_ready(stack: RunningStack, another_file: Path) -> None:
    facts = until_settled(stack.api, stack.upload(another_file, title="From tuspy", chunk_bytes=300_000))
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
    assert said["video"] == stack.uploaded_video(said["url"])
    facts = until_settled(stack.api, said["video"])
    assert facts["state"] == "ready", facts
    assert facts["title"] == "From tus-js-client"
