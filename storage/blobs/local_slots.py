"""Parts of a local multipart upload in their places: one file that becomes the object without being copied.

The first part to come fixes the size of all places. Each is written by one call only, ever: whoever finds a place taken
writes a file of its own, so a writer that lost its turn cannot spoil what another one has recorded.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from storage.blobs import Pieces
from storage.errors import Conflict

_COPY_BYTES = 1 << 20
_GATHERED = 512
"""Pieces of one system call; Linux takes 1024."""


class Slots:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"

    @property
    def there(self) -> bool:
        return self._data.exists()

    @cached_property
    def size_bytes(self) -> int | None:
        """Of one place; None: nobody has taken one."""
        try:
            return int((self._folder / "slots").read_text())
        except FileNotFoundError:
            return None

    def start(self, number: int) -> int | None:
        """Where part ``number`` begins, if it is in its place."""
        return None if self.size_bytes is None else (number - 1) * self.size_bytes

    def put(self, number: int, pieces: Pieces, size_bytes: int) -> bool:
        """Write a part to its place, down to the disk; False if that is taken or too small."""
        if not size_bytes or not self._fits(size_bytes) or not self._take(number):
            return False
        descriptor = os.open(self._data, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            _write_at(descriptor, pieces, self.start(number) or 0)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return True

    def holds(self, number: int, pieces: Pieces, size_bytes: int) -> bool:
        """True if the same bytes are in the place of a part, to the end of which somebody has written it."""
        start = self.start(number)
        if start is None or not self._fits(size_bytes):
            return False
        with self._data.open("rb") as data:
            data.seek(start)
            return all(data.read(len(piece)) == piece for piece in pieces)

    def copy(self, number: int, size_bytes: int, to: BinaryIO) -> None:
        """The bytes of a part that is in its place, as the next ones of ``to``."""
        start = self.start(number)
        if start is None:
            raise Conflict(f"Part {number} has another size than was said.")
        with self._data.open("rb") as data:
            data.seek(start)
            left = size_bytes
            while left and (piece := data.read(min(left, _COPY_BYTES))):
                to.write(piece)
                left -= len(piece)
        if left:
            raise Conflict(f"Part {number} has another size than was said.")

    def close(self, size_bytes: int) -> Path:
        """The file, cut to what its parts are together, and safe."""
        with self._data.open("r+b") as data:
            if os.fstat(data.fileno()).st_size < size_bytes:
                raise Conflict("A part has another size than was said.")
            data.truncate(size_bytes)
            os.fsync(data.fileno())
        return self._data

    def _fits(self, size_bytes: int) -> bool:
        if self.size_bytes is None:
            self._fix(size_bytes)
            del self.size_bytes  # read it again: another one may have been first
        return self.size_bytes is not None and size_bytes <= self.size_bytes

    def _fix(self, size_bytes: int) -> None:
        """Whole or not at all, and once: a link fails if the name is there."""
        draft = self._folder / f".{secrets.token_hex(12)}.partial"
        draft.write_text(str(size_bytes))
        try:
            (self._folder / "slots").hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink(missing_ok=True)

    def _take(self, number: int) -> bool:
        try:
            (self._folder / f"taken-{number:05d}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _write_at(descriptor: int, pieces: Pieces, at: int) -> None:
    left = deque(memoryview(piece) for piece in pieces if len(piece))
    while left:
        written = os.pwritev(descriptor, list(islice(left, _GATHERED)), at)
        at += written
        while left and written >= len(left[0]):
            written -= len(left.popleft())
        if written:
            left[0] = left[0][written:]
