"""Files that are there whole or not at all: written beside or near their place, then renamed into it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_whole(path: Path, *, scratch: Path | None = None, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write, which becomes ``path`` when the block ends well and vanishes when it does not.

    ``scratch``: the folder it lives in until then, on the same filesystem (default: where ``path`` is). ``durable``:
    bytes and name have reached the disk before this returns.
    """
    folder = scratch if scratch is not None else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{secrets.token_hex(12)}.partial"
    try:
        with temporary.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        move_into_place(temporary, path, durable=durable)
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(temporary: Path, path: Path, *, durable: bool) -> None:
    """Rename ``temporary`` to ``path``, replacing what is there. Makes the folders on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.replace(path)
    except FileNotFoundError:
        # A deletion of the whole prefix took the folder away between the two calls above; once is enough to outrun it.
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut, which syncing a file alone does not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
