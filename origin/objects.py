"""Objects as they are sent: from memory, from the disk cache, or from the store while they come.

Objects are written once and never replaced, so what is kept never goes stale. Whole objects only: a segment is bounded by
its rung's rate and its few seconds. Requests for one object that is absent share one read of the store.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import brotli  # type: ignore[import-untyped]  # it says nothing of its types
import structlog
import zstandard

from origin.arriving import Arriving
from origin.cache import ByteCache
from origin.disk import DiskCache
from origin.metrics import OriginMetrics
from storage.blobs import BlobStore, StreamingReads
from storage.content_types import content_type_of
from storage.errors import NotFound, StoreUnavailable, Unavailable

log = structlog.get_logger(__name__)

_COMPRESSED_SUFFIXES = (".m3u8", ".mpd", ".vtt")
_LONG_TEXT_BYTES = 256 * 1024  # what is longer is compressed less: it may grow, and be made anew, every second
_OVERHEAD_BYTES = 1024  # of an entry besides its bytes, roughly
_ABSENT_TTL_S = 1.0
# What is asked for less often than this is sent from its file, and leaves the memory to others.
_LUKEWARM_S = 30.0
_FIRST_PIECE_BYTES = 64 * 1024  # small: players start on it
_PIECE_BYTES = 256 * 1024
_HASHED = re.compile(r"-([0-9a-f]{12})\.[a-z0-9]+$")
# All sprites of a storyboard have one version: what their names carry is no digest of one of them (`workers.steps.thumbnails`).
_SPRITE = re.compile(r"/storyboard/[0-9]+-[0-9a-f]{12}\.jpg$")


class Overloaded(Unavailable):
    """There is more to do here than can be done; try again in a moment."""

    code = "overloaded"


@dataclass(frozen=True, slots=True)
class Representation:
    """Bytes with their strong tag, which is made of just these bytes, so every replica of the origin gives the same."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True, eq=False)
class StoredObject:
    """An object in the forms in which it is sent. ``coded``: by content coding, the smallest first; none but of text that
    shrinks."""

    plain: Representation
    coded: Mapping[str, Representation] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return len(self.plain.body) + sum(len(each.body) for each in self.coded.values()) + _OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class OnDisk:
    """An object whose file the server may send by itself. Its bytes were checked before."""

    key: str
    path: Path
    size_bytes: int


Found = StoredObject | Arriving | OnDisk


class ObjectReader:
    """``gone`` is told which objects are no longer kept in memory."""

    def __init__(
        self,
        blobs: BlobStore,
        threads: Executor,
        metrics: OriginMetrics,
        *,
        cache_bytes: int,
        queue: int,
        disk: DiskCache | None = None,
        gone: Callable[[str], None] = lambda _: None,
    ):
        self._blobs = blobs
        self._threads = threads
        self._metrics = metrics
        self._cache: ByteCache[StoredObject] = ByteCache(cache_bytes, evicted=gone)
        self._queue = queue
        self._disk = disk
        self._absent: dict[str, float] = {}
        self._verified: OrderedDict[str, float] = OrderedDict()
        """When an object was last read from the disk cache; its bytes are right, then."""
        self._opening: dict[str, asyncio.Task[Found]] = {}
        self._arriving: dict[str, Arriving] = {}

    async def open(self, key: str) -> Found:
        """The object, its file, or what is there of it while the rest comes. Raises `NotFound` or `Unavailable`."""
        kept = self._cache.get(key)
        if kept is not None:
            self._metrics.count("cache_hits")
            return kept
        self._metrics.count("cache_misses")
        if self._absent.get(key, 0.0) > time.monotonic():
            raise NotFound("There is no such object.", key=key)
        under_way = self._arriving.get(key)
        if under_way is not None:
            return under_way
        opening = self._opening.get(key)
        if opening is None:
            if len(self._opening) + len(self._arriving) >= self._queue:
                raise Overloaded(retry_after_s=1)
            opening = asyncio.ensure_future(self._begin(key))
            self._opening[key] = opening
            opening.add_done_callback(lambda done: self._opened(key, done))
        return await asyncio.shield(opening)  # it goes on when we are cancelled: others may wait

    async def read(self, key: str) -> StoredObject:
        """The whole object. Raises `NotFound` or `Unavailable`."""
        found = await self.open(key)
        if isinstance(found, OnDisk):
            try:
                body = await self.read_file(found, 0, found.size_bytes)
            except OSError:  # it left the disk cache just now, so it comes from the store
                found = await self.open(key)
            else:
                return prepared(key, body)
        if isinstance(found, StoredObject):
            return found
        if isinstance(found, OnDisk):
            raise StoreUnavailable("The disk cache gives out what it does not have.", key=key)
        async for _ in found.read(found.size_bytes - 1, found.size_bytes):
            pass
        return self._cache.get(key) or prepared(key, found.body)

    async def read_file(self, found: OnDisk, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)`` of an object on disk. Raises `OSError` where its file is gone."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _slice, found.path, start, stop)

    def held(self, key: str) -> bool:
        """Whether the object is kept in memory."""
        return key in self._cache

    def _opened(self, key: str, done: asyncio.Task[Found]) -> None:
        del self._opening[key]
        if not done.cancelled():
            done.exception()  # seen: it is not a lost error if everybody who waited is gone

    async def _begin(self, key: str) -> Found:
        loop = asyncio.get_running_loop()
        if self._disk is not None:
            found = await loop.run_in_executor(self._threads, self._from_disk, self._disk, key)
            if found is not None:
                self._metrics.count("disk_hits")
                self._remember_verified(key)
                if isinstance(found, StoredObject):
                    self._keep(key, found)
                return found
        opened: asyncio.Future[Found] = loop.create_future()
        work = loop.run_in_executor(self._threads, self._fetch, key, loop, opened)
        # Errors reach whoever waits through `opened` or `Arriving`; what is left is a bug, and is not to be lost.
        work.add_done_callback(lambda done: done.cancelled() or done.result())
        try:
            return await opened
        except NotFound:
            self._remember_absent(key)
            raise

    def _fetch(self, key: str, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[Found]) -> None:
        """In a thread: read the object, and hand it to the loop piece by piece."""
        began = time.perf_counter()
        try:
            size_bytes, stream = self._open(key)
        except Exception as error:
            loop.call_soon_threadsafe(_fail, opened, error)
            return
        if size_bytes <= _FIRST_PIECE_BYTES:
            self._fetch_small(key, size_bytes, stream, loop, opened)
            return
        arriving = Arriving(key, size_bytes)
        loop.call_soon_threadsafe(self._set_out, arriving, opened)
        digest = hashlib.sha256()
        pieces: list[bytes] = []
        try:
            with stream:
                wanted = _FIRST_PIECE_BYTES
                left = size_bytes
                while left > 0:
                    piece = stream.read(min(wanted, left))
                    if not piece:
                        raise StoreUnavailable("The object store ended an object early.", key=key)
                    left -= len(piece)
                    digest.update(piece)
                    if left == 0:
                        _check_digest(
                            key, digest.hexdigest()
                        )  # before the last piece: nobody gets a damaged object whole
                    pieces.append(piece)
                    loop.call_soon_threadsafe(arriving.feed, piece)
                    wanted = _PIECE_BYTES
        except Exception as error:
            loop.call_soon_threadsafe(self._lost, arriving, error)
            return
        stored = prepared(key, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        loop.call_soon_threadsafe(self._landed, arriving, stored, time.perf_counter() - began)
        if self._disk is not None:
            self._write_to_disk(self._disk, key, stored.plain.body)

    def _fetch_small(
        self,
        key: str,
        size_bytes: int,
        stream: BinaryIO,
        loop: asyncio.AbstractEventLoop,
        opened: asyncio.Future[Found],
    ) -> None:
        """All of it at once: then what is wrong with it can still be answered in words."""
        began = time.perf_counter()
        try:
            with stream:
                body = stream.read()
            if len(body) != size_bytes:
                raise StoreUnavailable("The object store ended an object early.", key=key)
            _check_digest(key, hashlib.sha256(body).hexdigest())
        except Exception as error:
            if isinstance(error, DamagedObject):
                loop.call_soon_threadsafe(self._tell_damage, key)
            loop.call_soon_threadsafe(_fail, opened, error)
            return
        stored = prepared(key, body)
        loop.call_soon_threadsafe(self._landed_small, key, stored, time.perf_counter() - began, opened)
        if self._disk is not None:
            self._write_to_disk(self._disk, key, body)

    def _landed_small(self, key: str, stored: StoredObject, seconds: float, opened: asyncio.Future[Found]) -> None:
        self._metrics.store_read(seconds, len(stored.plain.body))
        self._keep(key, stored)
        opened.set_result(stored)

    def _tell_damage(self, key: str) -> None:
        self._metrics.count("damaged_objects")
        log.error("object_damaged", key=key)

    def _open(self, key: str) -> tuple[int, BinaryIO]:
        assert isinstance(self._blobs, StreamingReads)  # every adapter of ours is
        return self._blobs.open_sized(key)

    def _set_out(self, arriving: Arriving, opened: asyncio.Future[Found]) -> None:
        self._arriving[arriving.key] = arriving
        opened.set_result(arriving)

    def _landed(self, arriving: Arriving, stored: StoredObject, seconds: float) -> None:
        del self._arriving[arriving.key]
        self._metrics.store_read(seconds, arriving.size_bytes)
        self._keep(arriving.key, stored)

    def _lost(self, arriving: Arriving, error: Exception) -> None:
        del self._arriving[arriving.key]
        if isinstance(error, DamagedObject):
            self._tell_damage(arriving.key)
        arriving.fail(error)

    def _keep(self, key: str, stored: StoredObject) -> None:
        self._cache.put(key, stored, stored.size_bytes)
        self._metrics.gauge("cache_bytes", self._cache.held_bytes)

    def _from_disk(self, disk: DiskCache, key: str) -> StoredObject | OnDisk | None:
        try:
            path = disk.find(key)
            if path is None:
                return None
            before = self._verified.get(key)
            if before is not None and time.monotonic() - before > _LUKEWARM_S:
                return OnDisk(key, path, path.stat().st_size)
            body = path.read_bytes()
        except OSError:
            return None
        try:
            _check_digest(key, hashlib.sha256(body).hexdigest())
        except DamagedObject:
            log.warning("disk_cache_entry_damaged", key=key)
            disk.forget(key)
            return None
        return prepared(key, body)

    def _write_to_disk(self, disk: DiskCache, key: str, body: bytes) -> None:
        try:
            disk.put(key, body)
        except OSError as error:
            log.warning("disk_cache_not_written", key=key, reason=str(error))
        self._metrics.gauge("disk_bytes", disk.held_bytes)

    def _remember_verified(self, key: str) -> None:
        self._verified[key] = time.monotonic()
        self._verified.move_to_end(key)
        if len(self._verified) > 100_000:
            self._verified.popitem(last=False)

    def _remember_absent(self, key: str) -> None:
        if len(self._absent) >= 10_000:
            self._absent.clear()  # somebody guesses names; forgetting costs a question to the store each
        self._absent[key] = time.monotonic() + _ABSENT_TTL_S


class DamagedObject(Unavailable):
    """What the store holds of this is not what was stored."""

    code = "object_damaged"


def _slice(path: Path, start: int, stop: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(stop - start)


def _fail(opened: asyncio.Future[Found], error: Exception) -> None:
    opened.set_exception(error)


def _check_digest(key: str, digest: str) -> None:
    match = _HASHED.search(key)
    if match is not None and not digest.startswith(match[1]) and not _SPRITE.search(key):
        raise DamagedObject(key=key)


def prepared(key: str, body: bytes) -> StoredObject:
    """``body`` in the forms in which the object under ``key`` is sent. Apple wants playlists compressed with gzip (HLS
    authoring specification, 10.1), browsers take what is smaller; doing it once per object makes that free."""
    plain = Representation(body, etag_of(key, body))
    if not key.endswith(_COMPRESSED_SUFFIXES):
        return StoredObject(plain)
    coded = [(coding, compress(body)) for coding, compress in _COMPRESSORS.items()]
    smaller = sorted((len(small), coding, small) for coding, small in coded if len(small) < len(body))
    return StoredObject(
        plain, {coding: Representation(small, f'{plain.etag[:-1]}-{coding}"') for _, coding, small in smaller}
    )


def _brotli(body: bytes) -> bytes:
    compressed: bytes = brotli.compress(body, mode=brotli.MODE_TEXT, quality=9 if len(body) < _LONG_TEXT_BYTES else 5)
    return compressed


# The same bytes on every replica: no times in them.
_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, 6, mtime=0),
    "br": _brotli,
    "zstd": lambda body: zstandard.ZstdCompressor(level=9 if len(body) < _LONG_TEXT_BYTES else 3).compress(body),
}


def etag_of(key: str, body: bytes | None = None) -> str:
    """The strong tag of the object under ``key``. Most names carry the hash of their bytes, so that the tag is known
    before they are; else it takes ``body``."""
    match = _HASHED.search(key)
    if match is not None:
        return f'"{match[1]}"'
    assert body is not None, f"the tag of {key} needs its bytes"
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def content_type_in_asset(name: str) -> str:
    """The media type of an object that only its name describes. Audio renditions are named ``audio…``."""
    kind = content_type_of(name)
    return "audio/mp4" if kind == "video/mp4" and name.startswith("audio") else kind
