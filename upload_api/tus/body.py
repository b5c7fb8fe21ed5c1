"""A request's body as it comes from the server, and the polite end of one that we do not want to the end."""

from __future__ import annotations

import asyncio
from typing import Protocol

from starlette.types import Message, Receive

LINGER_S = 2.0
LINGER_BYTES = 4 * 1024 * 1024


class Pieces(Protocol):
    """Bytes of an upload as they come, from wherever."""

    @property
    def ended(self) -> bool:
        """All of them came."""
        ...

    @property
    def disconnected(self) -> bool:
        """There will be no more of them."""
        ...

    async def read(self) -> bytes:
        """The next piece, possibly empty. Cancellable without loss."""
        ...

    def trailer(self, name: str) -> str | None: ...


class Body:
    """Pieces of a body, in order. Reading one is cancellable without loss: a piece that was handed out is the caller's,
    one that was not stays with the server."""

    def __init__(self, receive: Receive, trailers: list[tuple[bytes, bytes]] | None = None) -> None:
        self._receive = receive
        self._trailers = trailers
        self.started = False
        self.ended = False
        self.disconnected = False

    async def read(self) -> bytes:
        """The next piece, possibly empty; `ended` or `disconnected` say when it was the last."""
        self.started = True
        message: Message = await self._receive()
        if message["type"] == "http.disconnect":
            self.disconnected = True
            return b""
        self.ended = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    def trailer(self, name: str) -> str | None:
        """A trailer field of a body that has ended. One that came twice is joined with a comma, like a header."""
        values = [value.decode("latin-1").strip() for key, value in self._trailers or () if key == name.encode()]
        return ", ".join(values) if values else None

    @property
    def tells_trailers(self) -> bool:
        return self._trailers is not None

    async def linger(self) -> None:
        """Read on for a moment and throw away, after the answer was sent.

        A socket that is closed with unread bytes resets the connection, and the client loses the answer that told it
        why (RFC 9112 section 9.6).
        """
        spare = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_S):
                while spare > 0 and not (self.ended or self.disconnected):
                    spare -= len(await self.read())
        except TimeoutError:
            return
