"""An object on its way from the store: whoever wants it reads along while it comes.

Fed from another thread through the event loop, read by any number of tasks of that loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Arriving:
    """``size_bytes`` is known before the first byte is there."""

    def __init__(self, key: str, size_bytes: int):
        self.key = key
        self.size_bytes = size_bytes
        self._pieces: list[bytes] = []
        self._here_bytes = 0
        self._failure: BaseException | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def feed(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._here_bytes += len(piece)
        self._wake()

    def fail(self, failure: BaseException) -> None:
        """Readers that still want bytes get ``failure``."""
        self._failure = failure
        self._wake()

    @property
    def body(self) -> bytes:
        """All of it, once all is here."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Bytes ``[start, stop)`` in pieces, as they come. Raises what `fail` was told."""
        position = index = 0
        while position < stop:
            if index == len(self._pieces):
                await self._more()
                continue
            piece = self._pieces[index]
            first, last = max(start - position, 0), min(stop - position, len(piece))
            if first < last:
                yield piece[first:last]
            position += len(piece)
            index += 1

    async def _more(self) -> None:
        if self._failure is not None:
            raise self._failure
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
