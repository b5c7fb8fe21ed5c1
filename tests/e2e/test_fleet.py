"""The services of ``infra/compose/compose.yaml`` as plain processes, on PostgreSQL, Valkey and SeaweedFS."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.film import make_film
from tests.e2e.published import until_settled
from tests.e2e.stack import ROOT, RunningStack, free_port
from tests.services import S3Endpoint, valkey

pytestmark = pytest.mark.e2e

COMPOSE = ROOT / "infra" / "compose" / "compose.yaml"
LONG_RUNNING = ("upload-api", "origin", "workers", "workers-playable")


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


class Fleet:
    """Starts our services with the commands and the settings of the Compose file; only addresses differ."""

    def __init__(self, folder: Path, addresses: dict[str, str]) -> None:
        self._folder = folder
        self._addresses = addresses
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, service: dict[str, Any]) -> subprocess.Popen[bytes]:
        settings = {key: str(value) for key, value in service["environment"].items()} | self._addresses
        if "FISHLADDER_WORKER_PORT" in settings:
            settings |= {"FISHLADDER_WORKER_PORT": str(free_port())}
            settings |= {"FISHLADDER_SCRATCH_DIR": str(self._folder / "scratch")}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FISHLADDER_")}
        with (self._folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "infra", *service["command"]],
                cwd=ROOT, env=inherited | settings, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return self.processes[name]

    def key(self, service: dict[str, Any]) -> str:
        """A key that its operator made, as the page about Compose says."""
        made = self.start("keys", {**service, "command": ["keys", "create", "--name", "admin", "--scopes", "admin"]})
        assert made.wait(60) == 0
        del self.processes["keys"]
        return (self._folder / "keys.log").read_text().split()[-1]

    def stop(self) -> dict[str, int]:
        """The exit codes after a SIGTERM, which every service must obey within its grace period."""
        for process in self.processes.values():
            process.terminate()
        return {name: process.wait(45) for name, process in self.processes.items()}


@pytest.fixture
def fleet(seaweedfs_endpoint: S3Endpoint, postgres_url: str, tmp_path: Path) -> Iterator[tuple[Fleet, RunningStack]]:
    api_port, origin_port = free_port(), free_port()
    with ExitStack() as started:
        (tmp_path / "valkey").mkdir()
        api, origin = f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{origin_port}"
        fleet = Fleet(
            tmp_path,
            {
                "FISHLADDER_HOST": "127.0.0.1",
                "FISHLADDER_UPLOAD_API_PORT": str(api_port),
                "FISHLADDER_ORIGIN_PORT": str(origin_port),
                "FISHLADDER_PUBLIC_URL": api,
                "FISHLADDER_ORIGIN_URL": origin,
                "FISHLADDER_DATABASE_URL": postgres_url,
                "FISHLADDER_BROKER_URL": started.enter_context(valkey(tmp_path / "valkey")),
                "FISHLADDER_S3_ENDPOINT": seaweedfs_endpoint.url,
                "FISHLADDER_S3_BUCKET": "fleet",
                "FISHLADDER_S3_ACCESS_KEY": seaweedfs_endpoint.access_key,
                "FISHLADDER_S3_SECRET_KEY": seaweedfs_endpoint.secret_key,
                "FISHLADDER_SIGNING_KEYS": f"main:{secrets.token_hex(32)}",
                "FISHLADDER_STATE_DIR": str(tmp_path / "state"),
            },
        )
        yield fleet, RunningStack(api=api, origin=origin, state=tmp_path, process=None)  # type: ignore[arg-type]
        for process in fleet.processes.values():
            with suppress(ProcessLookupError):  # gone already, with all that it started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(url, timeout=5).raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        else:
            return


def test_the_services_of_the_compose_file_make_a_stream_on_postgresql_valkey_and_s3(
    fleet: tuple[Fleet, RunningStack], ffmpeg: Path, tmp_path: Path
) -> None:
    plain, running = fleet
    declared = services()
    assert plain.start("migrate", declared["migrate"]).wait(60) == 0, (tmp_path / "migrate.log").read_text()
    del plain.processes["migrate"]
    refused = plain.start("upload-api", declared["upload-api"])
    assert refused.wait(60) == 1
    assert "fishladder keys create" in (tmp_path / "upload-api.log").read_text()
    key = plain.key(declared["migrate"])
    for name in LONG_RUNNING:
        plain.start(name, declared[name])
    until_ready(f"{running.api}/readyz", tmp_path / "upload-api.log")
    until_ready(f"{running.origin}/readyz", tmp_path / "origin.log")

    film = make_film(ffmpeg, tmp_path / "film.mp4", seconds=6, size="426x240")
    assert (
        httpx.post(f"{running.api}/files", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "5"}).status_code == 401
    )
    video = running.upload(film, title="Fleet", key=key)
    assert httpx.get(f"{running.api}/api/v1/videos/{video}").status_code == 401
    facts = until_settled(running.api, video, key=key)
    assert facts["state"] == "ready", facts
    assert "#EXT-X-STREAM-INF" in httpx.get(facts["hls_url"]).raise_for_status().text
    ended = plain.stop()
    assert set(ended) == set(LONG_RUNNING)
    # uvicorn drains, then ends by the signal that it was sent.
    assert set(ended.values()) <= {0, -signal.SIGTERM}, ended
