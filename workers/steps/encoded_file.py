"""Reading what an encoder wrote."""

from __future__ import annotations

import mmap
from pathlib import Path

from storage.errors import WrongOutput


def mapped(path: Path) -> mmap.mmap:
    """The file at ``path`` as bytes that are read when they are looked at. Raises `WrongOutput` if there are none."""
    if not path.exists() or path.stat().st_size == 0:
        raise WrongOutput("The encoder wrote nothing.", file=path.name)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
