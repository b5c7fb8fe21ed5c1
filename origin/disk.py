"""The second tier: objects in a folder, bounded in bytes, shared by the processes of one machine.

Files appear whole (written beside, then renamed) and carry the hash of their key as a name. The clock of a file is its
last use; who writes the bytes that exceed the bound deletes the longest unused. All calls block.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

# A file this fresh may be about to be sent by its path, so it stays: what is written meanwhile may exceed the bound.
_USED_JUST_NOW_S = 10.0
_SWEEP_SHARE = 64  # the folder is looked through after every 64th of its capacity


class DiskCache:
    def __init__(self, folder: Path, capacity_bytes: int):
        self._folder = folder
        self._capacity_bytes = capacity_bytes
        self._written_bytes = capacity_bytes  # unknown what is there: look at the first chance
        self.held_bytes = 0
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, key: str) -> Path | None:
        """The object's file, marked as used just now."""
        path = self._path(key)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def put(self, key: str, body: bytes) -> None:
        """Keep ``body``. A disk that is full costs the entry, not the answer."""
        if len(body) > self._capacity_bytes:
            return
        path = self._path(key)
        beside = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(exist_ok=True)
            beside.write_bytes(body)
            beside.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        self._written_bytes += len(body)
        if self._written_bytes * _SWEEP_SHARE >= self._capacity_bytes:
            self.sweep()

    def forget(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Bring the folder below its bound; nothing if another process is at it."""
        with (self._folder / "sweeping").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            files = sorted(self._files())
            held = sum(size for _, size, _ in files)
            # Below the bound by what may be written until the next sweep.
            goal = self._capacity_bytes - self._capacity_bytes // _SWEEP_SHARE
            fresh = time.time() - _USED_JUST_NOW_S
            for used_at, size, path in files:
                if held <= goal or used_at > fresh:
                    break
                path.unlink(missing_ok=True)
                held -= size
            self.held_bytes = held
            self._written_bytes = 0

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(last use, size, path) of every file; those that a process left half written a while ago go at once."""
        for shelf in self._folder.iterdir():
            if not shelf.is_dir():
                continue
            for path in shelf.iterdir():
                try:
                    facts = path.stat()
                except FileNotFoundError:
                    continue
                if path.suffix == ".part" and facts.st_mtime < time.time() - 600:
                    path.unlink(missing_ok=True)
                    continue
                yield facts.st_mtime, facts.st_size, path

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / name[:2] / name
