"""What upload tests share: ports in memory, and ASGI requests made by hand, whose connection can break anywhere."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.types import ASGIApp, Message

from storage.blobs.memory import MemoryBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.jobs import Lane
from upload_api.app import Ports, UploadApiSettings, create_app
from upload_api.requests import TRAILERS

T = TypeVar("T")


def run(test: Coroutine[Any, Any, T], *, limit_s: float = 30) -> T:
    """What ``test`` returns. One that hangs fails."""

    async def limited() -> T:
        async with asyncio.timeout(limit_s):
            return await test

    return asyncio.run(limited())


def run_long(test: Coroutine[Any, Any, T]) -> T:
    """The same for tests of many requests, or of servers that are waited for."""
    return run(test, limit_s=120)


BODY_TYPE = "application/offset+octet-stream"


@dataclass
class RecordingBell:
    rung: list[Lane] = field(default_factory=list)

    def ring(self, lane: Lane, times: int = 1) -> None:
        self.rung.extend([lane] * times)


def memory_ports(*, min_part_bytes: int = 16, max_parts: int = 10_000) -> Ports:
    return Ports(
        catalogue=SqlCatalogue.in_memory(),
        blobs=MemoryBlobs(min_part_bytes=min_part_bytes, max_parts=max_parts),
        bell=RecordingBell(),
    )


def small_settings(**changes: Any) -> UploadApiSettings:
    """Parts of 64 bytes, and patience for tests: nothing waits long, nothing tidies by itself."""
    values: dict[str, Any] = {
        "public_url": "http://fish.test",
        "base_part_bytes": 64,
        "lease_beat_s": 0.05,
        "lease_wait_s": 2.0,
        "lease_ttl_s": 1.0,
        "events_poll_s": 0.01,
        "events_heartbeat_s": 0.05,
        "janitor_interval_s": 0.0,
    }
    return UploadApiSettings(**(values | changes))


def small_app(ports: Ports, **changes: Any) -> ASGIApp:
    return create_app(small_settings(**changes), ports)


@dataclass(frozen=True)
class Reply:
    """``status`` 0: the connection broke before an answer."""

    status: int
    fields: dict[str, str]
    content: bytes
    read_bytes: int

    @property
    def problem(self) -> dict[str, Any]:
        assert self.fields["content-type"] == "application/problem+json"
        return dict(json.loads(self.content))


@dataclass
class Sending:
    """A body as it goes over the wire: pieces, then its end, a break, or silence. ``hold`` keeps the last word back.
    ``trailers`` None: the server does not tell any."""

    pieces: Sequence[bytes] = ()
    breaks: bool = False
    trailers: Sequence[tuple[str, str]] | None = None
    hold: asyncio.Event | None = None
    read: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    fields: dict[str, str] | None = None,
    body: bytes | Sending = b"",
    *,
    tus: bool = True,
) -> Reply:
    """One request over raw ASGI. ``tus``: with Tus-Resumable. Content-Length is set for a plain ``bytes`` body."""
    sending = Sending([body] if body else []) if isinstance(body, bytes) else body
    told = {"host": "fish.test", **({"tus-resumable": "1.0.0"} if tus else {})}
    told |= {"content-length": str(len(body))} if isinstance(body, bytes) else {"transfer-encoding": "chunked"}
    told |= {name.lower(): value for name, value in (fields or {}).items()}
    path, _, query = path.removeprefix("http://fish.test").partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in told.items()],
        "client": ("192.0.2.1", 4000),
        "server": ("fish.test", 80),
    }
    trailers: list[tuple[bytes, bytes]] = []
    if sending.trailers is not None:
        scope["extensions"] = {TRAILERS: trailers}
    answered = asyncio.Event()
    queue = list(sending.pieces)
    start: dict[str, Any] = {}
    content = bytearray()

    async def receive() -> Message:
        sending.started.set()
        if answered.is_set():
            return {"type": "http.disconnect"}
        if queue:
            piece = queue.pop(0)
            sending.read += len(piece)
            last = not queue and not sending.breaks and sending.hold is None
            if last:
                trailers.extend((name.encode(), value.encode()) for name, value in sending.trailers or ())
            return {"type": "http.request", "body": piece, "more_body": not last}
        if sending.hold is not None:
            await sending.hold.wait()
        if sending.breaks or answered.is_set():
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            content.extend(message.get("body", b""))
            if not message.get("more_body", False):
                answered.set()

    await app(scope, receive, send)
    headers = {name.decode(): value.decode("latin-1") for name, value in start.get("headers", [])}
    return Reply(start.get("status", 0), headers, bytes(content), sending.read)


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


async def create(app: ASGIApp, length: int | None, **values: str) -> Reply:
    size = {"upload-length": str(length)} if length is not None else {"upload-defer-length": "1"}
    return await ask(app, "POST", "/files", size | ({"upload-metadata": metadata(**values)} if values else {}))


async def patch(app: ASGIApp, url: str, offset: int, body: bytes | Sending, **fields: str) -> Reply:
    told = {"content-type": BODY_TYPE, "upload-offset": str(offset)}
    return await ask(app, "PATCH", url, told | {k.replace("_", "-"): v for k, v in fields.items()}, body)


async def offset_of(app: ASGIApp, url: str) -> int:
    reply = await ask(app, "HEAD", url)
    assert reply.status == 200, reply
    return int(reply.fields["upload-offset"])
