"""The whole stack, started as an operator starts it: ``fishladder up`` as a process, on ports of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tusclient import client as tus_client

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class RunningStack:
    api: str
    origin: str
    state: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def upload(
        self, file: Path, *, title: str, chunk_bytes: int = 8 * 1024 * 1024, key: str | None = None, **metadata: str
    ) -> str:
        """Upload ``file`` with tuspy; the id of its video. ``key``: where the stack asks for one. ``metadata``: what else
        is said of it."""
        shown = {} if key is None else {"Authorization": f"Bearer {key}"}
        with file.open("rb") as stream:
            uploader = tus_client.TusClient(f"{self.api}/files", headers=shown).uploader(
                file_stream=stream, chunk_size=chunk_bytes, metadata={"filename": file.name, "title": title, **metadata}
            )
            uploader.upload()
        return self.uploaded_video(uploader.url)

    def uploaded_video(self, upload_url: str) -> str:
        """The id of the video that the upload at ``upload_url`` becomes."""
        upload_id = upload_url.rstrip("/").rsplit("/", 1)[-1]
        facts = httpx.get(f"{self.api}/api/v1/uploads/{upload_id}", timeout=10).raise_for_status().json()
        video: str = facts["video_id"]
        assert video != upload_id, "an upload URL is a capability, a video id is public"
        return video

    def logs(self) -> str:
        """The end of every service's log, for a failure's message."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in sorted(self.state.rglob("*.log"))
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_stack(
    state: Path, *, store: str = "s3", workers: int = 2, env: dict[str, str] | None = None
) -> Iterator[RunningStack]:
    """``fishladder up`` until the block ends; it must then stop by itself, with exit code 0."""
    api_port, origin_port = free_port(), free_port()
    output = state / "up.log"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra", "up", "--state", str(state), "--store", store, "--workers", str(workers)],
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("FISHLADDER_")},
                "FISHLADDER_UPLOAD_API_PORT": str(api_port),
                "FISHLADDER_ORIGIN_PORT": str(origin_port),
                **(env or {}),
            },
        )
    running = RunningStack(
        api=f"http://127.0.0.1:{api_port}", origin=f"http://127.0.0.1:{origin_port}", state=state, process=process
    )
    try:
        _until_ready(running, output)
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert code == 0, output.read_text()


def _until_ready(running: RunningStack, output: Path, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        if running.process.poll() is not None:
            raise AssertionError(f"the stack ended with {running.process.returncode}:\n{output.read_text()}")
        if "Fishladder is up" in output.read_text():
            break
        if time.monotonic() > deadline:
            raise AssertionError(f"the stack is not ready:\n{output.read_text()}\n{running.logs()}")
        time.sleep(0.1)
    for url in (f"{running.api}/readyz", f"{running.origin}/readyz"):
        httpx.get(url, timeout=10).raise_for_status()
