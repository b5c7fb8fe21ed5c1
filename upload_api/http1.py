"""uvicorn's HTTP/1.1, with what uploads need of it besides.

- A body of known length needs no parser: once its first bytes have come through httptools, the others are handed on as
  they come from the socket, in pieces of at most 256 KB that nobody copies. Chunked bodies are parsed to their end.
- The server reads ahead no more than `READ_AHEAD_BYTES` beyond what was taken (64 KB before anybody asked), so a full part
  buffer stops the client through TCP.
- When a connection is lost uvicorn forgets what it had read ahead of the app. Here it is handed out first: all bytes
  that reached us before a break are kept.
- uvicorn appends trailer fields to the header fields, where they could pose as some. Here they have a list of their
  own, `requests.TRAILERS`, by which the app knows that it may announce checksum-trailer.
- There may be answers before the answer, which ASGI cannot say: `requests.INTERIM` sends them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

import httptools
from uvicorn._types import ASGIReceiveEvent, HTTPRequestEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from upload_api.requests import INTERIM, TRAILERS

MAX_TRAILERS = 16
INTERIM_PHRASES = {104: "Upload Resumption Supported"}

UNASKED_BYTES = 64 * 1024
READ_AHEAD_BYTES = 1 << 20
SMALL_BYTES = 16 * 1024
"""Pieces smaller than this, as of chunked bodies, are handed on together."""


class Arrivals:
    """What has come of the body of one request and was not taken yet."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._asked = False
        self._end_told = False

    def come(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes > (READ_AHEAD_BYTES if self._asked else UNASKED_BYTES):
            self._cycle.flow.pause_reading()
        self._cycle.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        """ASGI's `receive`: pieces, the end, and after it nothing until the connection is lost or the answer complete."""
        cycle = self._cycle
        self._asked = True
        if cycle.waiting_for_100_continue and not cycle.transport.is_closing():
            cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        while not (self._pieces or cycle.disconnected or cycle.response_complete or self._is_end_due):
            cycle.flow.resume_reading()
            cycle.message_event.clear()
            await cycle.message_event.wait()
        if cycle.response_complete or (cycle.disconnected and not self._pieces):
            return {"type": "http.disconnect"}
        body = self._taken()
        more_body = cycle.more_body or bool(self._pieces)
        self._end_told = not more_body
        message: HTTPRequestEvent = {"type": "http.request", "body": body, "more_body": more_body}
        return message

    @property
    def _is_end_due(self) -> bool:
        return not (self._cycle.more_body or self._end_told)

    def _taken(self) -> bytes:
        if not self._pieces:
            return b""
        if len(self._pieces) > 1 and len(self._pieces[0]) < SMALL_BYTES:
            taken = b"".join(self._pieces)
            self._pieces.clear()
        else:
            taken = self._pieces.popleft()
        self._waiting_bytes -= len(taken)
        if self._waiting_bytes <= READ_AHEAD_BYTES // 2:
            self._cycle.flow.resume_reading()
        return taken


class UploadProtocol(HttpToolsProtocol):
    """One connection."""

    _trailers: list[tuple[bytes, bytes]] | None = None
    _arrivals: Arrivals
    _left: int | None = None
    """Of a body whose length is known: what is still to come."""
    _unparsed = False
    """What comes next is a body, and nothing but a body."""

    def data_received(self, data: bytes) -> None:
        if not self._unparsed:
            super().data_received(data)
            self._unparsed = bool(self._left) and not self.transport.is_closing()
            return
        left = self._left or 0
        body = data if len(data) <= left else data[:left]
        self._take(body)
        if self._left:
            return
        self._unparsed = False
        self.parser = httptools.HttpRequestParser(self)  # the one before still waits for this body
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self.on_message_complete()
        if len(data) > left:
            self.data_received(data[left:])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._trailers = None
        self._left = None

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
        if self.cycle is before:
            return
        if self.scope["http_version"] == "1.1":
            self.scope["extensions"][INTERIM] = partial(send_interim, self.cycle)  # type: ignore[assignment]
        self._arrivals = Arrivals(self.cycle)
        # The app's task was only scheduled: it will be given this `receive`.
        self.cycle.receive = self._arrivals.receive  # type: ignore[method-assign]  # one request's own, not the class's
        if not self.parser.should_upgrade():
            self._left = length_of_body(self.headers)

    def on_body(self, body: bytes) -> None:
        if self.parser.should_upgrade() and self._should_upgrade():
            return
        self._take(body)

    def on_message_complete(self) -> None:
        self._left = None
        super().on_message_complete()

    def _take(self, piece: bytes) -> None:
        if self._left is not None:
            self._left -= len(piece)
        if not self.cycle.response_complete:
            self._arrivals.come(piece)


def length_of_body(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """By its one Content-Length; None for a body that only its parser can tell the end of."""
    lengths = [value for name, value in headers if name == b"content-length"]
    if len(lengths) != 1 or any(name == b"transfer-encoding" for name, _ in headers):
        return None
    value = lengths[0].strip(b" \t")
    return int(value) if value.isdigit() else None


def send_interim(cycle: RequestResponseCycle, status: int, fields: Sequence[tuple[str, str]]) -> None:
    """An answer before the answer. The app of a cycle only runs once all answers before are sent, so this is in turn."""
    if cycle.response_started or cycle.disconnected or cycle.transport.is_closing():
        return
    lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in fields)
    cycle.transport.write(f"HTTP/1.1 {status} {INTERIM_PHRASES.get(status, '')}\r\n{lines}\r\n".encode("latin-1"))
