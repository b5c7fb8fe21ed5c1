"""The origin as a real server of several processes: restarts, slow clients, counters."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from tests.origin_app import VIDEO, Origin, Published, running_origin

pytestmark = pytest.mark.integration

BODY = secrets.token_bytes(3_000_000)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    made = Published(tmp_path)
    made.publish("master.m3u8", b"#EXTM3U\n" * 100)
    return made


class Viewers:
    """Threads that fetch until they are told to stop; what they got is counted."""

    def __init__(self, url: str, size: int, number: int):
        self.seen: Counter[str] = Counter()
        self._url, self._size = url, size
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._fetch) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def _fetch(self) -> None:
        # A connection for each request: one that is kept may be closed by the server between two requests at any time.
        while not self._stop.is_set():
            try:
                answer = httpx.get(self._url, headers={"connection": "close"}, timeout=60)
                whole = len(answer.content) == self._size
                self.seen["whole" if whole and answer.status_code == 200 else f"broken {answer.status_code}"] += 1
            except httpx.HTTPError as error:
                self.seen[f"{type(error).__name__}: {error}"] += 1

    def stop(self) -> Counter[str]:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
        return self.seen


def workers(origin: Origin) -> set[int]:
    return {worker.pid for worker in origin.workers()}


def test_a_restart_of_the_processes_drops_no_answer(published: Published) -> None:
    path = published.store_segment(BODY, 0)
    with running_origin(published, origin_workers=2) as origin:
        before = workers(origin)
        viewers = Viewers(f"{origin.url}/v/{VIDEO}/{path}", len(BODY), 4)
        origin.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 120
        while (workers(origin) & before or len(workers(origin)) != 2) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not workers(origin) & before
        assert len(workers(origin)) == 2
        seen = viewers.stop()
    assert seen["whole"] > 10
    assert set(seen) == {"whole"}


def test_processes_end_with_the_one_that_started_them(published: Published) -> None:
    with running_origin(published, origin_workers=2) as origin:
        orphans = origin.workers()
        assert len(orphans) == 2
        origin.process.kill()
        gone, alive = psutil.wait_procs(orphans, timeout=90)
    assert (len(gone), alive) == (2, [])


def test_all_processes_count_into_one_page(published: Published, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    env = {"_FISHLADDER_ORIGIN_SHARED": str(shared)}
    with running_origin(published, origin_workers=3, env=env) as origin:
        for _ in range(60):
            assert httpx.get(f"{origin.url}/v/{VIDEO}/master.m3u8").status_code == 200
        for _ in range(5):
            told = httpx.get(f"{origin.url}/metrics").text
            (counted,) = re.findall(r'requests_total\{kind="manifest",status="200"\} ([0-9.]+)', told)
            assert float(counted) == 60


def test_a_client_that_does_not_read_costs_little_and_is_cut(published: Published) -> None:
    path = published.store_segment(secrets.token_bytes(20_000_000), 0)
    with running_origin(published, env={"LADDER_TEST_ORIGIN_CLIENT_TIMEOUT": "1"}) as origin:
        host, port = origin.url.removeprefix("http://").split(":")
        assert (
            httpx.get(f"{origin.url}/v/{VIDEO}/{path}").status_code == 200
        )  # hot now, and the clients come within its second
        before = origin.worker().memory_info().rss
        clients = []
        for _ in range(30):
            client = socket.create_connection((host, int(port)))
            client.sendall(f"GET /v/{VIDEO}/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            clients.append(client)
        try:
            deadline = time.monotonic() + 90
            while _cut(origin) < 30 and time.monotonic() < deadline:
                time.sleep(0.1)
            assert _cut(origin) == 30
            assert origin.worker().memory_info().rss - before < 30 * 4_000_000  # not the 20 MB that each asked for
        finally:
            for client in clients:
                client.close()
        assert httpx.get(f"{origin.url}/healthz").status_code == 200


def test_a_client_that_does_not_read_what_is_small_is_cut_too(published: Published) -> None:
    path = published.store_segment(secrets.token_bytes(900_000), 0)
    with running_origin(published, env={"LADDER_TEST_ORIGIN_STALLED": "1"}) as origin:
        host, port = origin.url.removeprefix("http://").split(":")
        client = socket.socket()
        with client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            client.sendall(f"GET /v/{VIDEO}/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            mine = client.getsockname()[1]
            deadline = time.monotonic() + 90
            while mine in _clients(origin) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert mine not in _clients(origin)
        assert httpx.get(f"{origin.url}/v/{VIDEO}/{path}").status_code == 200


def _clients(origin: Origin) -> set[int]:
    """The ports of those who are connected, and of whom nobody else knows yet that they are there."""
    return {one.raddr.port for one in origin.worker().net_connections("tcp") if one.raddr}


def _cut(origin: Origin) -> int:
    (counted,) = re.findall(
        r"^fishladder_origin_cut_clients_total ([0-9.]+)", httpx.get(f"{origin.url}/metrics").text, re.MULTILINE
    )
    return round(float(counted))


NO_REQUESTS = {
    "endless header": b"GET /v/x HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000,
    "TLS": b"\x16\x03\x01\x02\x00\x01",
    "endless path": b"GET /" + b"a" * 1_000_000,
    "another version": b"GET / HTTP/9.9\r\n\r\n",
}


def _answer_to(client: socket.socket, request: bytes) -> bytes:
    """What the server says, if it says anything before it closes: it may close while we send, or before we say that we end."""
    with contextlib.suppress(OSError):  # a reset while sending
        client.sendall(request)
    with contextlib.suppress(OSError):  # no longer connected: ENOTCONN is no ConnectionError
        client.shutdown(socket.SHUT_WR)
    try:
        return client.recv(1000)
    except ConnectionError:
        return b""


def test_what_is_no_request_ends_its_connection_only(published: Published) -> None:
    with running_origin(published) as origin:
        host, port = origin.url.removeprefix("http://").split(":")
        for what, request in NO_REQUESTS.items():
            with socket.create_connection((host, int(port)), timeout=60) as client:
                answer = _answer_to(client, request)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), what
            assert httpx.get(f"{origin.url}/v/{VIDEO}/master.m3u8").status_code == 200


async def _over_http_2(url: str, path: str) -> list[httpx.Response]:
    async with httpx.AsyncClient(http1=False, http2=True, timeout=60) as client:
        wanted = [client.get(f"{url}/v/{VIDEO}/{path}") for _ in range(8)]
        wanted.append(client.get(f"{url}/v/{VIDEO}/{path}", headers={"range": "bytes=5-9"}))
        wanted.append(client.get(f"{url}/v/{VIDEO}/master.m3u8", headers={"accept-encoding": "br"}))
        wanted.append(client.head(f"{url}/v/{VIDEO}/{path}"))
        wanted.append(client.get(f"{url}/v/{VIDEO}/nothing.m3u8"))
        return list(await asyncio.gather(*wanted))


def test_http_2_is_spoken_too(published: Published) -> None:
    path = published.store_segment(BODY, 0)
    with running_origin(published) as origin:
        *whole, part, manifest, head, missing = asyncio.run(_over_http_2(origin.url, path))
    assert {answer.http_version for answer in (*whole, part, manifest, head, missing)} == {"HTTP/2"}
    assert all(answer.content == BODY for answer in whole)
    assert (part.status_code, part.content) == (206, BODY[5:10])
    assert manifest.headers["content-encoding"] == "br"
    assert manifest.content == b"#EXTM3U\n" * 100
    assert (head.headers["content-length"], head.content) == (str(len(BODY)), b"")
    assert missing.status_code == 404
