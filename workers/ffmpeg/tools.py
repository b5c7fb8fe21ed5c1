"""The tools of a machine and what they may use: values, shared by everything that builds or runs a command."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from workers.ffmpeg.hardware import Hardware


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The tools of this machine, found once at start-up. ``bwrap`` None: no sandbox here, the next best limits apply.
    ``ffmpeg_version`` goes into every rendition's fingerprint. ``runtime``: folders that ``python`` needs to see.
    ``filters``: what this build of ffmpeg can do. ``hardware``: the graphics hardware of this machine, if it was tried."""

    ffmpeg: Path
    ffmpeg_version: str
    bwrap: Path | None = None
    python: Path = field(default_factory=lambda: Path("python3"))
    setpriv: Path | None = None
    runtime: tuple[Path, ...] = ()
    filters: frozenset[str] = frozenset()
    hardware: Hardware | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tool may use before it is stopped."""

    wall_s: float = 3600.0
    cpu_s: int = 7200
    memory_bytes: int | None = 6 * 1024**3  # address space; None: drivers of graphics cards reserve terabytes of it
    hardware: bool = False  # it sees the graphics cards
    output_bytes: int = 8 * 1024**3  # per file
    open_files: int = 256
