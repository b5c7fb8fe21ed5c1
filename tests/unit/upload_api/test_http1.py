"""Bodies as they come from a connection: past the parser or through it, whole, in order, and with room told to the sender."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from upload_api.http1 import READ_AHEAD_BYTES, UNASKED_BYTES, UploadProtocol, length_of_body

App = Callable[[Scope, Receive, Send], Awaitable[None]]
BODY = bytes(range(256)) * 40


class Wire(asyncio.Transport):
    """The server's end of a connection, of which a test plays the other."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1234) if name in ("peername", "sockname") else default


def connected(app: App) -> tuple[UploadProtocol, Wire]:
    config = uvicorn.Config(app, lifespan="off", access_log=False, log_level="critical", ws="none")
    config.load()
    protocol, wire = UploadProtocol(config=config, server_state=ServerState(), app_state={}), Wire()
    protocol.connection_made(wire)
    return protocol, wire


async def idle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def answer(send: Send, text: str) -> None:
    body = text.encode()
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


async def told(receive: Receive) -> list[Message]:
    """Everything up to the end of the body, or of the connection."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


async def digesting(scope: Scope, receive: Receive, send: Send) -> None:
    body = b"".join(message.get("body", b"") for message in await told(receive))
    await answer(send, f"{scope['method']} {len(body)} {hashlib.sha256(body).hexdigest()};")


def expected(*bodies: bytes) -> list[str]:
    return [f"PATCH {len(body)} {hashlib.sha256(body).hexdigest()};" for body in bodies]


def request(body: bytes, *, chunked: bool = False) -> bytes:
    if not chunked:
        return f"PATCH /x HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    chunks = b"".join(
        f"{len(body[at : at + 1000]):x}\r\n".encode() + body[at : at + 1000] + b"\r\n"
        for at in range(0, len(body), 1000)
    )
    return b"PATCH /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@given(
    bodies=st.lists(st.tuples(st.integers(0, len(BODY)), st.booleans()), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 45_000), max_size=12),
)
def test_requests_follow_each_other_wherever_the_bytes_are_cut(bodies: list[tuple[int, bool]], cuts: list[int]) -> None:
    async def test() -> str:
        protocol, wire = connected(digesting)
        data = b"".join(request(BODY[:size], chunked=chunked) for size, chunked in bodies)
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, stop in pairwise(edges):
            if stop > start:
                protocol.data_received(data[start:stop])
            await idle()
        for _ in range(len(bodies)):
            await idle()
        protocol.connection_lost(None)
        return wire.written.decode("latin-1")

    answers = [line for line in asyncio.run(test()).split("\r\n\r\n") if line]
    assert [part.partition(";")[0] + ";" for part in answers[1:]] == expected(*(BODY[:size] for size, _ in bodies))


def test_what_came_before_a_connection_broke_is_handed_out_first() -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await idle()
        while not seen or seen[-1]["type"] != "http.disconnect":
            seen.append(await receive())

    async def test() -> None:
        protocol, _ = connected(app)
        data = request(BODY)
        for at in range(0, len(data) - 1000, 3000):
            protocol.data_received(data[at : min(at + 3000, len(data) - 1000)])
        protocol.connection_lost(None)
        for _ in range(5):
            await idle()

    asyncio.run(test())
    assert b"".join(message.get("body", b"") for message in seen) == BODY[: len(BODY) - 1000]
    assert all(message["more_body"] for message in seen[:-1])


def test_a_sender_waits_while_nobody_takes_its_bytes() -> None:
    async def test() -> None:
        may_read, may_end = asyncio.Event(), asyncio.Event()
        size = 4 * READ_AHEAD_BYTES

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await may_read.wait()
            await receive()
            await may_end.wait()
            await digesting(scope, receive, send)

        protocol, wire = connected(app)
        protocol.data_received(request(bytes(size))[: 200 + UNASKED_BYTES])
        assert wire.paused, "nobody has asked for this body yet"
        may_read.set()
        await idle()
        assert not wire.paused
        sent = UNASKED_BYTES + 200
        while not wire.paused:
            protocol.data_received(bytes(100_000))
            sent += 100_000
            assert sent < READ_AHEAD_BYTES + 400_000
        may_end.set()
        await idle()
        assert not wire.paused
        protocol.connection_lost(None)
        await idle()

    asyncio.run(test())


def test_a_body_that_nobody_wants_is_not_kept_after_the_answer() -> None:
    async def test() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await answer(send, "no;")

        protocol, wire = connected(app)
        data = request(BODY) + request(b"")
        protocol.data_received(data[:500])
        await idle()
        for at in range(500, len(data), 700):
            protocol.data_received(data[at : at + 700])
        await idle()
        assert wire.written.count(b"no;") == 2
        protocol.connection_lost(None)
        await idle()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([(b"content-length", b"12")], 12),
        ([(b"content-length", b"0")], 0),
        ([], None),
        ([(b"content-length", b"12"), (b"transfer-encoding", b"chunked")], None),
        ([(b"content-length", b"12"), (b"content-length", b"12")], None),
        ([(b"content-length", b"+12")], None),
        ([(b"content-length", b"")], None),
    ],
)
def test_the_length_is_known_only_where_nothing_contradicts_it(
    headers: list[tuple[bytes, bytes]], length: int | None
) -> None:
    assert length_of_body(headers) == length
