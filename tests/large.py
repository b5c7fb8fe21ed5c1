"""Small files treated as large ones are: read in parts and as streams, from a store that is no folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from storage.blobs.memory import MemoryBlobs
from storage.media.mp4_index import ByteRange
from workers import sources
from workers.planning.reads import Reads, size_of
from workers.steps import inspect

END_BYTES = 4 * 1024
BEGINNING_PERCENTS = (5, 45)
"""The first is too short to hold what plays first of forty seconds, the second is not."""


def as_if_large(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, a file of ``size`` bytes counts as large."""
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    monkeypatch.setattr(sources, "END_BYTES", END_BYTES)
    beginnings = (Reads(first_bytes=size * percent // 100) for percent in BEGINNING_PERCENTS)
    monkeypatch.setattr(inspect, "BEGINNINGS", tuple(beginnings))


class Ranges(MemoryBlobs):
    """Remembers what was read of it. ``whole``: whether an object may be had in one go."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self.given: list[ByteRange] = []
        self.downloads = 0
        self._whole = whole
        self._noting = threading.Lock()

    @property
    def read_bytes(self) -> int:
        """What was given in ranges, as often as it was."""
        return size_of(self.given)

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        data = super().get_range(key, start, stop)
        with self._noting:
            self.given.append((start, start + len(data)))
        return data

    def download(self, key: str, path: Path) -> None:
        if not self._whole:
            raise AssertionError("all of it was asked for")
        self.downloads += 1
        super().download(key, path)
