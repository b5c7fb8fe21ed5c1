"""Counters in memory that all processes of an origin share, so that whichever of them is asked for `/metrics` tells of all.

Counting is adding to a number in a mapped file; nothing is locked, as every process has a file of its own. A process that
ends leaves its file behind, and the next one takes it over: what was counted stays counted.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

_WORD = 8


class Tally:
    """``size`` counters, all zero at first; ``gauges`` are the indexes of those that a new process starts from zero.
    Without a folder they are this process's alone."""

    def __init__(self, size: int, folder: Path | None = None, *, gauges: Sequence[int] = ()):
        self._size = size
        self._folder = folder
        self._file: int | None = None
        self._map: mmap.mmap | None = None
        if folder is not None:
            self._file, self._map = self._open(folder)
        self.counts = memoryview(self._map if self._map is not None else bytearray(size * _WORD)).cast("Q")
        """Add to it: ``tally.counts[index] += 1``."""
        for index in gauges:
            self.counts[index] = 0

    def totals(self) -> list[int]:
        """The sums over all processes, dead ones included."""
        if self._folder is None:
            return list(self.counts)
        sums = [0] * self._size
        for path in sorted(self._folder.glob("tally-*")):
            content = path.read_bytes()
            if len(content) == self._size * _WORD:
                sums = [known + more for known, more in zip(sums, memoryview(content).cast("Q"), strict=True)]
        return sums

    def close(self) -> None:
        self.counts.release()
        if self._map is not None:
            self._map.close()
        if self._file is not None:
            os.close(self._file)

    def _open(self, folder: Path) -> tuple[int, mmap.mmap]:
        """The first file that no living process holds."""
        number = 0
        while True:
            file = os.open(folder / f"tally-{number}", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                number += 1
                continue
            os.ftruncate(file, self._size * _WORD)
            return file, mmap.mmap(file, self._size * _WORD)
