"""Objects as they are sent: read from the store once, hashed, compressed where that helps, and kept while hot."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from concurrent.futures import Executor
from dataclasses import dataclass

from origin.cache import ByteCache, SingleFlight
from origin.metrics import OriginMetrics
from storage.blobs import BlobStore
from storage.content_types import content_type_of
from storage.errors import NotFound

_COMPRESSED_SUFFIXES = (".m3u8", ".mpd", ".vtt")
_OVERHEAD_BYTES = 1024  # of an entry besides its bytes, roughly
_ABSENT_TTL_S = 1.0


@dataclass(frozen=True, slots=True)
class Representation:
    """Bytes with their strong tag: the hash of just these bytes, so every replica of the origin gives the same."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in the forms in which it is sent. ``zipped`` only where the object is text that shrinks."""

    plain: Representation
    zipped: Representation | None

    @property
    def size_bytes(self) -> int:
        return len(self.plain.body) + (len(self.zipped.body) if self.zipped else 0) + _OVERHEAD_BYTES


class ObjectReader:
    """Objects are written once and never replaced, so what is kept never goes stale. Whole objects only: a segment is
    bounded by its rung's rate and its few seconds."""

    def __init__(self, blobs: BlobStore, threads: Executor, cache_bytes: int, metrics: OriginMetrics):
        self._blobs = blobs
        self._threads = threads
        self._metrics = metrics
        self._cache: ByteCache[StoredObject] = ByteCache(cache_bytes)
        self._absent: dict[str, float] = {}
        self._flights: SingleFlight[StoredObject] = SingleFlight()

    async def read(self, key: str) -> StoredObject:
        """Raises `NotFound` or `StoreUnavailable`."""
        kept = self._cache.get(key)
        if kept is not None:
            self._metrics.cache_hits.inc()
            return kept
        self._metrics.cache_misses.inc()
        if self._absent.get(key, 0.0) > time.monotonic():
            raise NotFound("There is no such object.", key=key)
        return await self._flights.run(key, lambda: self._load(key))

    async def _load(self, key: str) -> StoredObject:
        loop = asyncio.get_running_loop()
        try:
            with self._metrics.store_seconds.time():
                loaded = await loop.run_in_executor(self._threads, self._fetch, key)
        except NotFound:
            self._remember_absent(key)
            raise
        self._cache.put(key, loaded, loaded.size_bytes)
        self._metrics.cache_bytes.set(self._cache.held_bytes)
        return loaded

    def _fetch(self, key: str) -> StoredObject:
        return prepared(key, self._blobs.get(key))

    def _remember_absent(self, key: str) -> None:
        if len(self._absent) >= 10_000:
            self._absent.clear()  # somebody guesses names; forgetting costs a question to the store each
        self._absent[key] = time.monotonic() + _ABSENT_TTL_S


def prepared(key: str, body: bytes) -> StoredObject:
    """``body`` in the forms in which the object under ``key`` is sent. Apple wants playlists compressed with gzip (HLS
    authoring specification, 10.1); doing it once per object makes that free."""
    plain = Representation(body, _etag(body))
    if not key.endswith(_COMPRESSED_SUFFIXES):
        return StoredObject(plain, None)
    zipped = gzip.compress(body, 6, mtime=0)  # no time in it: the same bytes, and so the same tag, on every replica
    return StoredObject(plain, Representation(zipped, _etag(zipped)) if len(zipped) < len(body) else None)


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def content_type_in_asset(name: str) -> str:
    """The media type of an object that only its name describes. Audio renditions are named ``audio…``."""
    kind = content_type_of(name)
    return "audio/mp4" if kind == "video/mp4" and name.startswith("audio") else kind
