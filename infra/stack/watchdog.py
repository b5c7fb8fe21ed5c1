"""Ends the stack's processes if `fishladder up` dies without saying so.

Run as a program of its own: ``python watchdog.py RECORD`` with the read end of a pipe as standard input. Only `up` holds the
other end, so its death, of whatever kind, is an end of file here. What is then still recorded is killed, with all that it
started. Standard library only, and no import of ours: it must work when everything else does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path


def start_time(pid: int) -> str | None:
    """When ``pid`` started, in the kernel's ticks: tells a process from a later one by the same number. None: it is gone
    (or a zombie). ``?`` where there is no /proc to ask."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return "?"
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def descendants(roots: set[int]) -> set[int]:
    """``roots`` and all that they started, as far as /proc tells."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue  # gone meanwhile
        children.setdefault(parent, []).append(int(entry.parent.name))
    found: set[int] = set()
    queue = list(roots)
    while queue:
        pid = queue.pop()
        if pid not in found:
            found.add(pid)
            queue += children.get(pid, [])
    return found


def recorded(record: Path) -> dict[str, int]:
    """Name → process id of what the record lists and still runs."""
    try:
        entries = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    return {entry["name"]: entry["pid"] for entry in entries if start_time(entry["pid"]) == entry["started"]}


def kill_all(record: Path, *, rounds: int = 20) -> dict[str, int]:
    """Kill what ``record`` lists, their process groups and descendants, until nothing of it runs. What was found."""
    first = recorded(record)
    left = set(first.values())
    for _ in range(rounds):
        if not left:
            break
        left = descendants(left)
        for pid in left:
            with contextlib.suppress(OSError):  # gone, or not the leader of a group
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        left = {pid for pid in left if start_time(pid) is not None}
    return first


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    kill_all(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
