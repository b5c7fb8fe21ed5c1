"""The digests of files that did not pass through one process from their first byte to the last: taken from the stored
object, in the background, one file at a time. Nothing waits for them."""

from __future__ import annotations

import hashlib
from typing import Any

import structlog

from storage.catalogue import Upload
from storage.errors import InvalidRequest, NotFound
from upload_api.drain import Drain
from upload_api.ports import Ports
from upload_api.threads import Threads

log = structlog.get_logger(__name__)

READ_BYTES = 8 << 20
"""Of one read: no more is in memory, and a drain waits for no more."""
FILES_A_ROUND = 20


class Digester:
    def __init__(self, ports: Ports, threads: Threads, drain: Drain) -> None:
        self._ports = ports
        self._threads = threads
        self._drain = drain

    async def round(self) -> int:
        """Digest some of the files that have no digest yet; how many. Raises `Unavailable`."""
        done = 0
        for upload in await self._threads.catalogue(self._ports.catalogue.undigested_uploads, FILES_A_ROUND):
            try:
                digest = await self._digest(upload)
            except (NotFound, InvalidRequest) as error:
                log.warning("source_not_digested", video_id=upload.video, code=error.code)
                digest = ""  # what is not there any more will not come back
            if digest is None:
                break
            await self._threads.catalogue(self._ports.catalogue.set_upload_digest, upload.id, digest)
            done += 1
        return done

    async def _digest(self, upload: Upload) -> str | None:
        """None if a drain began. Raises `NotFound`."""
        sha256, size = hashlib.sha256(), upload.length_bytes or 0
        for start in range(0, size, READ_BYTES):
            if self._drain.begun:
                return None
            await self._threads.store(self._feed, sha256, upload.source_key, start, min(size, start + READ_BYTES))
        return sha256.hexdigest()

    def _feed(self, sha256: Any, key: str, start: int, stop: int) -> None:
        sha256.update(self._ports.blobs.get_range(key, start, stop))
