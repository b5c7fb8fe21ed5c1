"""Uploads over a network that cuts, resets and repeats, to a server that is killed: every file arrives, once, whole.

The short form is for every run; ``LADDER_TEST_UPLOADS=500`` makes it the long one. ``LADDER_TEST_SEED`` repeats a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from storage.ids import UploadId
from storage.jobs import JobKind
from storage.keys import source_key
from tests.upload_server import PART_BYTES, UploadServer, open_ports, running
from upload_api.tus.recovery import Janitor

pytestmark = pytest.mark.integration

UPLOADS = int(os.environ.get("LADDER_TEST_UPLOADS", "12"))
SEED = int(os.environ.get("LADDER_TEST_SEED", "20"))
CLIENTS = min(12, max(6, UPLOADS // 40))
"""At once. They mostly wait: for leases of the dead to run out, for a server to come up again."""
KILLS = max(2, UPLOADS // 25)
DEADLINE_S = 120 + 4 * UPLOADS
"""Of one upload, however slow the machine is."""
TUS = {"Tus-Resumable": "1.0.0"}
HTTP = httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0), trust_env=False)
"""A connection for each request. (`httpx.get` would read all certificates of the system for each, too.)"""


class Fleet:
    """The one server that lives, whichever it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._up = threading.Event()
        self._server: UploadServer | None = None

    def start(self) -> None:
        self._server = self._stack.enter_context(running(self._folder))
        self._up.set()

    def kill(self) -> None:
        self._up.clear()
        if self._server is not None:
            self._server.kill()

    def stop(self) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        assert self._up.wait(60)
        assert self._server is not None
        return self._server.url


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    fleet.start()
    yield fleet
    fleet.stop()


class Client:
    """One upload through whatever happens. Remembers the highest offset that it was promised."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet = fleet
        self._chance = random.Random(seed)
        size = self._chance.choice((1, 70_000, PART_BYTES, 2 * PART_BYTES + 17, 4 * PART_BYTES - 1))
        self.content = (b"\x1a\x45\xdf\xa3" + self._chance.randbytes(size))[:size]
        self.promised = 0
        self.faults = 0
        self._deadline = 0.0

    def upload(self) -> UploadId:
        self._deadline = time.monotonic() + DEADLINE_S
        name = self._created()
        while (offset := self._offset(name)) != len(self.content):
            with contextlib.suppress(httpx.TransportError, OSError):
                self._send(name, offset)
        return UploadId(name)

    def _again(self) -> bool:
        assert time.monotonic() < self._deadline, "the upload does not get on"
        return True

    def _created(self) -> str:
        while self._again():
            with contextlib.suppress(httpx.TransportError):
                size = {"Upload-Length": str(len(self.content))}
                reply = HTTP.post(f"{self._fleet.url}/files", headers=TUS | size)
                if reply.status_code == 201:
                    return str(reply.headers["Location"]).rpartition("/")[2]
        raise AssertionError

    def _offset(self, name: str) -> int:
        while self._again():
            with contextlib.suppress(httpx.TransportError):
                reply = HTTP.head(f"{self._fleet.url}/files/{name}", headers=TUS)
                if reply.status_code == 200:
                    offset = int(reply.headers["Upload-Offset"])
                    assert self.promised <= offset <= len(self.content), "an offset went back"
                    self.promised = offset
                    return offset
                assert reply.status_code == 423, reply
        raise AssertionError

    def _send(self, name: str, offset: int) -> None:
        rest = self.content[offset:]
        fault = self._chance.choice(("none", "cut", "reset", "leave", "wrong offset", "wrong checksum"))
        self.faults += fault != "none"
        host, _, port = self._fleet.url.removeprefix("http://").partition(":")
        said = offset + 1 if fault == "wrong offset" else offset
        extra = "Upload-Checksum: crc32 AAAAAA==\r\n" if fault == "wrong checksum" else ""
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(
                f"PATCH /files/{name} HTTP/1.1\r\nHost: {host}:{port}\r\nTus-Resumable: 1.0.0\r\n"
                f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {said}\r\n{extra}"
                f"Content-Length: {len(rest)}\r\n\r\n".encode()
            )
            if fault in ("cut", "reset", "leave"):
                connection.sendall(rest[: self._chance.randint(0, len(rest))])
                if fault == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if fault == "leave":  # the next request comes while this one still hangs
                    self._offset(name)
                return
            connection.sendall(rest)
            status = connection.makefile("rb").readline().split()[1:2]
            # So may an offset that was wrong be right by then, as of a file of one byte: its bytes are too many.
            expected = {"wrong offset": [b"409"], "wrong checksum": [b"460"]}.get(fault, [b"204"])
            # 409: a request whose connection is gone had its bytes stored after our HEAD; the next HEAD tells.
            late = [b"413"] if fault == "wrong offset" else [b"409"]
            assert status in (expected, [], [b"503"], [b"423"], [b"409"], late), (fault, status)


@pytest.mark.timeout(240 + 5 * UPLOADS)
def test_every_file_arrives_once_and_whole_through_cuts_resets_and_kills(fleet: Fleet, tmp_path: Path) -> None:
    clients = [Client(fleet, SEED * 1000 + number) for number in range(UPLOADS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        running_uploads = [pool.submit(client.upload) for client in clients]
        chance = random.Random(SEED)
        for kill in range(KILLS):
            # All along the way, at moments that nobody chose: there is no event to wait for.
            while sum(each.done() for each in running_uploads) < kill * UPLOADS // (KILLS + 1):
                time.sleep(0.05)
            time.sleep(chance.uniform(0.3, 1.5))
            fleet.kill()
            fleet.start()
        names = [each.result() for each in running_uploads]
    fleet.stop()
    ports = open_ports(tmp_path)
    janitor = Janitor(ports)
    for _ in range(2):
        janitor.tidy()
    videos = {}
    for client, name in zip(clients, names, strict=True):
        upload = ports.catalogue.upload(name)
        assert upload.state == "completed"
        stored = ports.blobs.get(source_key(upload.video))
        assert hashlib.sha256(stored).digest() == hashlib.sha256(client.content).digest()
        (job,) = ports.catalogue.jobs(video=upload.video)
        assert job.kind is JobKind.INSPECT
        videos[upload.video] = source_key(upload.video)
    assert len(videos) == UPLOADS
    assert list(ports.blobs.list_multiparts("")) == []
    assert {info.key for info in ports.blobs.list("sources/")} == set(videos.values())
    assert list(ports.blobs.list("tails/")) == []
    assert sum(client.faults for client in clients) >= UPLOADS // 2, "this network was too good"
    ports.catalogue.close()
