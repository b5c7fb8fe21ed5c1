"""A folder of its own for every job: empty at the start, gone at the end, also when its process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


@contextmanager
def scratch_folder(root: Path, name: str) -> Iterator[Path]:
    """An empty folder below ``root``, removed at the end. It stays locked while in use, so that `clear_abandoned` can
    tell it from one whose process is dead."""
    root.mkdir(parents=True, exist_ok=True)
    folder = root / name
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned(root: Path) -> int:
    """Remove the folders below ``root`` that no living process has locked; how many. For the start of a worker."""
    if not root.is_dir():
        return 0
    removed = 0
    for folder in root.iterdir():
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # its own process was faster
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
        finally:
            os.close(descriptor)
    if removed:
        log.info("abandoned_scratch_removed", folders=removed)
    return removed
