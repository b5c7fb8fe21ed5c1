"""Looking for a pattern in a part of a file, window by window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from .writing import Unfit

WINDOW_BYTES = 16 * 1024
FURTHEST_BYTES = 32 * 1024 * 1024
"""Somewhere in so many bytes there is a place to begin at, or this is no such file."""


class Bytes(Protocol):
    size: int

    def read_at(self, start: int, wanted: int) -> bytes: ...


def places_of(file: Bytes, pattern: re.Pattern[bytes], longest: int, start: int, stop: int) -> Iterator[int]:
    """Where in ``[start, stop)`` ``pattern`` begins; it matches at most ``longest`` bytes. Raises `Unfit` when that was looked
    for in `FURTHEST_BYTES` and nobody was content."""
    stop = min(stop, file.size)
    for at in range(start, stop, WINDOW_BYTES):
        if at - start > FURTHEST_BYTES:
            raise Unfit("there is no place to begin at")
        # Matches may reach beyond the window, but begin in it.
        window = file.read_at(at, WINDOW_BYTES + longest - 1)
        for found in pattern.finditer(window):
            if found.start() < WINDOW_BYTES and at + found.start() < stop:
                yield at + found.start()
