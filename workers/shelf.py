"""The folder of local copies, shared by the processes of a machine: who may work on which, and what is removed for another.

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
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from storage.errors import NoRoom
from workers.sparse import frames_note_of, note_of

log = structlog.get_logger(__name__)

KEPT = 8
"""How many copies a process holds on to: more than it works on at once."""
_GATES = 64  # downloads of different sources rarely meet at one gate, and the folder holds no lock file per video


class Shelf:
    """Copies below ``root``; together up to ``max_bytes`` where that can be had."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self._max_bytes = max_bytes
        self._held: OrderedDict[Path, int] = OrderedDict()  # descriptors with a shared lock
        self._mutex = threading.Lock()

    def close(self) -> None:
        """Let go of all copies."""
        with self._mutex:
            for descriptor in self._held.values():
                os.close(descriptor)
            self._held.clear()

    @contextmanager
    def gate(self, name: str | None, of: str = "part") -> Iterator[None]:
        """Alone with the copy ``of`` what is called ``name`` (None: with the folder of downloads), among all processes of
        this machine."""
        self.root.mkdir(parents=True, exist_ok=True)
        number = f"{of}-{int(name[:8], 16) % _GATES:02d}" if name else "loading"
        gate = os.open(self.root / f"gate-{number}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
        finally:
            os.close(gate)

    def hold(self, path: Path) -> bool:
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

    def make_room(self, size: int) -> None:
        """Remove what was not wanted for longest, until ``size`` fits into the folder and onto the disk. Raises `NoRoom`."""
        copies = sorted([*self.root.glob("*.source"), *self.root.glob("*.sparse")], key=_last_wanted)
        total = sum(_size(copy) for copy in copies)
        for copy in copies:
            if total + size <= self._max_bytes and size <= free_bytes(self.root):
                return
            freed = _size(copy)
            if _removed_if_unused(copy):
                log.info("source_dropped", file=copy.name, size_bytes=freed)
                total -= freed
        if size > free_bytes(self.root):
            raise NoRoom("There is not enough disk for a copy of the source.", needed_bytes=size)


def name_of(key: str) -> str:
    """What copies of the object ``key`` are called."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


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
        note_of(path).unlink(missing_ok=True)
        frames_note_of(path).unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _size(path: Path) -> int:
    """What the copy takes up: the holes of a part take nothing."""
    with suppress(FileNotFoundError):
        seen = path.stat()
        return min(seen.st_size, seen.st_blocks * 512) if path.suffix == ".sparse" else seen.st_size
    return 0


def _last_wanted(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0
