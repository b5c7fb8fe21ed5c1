"""Other people's tus clients upload, and what they uploaded plays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.published import until_settled
from tests.e2e.stack import ROOT, RunningStack

pytestmark = pytest.mark.e2e

PAGES = Path(__file__).parent / "pages"


def test_tuspy_uploads_in_chunks_and_the_video_becomes_ready(stack: RunningStack, another_file: Path) -> None:
    facts = until_settled(stack.api, stack.upload(another_file, title="From tuspy", chunk_bytes=300_000))
    assert facts["state"] == "ready", facts
    assert facts["title"] == "From tuspy"
    assert facts["progress"] == 1

    told = subprocess.run(
        [sys.executable, "-m", "infra", "audit", "--state-dir", str(stack.state), "--json"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("FISHLADDER_")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = json.loads(told.stdout)
    assert found["referenced"] > 0, "the audit looks into the store of this stack, whose keys its folder remembers"
    assert (found["counts"]["lost"], found["counts"]["doubled"]) == (0, 0), found


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
