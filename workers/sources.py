"""Local copies of sources: one per machine, however many processes work on the video.

A finished copy is locked (shared) by every process that was given it lately, so that making room never takes a file
away from under a tool that is about to open it. Locks are the operating system's: they end with their process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog

from storage.blobs import BlobStore, LocalFiles
from storage.errors import NoRoom
from workers.scratch import clear_abandoned, scratch_folder

log = structlog.get_logger(__name__)

KEPT = 8
"""How many copies a process holds on to: more than it works on at once."""
_GATES = 64  # downloads of different sources rarely meet at one gate, and the folder holds no lock file per video


class SourceCache:
    """Sources of ``blobs``, copied below ``root``; together up to ``max_bytes`` where that can be had. A store whose
    objects are files already is read in place."""

    def __init__(self, blobs: BlobStore, root: Path, max_bytes: int) -> None:
        self._blobs = blobs
        self._root = root
        self._max_bytes = max_bytes
        self._held: OrderedDict[Path, int] = OrderedDict()  # descriptors with a shared lock
        self._mutex = threading.Lock()

    def fetch(self, key: str) -> Path:
        """Path of a local, read-only copy of the object ``key``. One process downloads, others that want it wait.

        Raises `NotFound`, `StoreUnavailable`, and `NoRoom` if the disk is too small for it.
        """
        if isinstance(self._blobs, LocalFiles):
            return self._blobs.local_path(key)
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        path = self._root / f"{name}.source"
        with self._gate(name):
            if not self._hold(path):
                self._download(key, path)
                self._hold(path)
        os.utime(path)  # when it was last wanted
        return path

    def close(self) -> None:
        """Let go of all copies."""
        with self._mutex:
            for descriptor in self._held.values():
                os.close(descriptor)
            self._held.clear()

    @contextmanager
    def _gate(self, name: str | None) -> Iterator[None]:
        """Alone with the copy called ``name`` (None: with the folder of downloads), among all processes of this machine."""
        self._root.mkdir(parents=True, exist_ok=True)
        number = f"{int(name[:8], 16) % _GATES:02d}" if name else "loading"
        gate = os.open(self._root / f"gate-{number}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
        finally:
            os.close(gate)

    def _hold(self, path: Path) -> bool:
        """Lock the copy at ``path`` against being removed; whether there is one."""
        with self._mutex:
            if path in self._held:
                self._held.move_to_end(path)
                return True
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not path.exists():  # it was removed between the two calls
                os.close(descriptor)
                return False
            self._held[path] = descriptor
            while len(self._held) > KEPT:
                os.close(self._held.popitem(last=False)[1])
            return True

    def _download(self, key: str, path: Path) -> None:
        size = self._blobs.head(key).size_bytes
        loading = self._root / "loading"
        with ExitStack() as stack:
            with self._gate(None):  # what killed processes left; and nobody takes our folder for such
                clear_abandoned(loading)
                folder = stack.enter_context(scratch_folder(loading, path.stem))
            self._make_room(size)
            self._blobs.download(key, folder / path.name)
            (folder / path.name).rename(path)
        log.info("source_downloaded", key=key, size_bytes=size)

    def _make_room(self, size: int) -> None:
        """Remove what was not wanted for longest, until ``size`` fits into the cache and onto the disk."""
        copies = sorted(self._root.glob("*.source"), key=_last_wanted)
        total = sum(_size(copy) for copy in copies)
        for copy in copies:
            if total + size <= self._max_bytes and size <= free_bytes(self._root):
                return
            freed = _size(copy)
            if _removed_if_unused(copy):
                log.info("source_dropped", file=copy.name, size_bytes=freed)
                total -= freed
        if size > free_bytes(self._root):
            raise NoRoom("There is not enough disk for a copy of the source.", needed_bytes=size)


def free_bytes(folder: Path) -> int:
    """Room on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


def _removed_if_unused(path: Path) -> bool:
    """Remove ``path`` unless a process holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _last_wanted(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0
