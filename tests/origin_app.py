"""An origin for tests and benchmarks as a real server: objects in a folder or in S3, and what is published in a JSON file
that is read anew for every question, so that a test publishes and deletes by writing it.

Two public ids of one asset; the second needs a token. `LADDER_TEST_ORIGIN_*` say where things are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from infra.serve_origin import Application, origin_settings
from infra.settings import Settings
from infra.telemetry import configure_logging
from origin.app import create_app
from origin.ports import OriginPorts
from storage.blobs import BlobStore
from storage.blobs.local import LocalBlobs
from storage.blobs.s3 import S3Blobs, S3Settings
from storage.content_types import content_type_of
from storage.errors import NotFound
from storage.grants import Visibility
from storage.ids import AssetId, VideoId
from storage.jobs import PublishedName
from storage.keys import hash12, versioned_name
from tests.services import free_ports, stop

VIDEO = VideoId("0pen00000000000")
SIGNED = VideoId("s1gned000000000")
ASSET = AssetId("a-tested")
BUCKET = "tested"


class PublishedInFile:
    def __init__(self, path: Path):
        self._path = path

    def published(self, video: VideoId, name: str) -> tuple[AssetId, PublishedName | None]:
        names = json.loads(self._path.read_text())
        if video not in (VIDEO, SIGNED) or not names:
            raise NotFound
        if name not in names:
            return ASSET, None
        key, size = names[name]
        return ASSET, PublishedName(
            name=name,
            key=key,
            content_type=content_type_of(name),
            size_bytes=size,
            immutable=key == f"{ASSET}/{name}",
        )

    def visibility(self, video: VideoId) -> Visibility:
        return Visibility.SIGNED if video == SIGNED else Visibility.PUBLIC

    def check(self) -> None:
        pass


def create() -> Application:
    settings = Settings.from_env(os.environ)
    configure_logging(settings.log_level, settings.log_format, service="origin")
    published = PublishedInFile(Path(os.environ["LADDER_TEST_ORIGIN_NAMES"]))
    folder = os.environ.get("_FISHLADDER_ORIGIN_SHARED")
    ours = origin_settings(settings, metrics_folder=Path(folder) if folder else None)
    timeout_s = float(os.environ.get("LADDER_TEST_ORIGIN_CLIENT_TIMEOUT", ours.client_timeout_s))
    return create_app(replace(ours, client_timeout_s=timeout_s), OriginPorts(catalogue=published, blobs=_blobs()))


def _blobs() -> BlobStore:
    endpoint = os.environ.get("LADDER_TEST_ORIGIN_S3")
    if endpoint is None:
        return LocalBlobs(Path(os.environ["LADDER_TEST_ORIGIN_FOLDER"]))
    url, access_key, secret_key = endpoint.split(",")
    return S3Blobs(S3Settings(bucket=BUCKET, endpoint_url=url, access_key=access_key, secret_key=secret_key))


@dataclass(frozen=True, slots=True)
class Published:
    """What the origin serves: a folder of objects and the file of names."""

    folder: Path

    @property
    def objects(self) -> Path:
        return self.folder / "objects"

    @property
    def names(self) -> Path:
        return self.folder / "names.json"

    def publish(self, name: str, body: bytes) -> str:
        """Publish ``body`` under a public name; its key."""
        key = f"{ASSET}/{versioned_name(name, hash12(body))}"
        LocalBlobs(self.objects).put(key, body)
        names = json.loads(self.names.read_text()) if self.names.exists() else {}
        # A finished film's playlists are public under both.
        self._write({**names, name: (key, len(body)), key.removeprefix(f"{ASSET}/"): (key, len(body))})
        return key

    def store_segment(self, body: bytes, number: int) -> str:
        """Store a segment; its path below ``/v/{id}/``."""
        return self.store(f"1080p/{number}.m4s", body)

    def store(self, name: str, body: bytes) -> str:
        """Store what never changes; its path below ``/v/{id}/``: ``name`` with a digest."""
        path = versioned_name(name, hash12(body))
        LocalBlobs(self.objects).put(f"{ASSET}/{path}", body)
        return path

    def delete(self) -> None:
        """Nothing is published any more."""
        self._write({})

    def _write(self, names: dict[str, object]) -> None:
        beside = self.names.with_suffix(".part")
        beside.write_text(json.dumps(names))
        beside.replace(self.names)


@dataclass(frozen=True, slots=True)
class Origin:
    url: str
    process: subprocess.Popen[bytes]

    def worker(self) -> psutil.Process:
        return self.workers()[0]

    def workers(self) -> list[psutil.Process]:
        """The processes that answer. One that ends while we look is none any more."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # zombies too
                if "resource_tracker" not in " ".join(child.cmdline()):
                    found.append(child)
        return found


@contextmanager
def running_origin(
    published: Published,
    *,
    port: int | None = None,
    env: dict[str, str] | None = None,
    prefix: tuple[str, ...] = (),
    **settings: object,
) -> Iterator[Origin]:
    """A real origin. ``settings`` as `infra.settings` names them; ``prefix``: what to run it with."""
    port = port or free_ports(1)[0]
    values = {"origin_port": port, "log_level": "warning", "state_dir": published.folder / "state", **settings}
    environment = {
        **{f"FISHLADDER_{name.upper()}": str(value) for name, value in values.items()},
        "LADDER_TEST_ORIGIN_NAMES": str(published.names),
        "LADDER_TEST_ORIGIN_FOLDER": str(published.objects),
        **(env or {}),
    }
    code = (
        "import os; from infra.serve_origin import server; from infra.settings import Settings; "
        "timeout = float(os.environ.get('LADDER_TEST_ORIGIN_STALLED', 40)); "
        "server(Settings.from_env(os.environ), 'tests.origin_app:create', stalled_s=timeout).serve()"
    )
    url = f"http://127.0.0.1:{port}"
    log = published.folder / f"origin-{port}.log"
    with running([*prefix, sys.executable, "-c", code], environment, f"{url}/healthz", log) as process:
        yield Origin(url, process)


@contextmanager
def running(argv: list[str], env: dict[str, str], url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server, from when it answers at ``url`` to its end."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=os.environ | env, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_answering(url, process, log)
            yield process
        finally:
            stop(process, patience_s=20)


def _wait_until_answering(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise RuntimeError(f"{url} did not answer: {log.read_text()[-3000:]}")
