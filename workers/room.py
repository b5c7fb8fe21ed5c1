"""Room to work in: a worker that is short of disk or memory claims nothing until there is more, and says so.

Better a job that waits than one that fails half-way, and better one that fails than a machine that kills at random.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is free now. None: this system does not tell."""

    disk_bytes: int | None
    memory_bytes: int | None


def room_at(folder: Path) -> Room:
    """Of the disk that holds ``folder``, and of the memory that this process may take."""
    return Room(disk_bytes=_free_disk(folder), memory_bytes=_free_memory())


def shortage(room: Room, *, min_disk_bytes: int, min_memory_bytes: int) -> str | None:
    """Why nothing should be claimed now, as a sentence; None if there is room. Pure."""
    for what, free, least in (
        ("disk", room.disk_bytes, min_disk_bytes),
        ("memory", room.memory_bytes, min_memory_bytes),
    ):
        if free is not None and free < least:
            return f"Short of {what}: {free // 2**20} MiB are free, {least // 2**20} MiB are the least to work with."
    return None


def _free_disk(folder: Path) -> int | None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _free_memory() -> int | None:
    """The machine's or, if that is less, the container's."""
    amounts = [free for free in (_of_machine(), _of_container()) if free is not None]
    return min(amounts, default=None)


def _of_machine() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def memory_limit() -> int | None:
    """What the container may take (cgroup v2); None: there is no limit, or no telling."""
    try:
        return int((CGROUP / "memory.max").read_text())
    except (OSError, ValueError):
        return None


def _of_container() -> int | None:
    """What is in the page cache could be given back, so it counts as free."""
    limit = memory_limit()
    if limit is None:
        return None
    try:
        used = int((CGROUP / "memory.current").read_text())
        for line in (CGROUP / "memory.stat").read_text().splitlines():
            name, _, amount = line.partition(" ")
            if name == "inactive_file":
                used -= int(amount)
        return max(0, limit - used)
    except (OSError, ValueError):
        return None
