"""Digests of what passes, worked out in threads beside the event loop: those that a body was promised to have, and the
SHA-256 of the whole file.

The state of a hash cannot be stored, so the whole file's is kept in memory between the requests of one upload. Where that
breaks off (another process goes on, or partial uploads are joined) the digest is taken from the stored object later.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from storage.catalogue import Concat, Upload
from storage.ids import UploadId
from upload_api.threads import Threads

BATCH_BYTES = 1 << 20
"""So much is worth the way to another thread."""
MOST_BYTES = 8 << 20
"""More than this does not wait for its turn: the sender does."""
MOST_KEPT = 4096


class Updated(Protocol):
    def update(self, data: bytes, /) -> None: ...


class Hashing:
    """Feeds ``hashes`` with every piece of a body, in order. `take` never waits; `settle` returns when all is in."""

    def __init__(self, threads: Threads, hashes: Iterable[Updated]) -> None:
        self._threads = threads
        self._hashes = tuple(hashes)
        self._waiting: list[bytes] = []
        self._owed_bytes = 0  # waiting, or being worked on
        self._worker: asyncio.Task[None] | None = None

    def take(self, piece: bytes) -> None:
        if not self._hashes:
            return
        self._waiting.append(piece)
        self._owed_bytes += len(piece)
        if self._owed_bytes >= BATCH_BYTES:
            self._begin()

    async def make_room(self) -> None:
        """Return once the next piece may be taken."""
        if self._owed_bytes >= MOST_BYTES and self._worker is not None:
            await asyncio.shield(self._worker)

    async def settle(self) -> None:
        while self._waiting or self._worker is not None:
            worker = self._begin()
            await asyncio.shield(worker)
            self._ended(worker)  # who waits may go on before callbacks do

    def _begin(self) -> asyncio.Task[None]:
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
            self._worker.add_done_callback(self._ended)
        return self._worker

    def _ended(self, worker: asyncio.Task[None]) -> None:
        if self._worker is worker:
            self._worker = None

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await self._threads.compute(self._update, batch)
            self._owed_bytes -= sum(map(len, batch))

    def _update(self, batch: list[bytes]) -> None:
        for piece in batch:
            for each in self._hashes:
                each.update(piece)


@dataclass(slots=True)
class Passing:
    """The SHA-256 of the first ``position`` bytes of an upload."""

    sha256: Any  # hashlib's own type has no public name
    position: int

    def update(self, data: bytes, /) -> None:
        self.sha256.update(data)
        self.position += len(data)

    def copy(self) -> Passing:
        return Passing(self.sha256.copy(), self.position)


class PassingFiles:
    """What this process saw pass of which upload, from its first byte on."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UploadId, Passing] = OrderedDict()

    def begin(self, upload: Upload) -> Passing | None:
        """To be fed with what comes next of ``upload``; None if something before it went another way."""
        if upload.concat is Concat.PARTIAL:
            return None
        known = self._kept.get(upload.id)
        if known is not None and known.position == upload.offset_bytes:
            return known.copy()
        return Passing(hashlib.sha256(), 0) if upload.offset_bytes == 0 else None

    def keep(self, upload: UploadId, passing: Passing | None) -> None:
        """What passed is durable now."""
        if passing is None:
            self._kept.pop(upload, None)
            return
        self._kept[upload] = passing
        self._kept.move_to_end(upload)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def digest(self, upload: Upload) -> str | None:
        """The digest of the whole file, in hexadecimal digits, if all of it passed here; it is forgotten then."""
        known = self._kept.pop(upload.id, None)
        if known is None or known.position != upload.length_bytes:
            return None
        return str(known.sha256.hexdigest())
