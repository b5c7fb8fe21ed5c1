"""Running tools: the one place in `workers` that starts processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import FishladderError


class Interrupted(FishladderError):
    """The work was stopped from outside: the lease was lost, or the worker drains."""

    code = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The tools of this machine, found once at start-up. ``bwrap`` None: no sandbox here, the next best limits apply.
    ``ffmpeg_version`` goes into every rendition's fingerprint."""

    ffmpeg: Path
    ffmpeg_version: str
    bwrap: Path | None = None
    python: Path = field(default_factory=lambda: Path("python3"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tool may use before it is stopped."""

    wall_s: float = 3600.0
    cpu_s: int = 7200
    memory_bytes: int = 6 * 1024**3
    output_bytes: int = 8 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """How a tool ended. ``cpu_ms``: user + system of the tool and its children."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr_tail: str
    cpu_ms: int
    wall_ms: int
    max_rss_bytes: int


def find_tools(ffmpeg: Path | None = None) -> Tools:
    """Setting, then wheel, then PATH. Raises `storage.errors.Unavailable` naming what is missing."""
    raise NotImplementedError


def run_tool(
    argv: list[str],
    *,
    tools: Tools,
    scratch: Path,
    reads: tuple[Path, ...] = (),
    limits: Limits | None = None,
    stop: threading.Event | None = None,
    on_line: Callable[[str], None] | None = None,
    nice: bool = False,
    check: bool = True,
) -> ToolRun:
    """Run ``argv`` sandboxed, in ``scratch`` (the only writable place), with ``reads`` visible read-only.

    The tool gets its own process group and dies with this process, when ``stop`` is set (`Interrupted`) and at its
    limits (`ToolTimedOut`, `ToolCrashed`). ``on_line`` gets each line of standard output (``-progress pipe:1``).
    With ``check`` a non-zero exit raises `ToolFailed` with the tail of standard error.
    """
    raise NotImplementedError
