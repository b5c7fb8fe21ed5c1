"""A local copy of an object that holds only what was asked for so far; the rest of the file are holes.

What it holds stands in a small file beside it. That is written after the bytes, and counts for the running system only:
after a power failure nobody knows which bytes reached the disk.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from storage.blobs import BlobStore
from storage.errors import StoreUnavailable
from storage.media.mp4_index import ByteRange
from workers.planning.reads import merged, missing, size_of

PIECE_BYTES = 4 * 1024 * 1024
PARALLEL_READS = 8
PASSING_READS = 4
LARGEST_INDEX_BYTES = 256 * 1024 * 1024
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class SparseCopy:
    """The copy at ``path`` of the object ``key``, ``size`` bytes long. One caller at a time: whoever uses it sees to that."""

    def __init__(self, blobs: BlobStore, key: str, path: Path, size: int) -> None:
        self._blobs, self._key, self._path, self._size = blobs, key, path, size
        self.have = self._recalled()
        self.read_bytes = 0
        """How many bytes were fetched through this value."""
        self._peeked: list[ByteRange] = []

    @property
    def noted(self) -> Path:
        return note_of(self._path)

    def ensure(self, *ranges: ByteRange) -> None:
        """Fetch what of ``ranges`` is not here yet. Raises what the store raises; what came before stays."""
        if self._peeked:
            self.have, self._peeked = merged([*self.have, *self._peeked]), []
            self._note()
        inside = merged((start, min(stop, self._size)) for start, stop in ranges)
        gone = missing(inside, self.have)
        if gone:
            self.fetch(gone)
            self.add(gone)

    def fetch(self, gone: tuple[ByteRange, ...]) -> None:
        """Fetch ``gone``, and say nothing of it. Several may do so at once: they write the same bytes."""
        pieces = [(at, min(at + PIECE_BYTES, stop)) for start, stop in gone for at in range(start, stop, PIECE_BYTES)]
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.truncate(descriptor, self._size)

            def fetch(piece: ByteRange) -> None:
                data = self._blobs.get_range(self._key, *piece)
                if len(data) != piece[1] - piece[0]:
                    raise StoreUnavailable("The store gave less of an object than it has.", key=self._key)
                os.pwrite(descriptor, data, piece[0])

            if len(pieces) == 1:
                fetch(pieces[0])
            else:
                with ThreadPoolExecutor(min(PARALLEL_READS, len(pieces)), thread_name_prefix="read") as pool:
                    list(pool.map(fetch, pieces))
        finally:
            os.close(descriptor)
        self.read_bytes += size_of(gone)

    def add(self, fetched: tuple[ByteRange, ...]) -> None:
        """From here on, ``fetched`` is here."""
        self.have = merged([*self.have, *fetched])
        self._note()

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)``, fetched if need be."""
        self.ensure((start, stop))
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(min(stop, self._size) - start)

    def peek(self, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)``, for a walk of many small steps, each to where no other was: what it fetches counts as
        here from the next `ensure` on."""
        stop = min(stop, self._size)
        at = bisect_right(self.have, (start, self._size)) - 1
        if at >= 0 and self.have[at][1] >= stop:
            with self._path.open("rb") as file:
                return os.pread(file.fileno(), stop - start, start)
        data = self._blobs.get_range(self._key, start, stop)
        if len(data) != stop - start:
            raise StoreUnavailable("The store gave less of an object than it has.", key=self._key)
        with self._path.open("r+b") as file:
            os.pwrite(file.fileno(), data, start)
        self._peeked.append((start, stop))
        self.read_bytes += len(data)
        return data

    def passing(self, start: int, stop: int) -> Iterator[bytes]:
        """Bytes ``[start, stop)`` one after the other, some asked for ahead, and none kept. Raises what the store raises."""
        places = iter(range(start, stop, PIECE_BYTES))
        with ThreadPoolExecutor(PASSING_READS, thread_name_prefix="pass") as pool:

            def asked(at: int) -> Future[bytes]:
                return pool.submit(self._blobs.get_range, self._key, at, min(at + PIECE_BYTES, stop))

            coming = deque((at, asked(at)) for at in islice(places, PASSING_READS))
            try:
                while coming:
                    at, answer = coming.popleft()
                    data = answer.result()
                    if len(data) != min(at + PIECE_BYTES, stop) - at:
                        raise StoreUnavailable("The store gave less of an object than it has.", key=self._key)
                    self.read_bytes += len(data)
                    coming.extend((at, asked(at)) for at in islice(places, 1))
                    yield data
            finally:
                for _, answer in coming:
                    answer.cancel()

    def _recalled(self) -> tuple[ByteRange, ...]:
        try:
            note = json.loads(self.noted.read_text())
        except (FileNotFoundError, ValueError):
            return ()
        if note["boot"] != _boot() or note["size"] != self._size or not self._path.exists():
            return ()
        return tuple((start, stop) for start, stop in note["ranges"])

    def _note(self) -> None:
        fresh = self.noted.with_suffix(".new")
        fresh.write_text(json.dumps({"boot": _boot(), "size": self._size, "ranges": self.have}))
        fresh.rename(self.noted)


def frames_note_of(path: Path) -> Path:
    """Where it stands which frames the file has that the copy at ``path`` is of, if they were counted."""
    return path.with_suffix(".frames")


def note_of(path: Path) -> Path:
    """Where it stands what the copy at ``path`` holds."""
    return path.with_suffix(".ranges")


def _boot() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else ""
