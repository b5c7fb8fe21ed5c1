"""Running the app on uvicorn, with the facts of that server that uploads depend on.

- httptools parses about twice as fast as h11, and bodies arrive in pieces of at most some 256 KB; the server reads
  ahead no more than 64 KB beyond what `receive` took, so a full part buffer stops the client through TCP.
- ``Expect: 100-continue`` is answered at the first `receive`: a request that fails its checks sends no body.
- When a connection is lost uvicorn forgets what it had read ahead of the app. `KeepsWhatArrived` hands it out first:
  all bytes that reached us before a break are kept.
- uvicorn appends trailer fields to the header fields, where they could pose as some. Here they have a list of their
  own, `requests.TRAILERS`, by which the app knows that it may announce checksum-trailer.
- There may be answers before the answer, which ASGI cannot say: `requests.INTERIM` sends them.
- Proxy fields are ours to judge (`urls`), so uvicorn's own handling of them is off.
- On a signal uvicorn waits for requests to end; an upload may last hours. `serve` therefore begins the app's drain
  first: writers stop, store what they have and answer, event streams end.
- Keep-alive is longer than the pause between two PATCH requests of a chunking client.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn._types import ASGIReceiveCallable, ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from upload_api.requests import INTERIM, TRAILERS
from upload_api.settings import UploadApiSettings

MAX_TRAILERS = 16
INTERIM_PHRASES = {104: "Upload Resumption Supported"}


class KeepsWhatArrived(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, except that a lost connection is told after the bytes that came over it, and that trailer
    fields have a place of their own."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._trailers: list[tuple[bytes, bytes]] | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._trailers is None:
            super().on_header(name, value)
        elif len(self._trailers) < MAX_TRAILERS:
            self._trailers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        before = self.cycle
        self._trailers = []
        self.scope["extensions"] = {TRAILERS: self._trailers}  # type: ignore[dict-item]  # one of ours
        super().on_headers_complete()
        if self.cycle is not before and self.scope["http_version"] == "1.1":
            self.scope["extensions"][INTERIM] = partial(send_interim, self.cycle)  # type: ignore[assignment]
        if self.cycle is not before:
            # The app's task was only scheduled: it will be given this `receive`.
            self.cycle.receive = partial(  # type: ignore[method-assign]  # one request's own, not the class's
                receive_before_disconnect, self.cycle, self.cycle.receive
            )


def send_interim(cycle: RequestResponseCycle, status: int, fields: Sequence[tuple[str, str]]) -> None:
    """An answer before the answer. The app of a cycle only runs once all answers before are sent, so this is in turn."""
    if cycle.response_started or cycle.disconnected or cycle.transport.is_closing():
        return
    lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in fields)
    cycle.transport.write(f"HTTP/1.1 {status} {INTERIM_PHRASES.get(status, '')}\r\n{lines}\r\n".encode("latin-1"))


async def receive_before_disconnect(cycle: RequestResponseCycle, receive: ASGIReceiveCallable) -> ASGIReceiveEvent:
    message = await receive()
    if message["type"] != "http.disconnect" or not cycle.body or cycle.response_complete:
        return message
    body, cycle.body = bytes(cycle.body), bytearray()
    return {"type": "http.request", "body": body, "more_body": cycle.more_body}


class DrainingServer(uvicorn.Server):
    """Tells the app before it waits for its requests."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.begin_drain()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.drain.begin()  # also when the exit came without a signal
        await super().shutdown(sockets)

    def begin_drain(self) -> None:
        """From a signal handler or any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._app.state.drain.begin)


def upload_server(
    app: FastAPI, settings: UploadApiSettings, *, host: str = "127.0.0.1", port: int = 8080, log_level: str = "warning"
) -> DrainingServer:
    """A server for ``app``; its ``run()`` blocks until SIGTERM or Ctrl-C and the drain after it."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=KeepsWhatArrived,
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level=log_level,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_s)),
    )
    return DrainingServer(config, app)
