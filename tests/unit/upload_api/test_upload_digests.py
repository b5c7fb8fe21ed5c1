"""The digest of a whole file: in passing where it can be, from the store where it cannot, and never in anybody's way."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from storage.catalogue.sql import SqlCatalogue
from storage.errors import NotFound
from storage.ids import UploadId
from storage.keys import source_key
from tests.uploads import Reply, Sending, ask, create, offset_of, patch, small_app
from tests.uploads import run_long as run
from upload_api.app import Ports
from upload_api.drain import Drain
from upload_api.threads import Threads
from upload_api.tus import hashing
from upload_api.tus.digesting import Digester
from upload_api.tus.hashing import BATCH_BYTES, Hashing, PassingFiles

CONTENT = bytes(range(256)) * 3


def digest_of(ports: Ports, url: str) -> str | None:
    return ports.catalogue.upload(UploadId(url.rpartition("/")[2])).digest


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_that_comes_in_pieces_has_its_digest_when_it_is_complete(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, len(CONTENT))).fields["location"]
        await patch(app, url, 0, CONTENT[:100])
        await patch(app, url, 100, Sending([CONTENT[100:170], CONTENT[170:200]], breaks=True))
        wrong = {"upload-checksum": "sha1 " + "A" * 27 + "="}
        assert (await patch(app, url, 200, CONTENT[200:300], **wrong)).status == 460  # leaves no trace in the digest
        assert await offset_of(app, url) == 200
        assert (await patch(app, url, 200, CONTENT[200:])).status == 204
        assert digest_of(ports, url) == sha256(CONTENT)

    run(test())


def test_what_another_process_took_is_digested_from_the_store(ports: Ports) -> None:
    async def test() -> None:
        first, second = small_app(ports), small_app(ports)
        url = (await create(first, len(CONTENT))).fields["location"]
        await patch(first, url, 0, CONTENT[:100])
        await patch(second, url, 100, CONTENT[100:])
        assert digest_of(ports, url) is None
        digester = Digester(ports, Threads(2), Drain())
        assert await digester.round() == 1
        assert digest_of(ports, url) == sha256(CONTENT)
        assert await digester.round() == 0

    run(test())


def test_joined_files_are_digested_from_the_store(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upload_api.tus.digesting.READ_BYTES", 100)

    async def test() -> None:
        app = small_app(ports)
        parts: list[Reply] = []
        for half in (CONTENT[:300], CONTENT[300:]):
            made = await ask(app, "POST", "/files", {"upload-length": str(len(half)), "upload-concat": "partial"})
            await patch(app, made.fields["location"], 0, half)
            parts.append(made)
        concat = "final;" + " ".join(part.fields["location"] for part in parts)
        final = await ask(app, "POST", "/files", {"upload-concat": concat})
        await app.state.uploads.joiner.settle()  # type: ignore[attr-defined]
        assert await Digester(ports, Threads(2), Drain()).round() == 1
        assert digest_of(ports, final.fields["location"]) == sha256(CONTENT)

    run(test())


def test_a_file_that_is_gone_is_not_looked_for_again(ports: Ports) -> None:
    async def test() -> None:
        first, second = small_app(ports), small_app(ports)
        created = await create(first, 200)
        url = created.fields["location"]
        await patch(first, url, 0, b"a" * 100)
        await patch(second, url, 100, b"a" * 100)
        ports.blobs.delete(source_key(created.fields["fishladder-video"]))  # type: ignore[arg-type]
        digester = Digester(ports, Threads(2), Drain())
        assert await digester.round() == 1
        assert await digester.round() == 0
        assert digest_of(ports, url) is None

    run(test())


def test_a_drain_does_not_wait_for_digests(ports: Ports) -> None:
    async def test() -> None:
        first, second, drain = small_app(ports), small_app(ports), Drain()
        url = (await create(first, 200)).fields["location"]
        await patch(first, url, 0, b"a" * 100)
        await patch(second, url, 100, b"a" * 100)
        drain.begin()
        assert await Digester(ports, Threads(2), drain).round() == 0
        assert digest_of(ports, url) is None

    run(test())


def test_nothing_is_hashed_on_the_event_loop(ports: Ports) -> None:
    loop_thread: list[int] = []
    hashed_in: set[int] = set()

    class Noting:
        def update(self, data: bytes, /) -> None:
            hashed_in.add(threading.get_ident())

    async def test() -> None:
        loop_thread.append(threading.get_ident())
        working = Hashing(Threads(2), [Noting()])
        for _ in range(40):
            working.take(b"x" * (1 << 18))
            await working.make_room()
        await working.settle()

    run(test())
    assert hashed_in
    assert not hashed_in & set(loop_thread)


def test_a_sender_waits_for_its_hashes_and_they_keep_their_order() -> None:
    seen = bytearray()
    go = threading.Event()

    class Slow:
        def update(self, data: bytes, /) -> None:
            go.wait(60)
            seen.extend(data)

    async def test() -> None:
        working = Hashing(Threads(2), [Slow()])
        for number in range(12):
            working.take(bytes([number]) * (1 << 20))
        waiting = asyncio.ensure_future(working.make_room())
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not done
        go.set()
        await waiting
        await working.settle()
        assert bytes(seen) == b"".join(bytes([number]) * (1 << 20) for number in range(12))

    run(test())


def test_what_is_remembered_of_unfinished_files_is_bounded(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "MOST_KEPT", 3)
    files = PassingFiles()
    for number in range(10):
        files.keep(UploadId(str(number)), hashing.Passing(hashlib.sha256(), number))
    assert list(files._kept) == ["7", "8", "9"]


# --- HEAD ------------------------------------------------------------------------------------------------------------


def test_a_head_costs_one_query_while_nobody_writes(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 1000)).fields["location"]
        await patch(app, url, 0, CONTENT[:200])
        asked: list[str] = []
        assert isinstance(ports.catalogue, SqlCatalogue)
        sa.event.listen(ports.catalogue._db.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
        assert await offset_of(app, url) == 200
        assert len([statement for statement in asked if not statement.startswith("BEGIN")]) == 1, asked

    run(test())


def test_a_head_of_a_draining_server_says_that_it_is_busy(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 1000)).fields["location"]
        done = (await create(app, 5)).fields["location"]
        await patch(app, done, 0, b"hello")
        app.state.drain.begin()  # type: ignore[attr-defined]
        busy = await ask(app, "HEAD", url)
        assert (busy.status, busy.fields["retry-after"]) == (423, "1")
        assert (await ask(app, "HEAD", done)).status == 200  # nothing more will be sent there
        assert (await patch(app, url, 0, b"x")).status == 503

    run(test())


def test_a_head_of_an_upload_that_is_gone_says_so_in_that_one_query(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 1000)).fields["location"]
        await ask(app, "DELETE", url)
        assert (await ask(app, "HEAD", url)).status == 410
        with pytest.raises(NotFound):
            ports.catalogue.upload_standing(UploadId("nothing"))
        assert (await ask(app, "HEAD", "/files/nothing")).status == 404

    run(test())


# --- threads ---------------------------------------------------------------------------------------------------------


def test_a_call_whose_caller_left_is_waited_for_and_its_error_is_nobodys() -> None:
    ended, unheard = threading.Event(), []

    def fails() -> None:
        ended.set()
        raise NotFound

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unheard.append(context))
        caller = asyncio.create_task(Threads(2).compute(fails))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert ended.is_set()
        del caller
        gc.collect()
        await asyncio.sleep(0)

    run(test())
    assert unheard == []


class AtOnce(Threads):
    """Computes where it stands."""

    async def compute(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("more", [b"", b"y" * 10])
def test_work_that_ended_a_moment_ago_is_not_waited_for_again(more: bytes) -> None:
    seen = bytearray()

    class Noting:
        def update(self, data: bytes, /) -> None:
            seen.extend(data)

    async def test() -> None:
        working = Hashing(AtOnce(2), [Noting()])
        working.take(b"x" * BATCH_BYTES)
        await asyncio.sleep(0)  # it has ended; what is called when it has, was not yet
        if more:
            working.take(more)
        await working.settle()

    run(test())
    assert seen == b"x" * BATCH_BYTES + more
