"""Starting a process so that it can be stopped as a whole and can never be left behind.

Each child leads a session of its own: Ctrl-C in the terminal reaches `up` alone, which then drains in order, and a signal
to the child's group reaches all that it started. Two nets catch orphans: the watchdog, and the record that the next start
reads. The kernel's parent-death signal is not used here: it would end a child before the watchdog has seen what that child
started in sessions of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from infra.stack import watchdog
from infra.stack.state import StateDir, write_private

LOG_LIMIT_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How to start a child. ``env`` is added to ours; a value of None removes a variable. ``log`` None: it writes to where
    we write."""

    argv: tuple[str, ...]
    env: dict[str, str | None]
    log: Path | None


class Child:
    """A running process and its group."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.process = process
        self.started = watchdog.start_time(process.pid)

    @property
    def pid(self) -> int:
        return self.process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def signal(self, number: signal.Signals) -> None:
        """To the child alone: it passes on what its own children should know."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        """To all of its group, and what left the group but not the family."""
        family = watchdog.descendants({self.pid}) if self.exit_code() is None else set()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in family - {self.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def sweep_group(self) -> None:
        """After the child ended by itself: whatever it left in its group ends too."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class Nursery:
    """Starts children, records them, and stands in for them with the watchdog."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._children: dict[int, Child] = {}
        self._pipe: int | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def open(self) -> dict[str, int]:
        """End what an earlier run left behind (name → process id, to be told), then start the watchdog."""
        left = watchdog.kill_all(self._state.running)
        self._record()
        read_end, self._pipe = os.pipe()
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", watchdog.__file__, str(self._state.running)],
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_end)
        return left

    def start(self, name: str, command: Command) -> Child:
        env = dict(os.environ)
        for key, value in command.env.items():
            env.pop(key, None)
            if value is not None:
                env[key] = value
        with _opened(command.log) as log:
            process = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT if log is not None else None,
                env=env,
                start_new_session=True,
            )
        child = Child(name, process)
        self._children[child.pid] = child
        self._record()
        return child

    def forget(self, child: Child) -> None:
        """``child`` ended and was waited for."""
        self._children.pop(child.pid, None)
        self._record()

    def close(self) -> None:
        """Kill what still runs and dismiss the watchdog."""
        for child in tuple(self._children.values()):
            child.kill()
            self.forget(child)
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        if self._watchdog is not None:
            self._watchdog.wait()
            self._watchdog = None

    def _record(self) -> None:
        entries = [{"name": c.name, "pid": c.pid, "started": c.started} for c in self._children.values()]
        write_private(self._state.running, json.dumps(entries))


@contextlib.contextmanager
def _opened(log: Path | None) -> Iterator[BinaryIO | None]:
    if log is None:
        yield None
        return
    rotate(log)
    with log.open("ab") as file:
        yield file


def rotate(log: Path | None, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
    """Move the content of a grown ``log`` to ``log.1``. By copying: its writer holds it open, in append mode."""
    if log is None or not log.exists() or log.stat().st_size <= limit_bytes:
        return
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def tail(log: Path | None, lines: int = 12, limit_bytes: int = 16 * 1024) -> str:
    """The last ``lines`` of ``log``."""
    if log is None:
        return ""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - limit_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
