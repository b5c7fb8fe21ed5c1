"""Bytes on their way: streamed to all who wait, kept on disk and in memory within bounds, cut where they must be."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest

from origin import objects
from origin.app import create_app
from origin.disk import DiskCache
from origin.messages import ClientTooSlow, send_in_pieces
from origin.metrics import OriginMetrics
from storage.errors import StoreUnavailable
from storage.keys import hash12
from tests.unit.origin.conftest import VIDEO, CountingBlobs, World

BIG = os.urandom(700_000)

pytestmark = pytest.mark.anyio


class SlowStream(io.BytesIO):
    """Gives ``ready`` bytes, then waits for its gate; breaks if told to."""

    def __init__(self, body: bytes, ready: int, gate: threading.Event, *, breaks: bool):
        super().__init__(body)
        self._ready, self._gate, self._breaks = ready, gate, breaks

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._ready:
            assert self._gate.wait(10)
            if self._breaks:
                raise StoreUnavailable
        return super().read(size)


class SlowBlobs(CountingBlobs):
    def __init__(self, *, breaks: bool = False):
        super().__init__()
        self.more = threading.Event()
        self.breaks = breaks

    def open_sized(self, key: str) -> tuple[int, BinaryIO]:
        size, stream = super().open_sized(key)
        return size, SlowStream(stream.read(), 64 * 1024, self.more, breaks=self.breaks)


class Viewer:
    """One GET, below any HTTP library, so that pieces are seen as they come."""

    def __init__(self, app: Any, path: str, headers: list[tuple[bytes, bytes]] | None = None):
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.whole = False
        self.some = asyncio.Event()
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": headers or [],
            "client": ("127.0.0.1", "1"),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]
            self.whole = not message.get("more_body", False)
            self.some.set()


async def test_all_who_wait_get_the_bytes_as_they_come(world: World) -> None:
    blobs = world.blobs = SlowBlobs()
    path = world.store_segment(BIG)
    app = create_app(world.settings, world.ports())
    viewers = [Viewer(app, f"/v/{VIDEO}/{path}") for _ in range(20)]
    await asyncio.wait_for(asyncio.gather(*(viewer.some.wait() for viewer in viewers)), 10)
    late = Viewer(app, f"/v/{VIDEO}/{path}", [(b"range", b"bytes=1000-1999")])
    await asyncio.wait_for(late.task, 10)
    assert (late.status, late.body) == (206, BIG[1000:2000])  # here already, though the rest is not
    assert all(viewer.body == BIG[: 64 * 1024] for viewer in viewers)
    assert all(viewer.headers[b"content-length"] == str(len(BIG)).encode() for viewer in viewers)
    blobs.more.set()
    await asyncio.wait_for(asyncio.gather(*(viewer.task for viewer in viewers)), 10)
    assert all(viewer.body == BIG for viewer in viewers)
    assert blobs.reads.total() == 1


async def test_a_store_that_breaks_off_ends_the_answers_early_and_is_asked_again(world: World) -> None:
    blobs = world.blobs = SlowBlobs(breaks=True)
    path = world.store_segment(BIG)
    app = create_app(world.settings, world.ports())
    viewer = Viewer(app, f"/v/{VIDEO}/{path}")
    await asyncio.wait_for(viewer.some.wait(), 10)
    blobs.more.set()
    await asyncio.wait_for(viewer.task, 10)
    assert not viewer.whole
    assert len(viewer.body) < len(BIG)
    blobs.breaks = False
    again = Viewer(app, f"/v/{VIDEO}/{path}")
    await asyncio.wait_for(again.task, 10)
    assert again.whole
    assert again.body == BIG


async def test_bytes_that_are_not_what_their_name_says_are_never_sent_whole(world: World) -> None:
    for body in (b"small", BIG):
        key = f"{world.catalogue.asset}/720p/0-{hash12(b'other' + body)}.m4s"
        world.blobs.put(key, body)
        app = create_app(world.settings, world.ports())
        viewer = Viewer(app, f"/v/{VIDEO}/{key.partition('/')[2]}")
        if body == BIG:
            await viewer.task
            assert not viewer.whole
            assert len(viewer.body) < len(body)
        else:
            await viewer.task
            assert viewer.status == 503


async def test_more_than_can_be_fetched_is_asked_to_come_back(world: World) -> None:
    world.settings = replace(world.settings, store_queue=3)
    paths = [world.store_segment(BIG + bytes([number]), number=number) for number in range(8)]
    world.blobs.gate.clear()
    async with world.client() as client:
        asked = [asyncio.ensure_future(client.get(f"/v/{VIDEO}/{path}")) for path in paths]
        refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert {(one.result().status_code, one.result().headers["retry-after"]) for one in refused} == {(503, "1")}
        world.blobs.gate.set()
        answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 5


async def test_long_addresses_and_headers_are_refused(world: World, client: httpx.AsyncClient) -> None:
    for url, headers, status, code in (
        ("/v/" + "a" * 9000, {}, 414, "url_too_long"),
        (f"/v/{VIDEO}/master.m3u8?" + "a" * 9000, {}, 414, "url_too_long"),
        (f"/v/{VIDEO}/master.m3u8", {"x-long": "a" * 20_000}, 431, "headers_too_large"),
    ):
        for _ in range(2):
            answer = await client.get(url, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        await client.get(f"/v/{VIDEO}/master.m3u8")  # hot now: the limit holds there too


async def test_a_body_that_never_comes_is_not_waited_for(world: World) -> None:
    world.settings = replace(world.settings, client_timeout_s=0.05, concurrency=1)
    app = create_app(world.settings, world.ports())
    told: list[MutableMapping[str, Any]] = []

    async def silent() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": f"/v/{VIDEO}/cmcd", "headers": [], "query_string": b""}
    await asyncio.wait_for(app(scope, silent, send), 60)
    assert told[0]["status"] == 408
    async with world.client() as client:
        assert (await client.get(f"/v/{VIDEO}/master.m3u8")).status_code == 200


async def test_an_address_with_too_many_fields_is_refused(client: httpx.AsyncClient) -> None:
    many = "&".join(f"token={number}" for number in range(60))
    for path in ("master.m3u8", "manifest.mpd", "720p/0-0123456789ab.m4s", "download/source", "keys/0"):
        answer = await client.get(f"/v/{VIDEO}/{path}?{many}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), path


async def test_a_client_that_takes_nothing_is_cut() -> None:
    async def stuck(message: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ClientTooSlow):
        await send_in_pieces(stuck, BIG, 0.01)


async def test_the_disk_serves_what_the_memory_let_go(world: World, tmp_path: Path) -> None:
    world.settings = replace(world.settings, cache_bytes=0, disk_cache=tmp_path / "cache")
    path = world.store_segment(BIG)
    async with world.client() as client:
        assert (await client.get(f"/v/{VIDEO}/{path}")).content == BIG
        while not list((tmp_path / "cache").glob("*/" + "?" * 64)):
            await asyncio.sleep(0.01)
        for part in ("bytes=0-9", "bytes=-5", None):
            got = await client.get(f"/v/{VIDEO}/{path}", headers={"range": part} if part else {})
            assert got.status_code == (206 if part else 200)
    assert world.blobs.reads.total() == 1
    async with world.client() as client:  # and after a restart
        assert (await client.get(f"/v/{VIDEO}/{path}")).content == BIG
    assert world.blobs.reads.total() == 1


@pytest.mark.parametrize("part", ["bytes=5-9", "bytes=0-1,5-9", None])
async def test_a_file_that_leaves_the_disk_cache_while_it_is_asked_for_comes_from_the_store(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str | None
) -> None:
    world.settings = replace(world.settings, cache_bytes=0, disk_cache=tmp_path)
    path = world.store_segment(BIG)
    read = objects._slice

    def read_what_just_left(file: Path, start: int, stop: int) -> bytes:
        file.unlink()
        return read(file, start, stop)

    monkeypatch.setattr(objects, "_LUKEWARM_S", -1.0)  # so that nothing goes back to memory first
    monkeypatch.setattr(objects, "_slice", read_what_just_left)
    async with world.client() as client:
        await client.get(f"/v/{VIDEO}/{path}")
        while not list(tmp_path.glob("*/" + "?" * 64)):
            await asyncio.sleep(0.01)
        await client.get(f"/v/{VIDEO}/{path}")  # read from disk, and known to be good
        got = await client.get(f"/v/{VIDEO}/{path}", headers={"range": part} if part else {})
    assert got.status_code == (206 if part else 200)
    if part is None:
        assert got.content == BIG
    assert world.blobs.reads.total() == 2


async def test_the_server_itself_sends_the_file_of_what_is_rarely_asked_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settings = replace(world.settings, cache_bytes=0, disk_cache=tmp_path)
    path = world.store_segment(BIG)
    monkeypatch.setattr(objects, "_LUKEWARM_S", -1.0)
    app = create_app(world.settings, world.ports())
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": f"/v/{VIDEO}/{path}", "query_string": b"", "headers": []}
    scope["extensions"] = {"http.response.pathsend": {}}
    await app(scope, receive, send)
    while not list(tmp_path.glob("*/" + "?" * 64)):
        await asyncio.sleep(0.01)
    await app(scope, receive, send)  # read from disk, and known to be good
    sent.clear()
    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.pathsend"]
    assert dict(sent[0]["headers"])[b"content-length"] == b"%d" % len(BIG)
    assert Path(sent[1]["path"]).read_bytes() == BIG
    assert world.blobs.reads.total() == 1


async def test_a_damaged_file_of_the_disk_cache_is_fetched_anew(world: World, tmp_path: Path) -> None:
    world.settings = replace(world.settings, cache_bytes=0, disk_cache=tmp_path)
    path = world.store_segment(BIG)
    async with world.client() as client:
        await client.get(f"/v/{VIDEO}/{path}")
        while not (files := list(tmp_path.glob("*/" + "?" * 64))):
            await asyncio.sleep(0.01)
        files[0].write_bytes(BIG[:-1] + b"?")
        assert (await client.get(f"/v/{VIDEO}/{path}")).content == BIG
    assert world.blobs.reads.total() == 2


def test_the_disk_cache_keeps_to_its_bound_and_to_what_was_used(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 100_000)
    for number in range(50):
        cache.put(str(number), b"x" * 5_000)
        path = cache.find(str(number))
        assert path is not None
        os.utime(path, (number, number))
        hot = cache.find("0")
        assert hot is not None  # used all the time, so it stays
        cache.sweep()
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= 100_000
    assert cache.find("49") is not None
    assert cache.find("1") is None


def test_processes_count_together_and_what_was_counted_stays(tmp_path: Path) -> None:
    first, second = OriginMetrics(tmp_path), OriginMetrics(tmp_path)
    first.count_hot("segment", 200, 1000)
    second.count_answer("segment", 200, 0.02, 500)
    second.gauge("cache_bytes", 7)
    expected = [
        'fishladder_origin_requests_total{kind="segment",status="200"} 2.0',
        'fishladder_origin_sent_bytes_total{kind="segment"} 1500.0',
        'fishladder_origin_answer_seconds_count{kind="segment"} 2.0',
    ]
    for metrics in (first, second):
        assert set(expected) <= set(metrics.render()[1].decode().splitlines())
    second.close()
    third = OriginMetrics(tmp_path)
    text = third.render()[1].decode()
    assert set(expected) <= set(text.splitlines())
    assert "fishladder_origin_cache_bytes 0.0" in text
