"""The cage around a tool, as an argument list: pure, nothing is run here.

A video file is code that its decoder interprets. So a tool sees its own program, the files it was given and one
folder to write to; no network, no other process, no credentials, no home. ``bwrap`` builds that from user namespaces,
as root and as an ordinary user. Where there is none, resource limits and a clean environment remain.
"""

from __future__ import annotations

from pathlib import Path

from workers.ffmpeg.tools import Limits, Tools

# What a dynamically linked program needs to start. Present or not, link or folder: that differs between distributions.
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache")

# Graphics cards, for the tools that are meant to use one: a weaker cage, as drivers run in the kernel.
NVIDIA = (
    "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset",
    *(f"/dev/nvidia{number}" for number in range(8)),
)  # fmt: skip
RENDER_NODES = "/dev/dri"
DEVICE_FACTS = ("/sys/dev/char", "/sys/devices", "/sys/class/drm")

NOBODY = "65534"
TMP_BYTES = 64 * 1024**2  # it lives in memory


def environment(scratch: Path) -> dict[str, str]:
    """All that a tool may know of its surroundings."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        # glibc reserves 64 MiB of address space per arena, and eight arenas per core: that alone would fill the limit.
        "MALLOC_ARENA_MAX": "4",
    }


def sandboxed(argv: list[str], tools: Tools, scratch: Path, reads: tuple[Path, ...], limits: Limits) -> list[str]:
    """``argv`` inside the best cage that this machine has: ``scratch`` writable, ``reads`` visible read-only."""
    if tools.bwrap is not None:
        # The shell stays: as process 1 of the cage, the tool itself could not be killed by its own limits.
        return [*_bwrap(tools, scratch, reads, limits), "--", *_limited(argv, limits, last='"$@"; exit $?')]
    # The shell becomes the tool: what setpriv asks for outlives exec, but children do not inherit it.
    dies_with_parent = [str(tools.setpriv), "--pdeathsig", "KILL", "--"] if tools.setpriv else []
    return [*dies_with_parent, *_limited(argv, limits, last='exec "$@"')]


def _bwrap(tools: Tools, scratch: Path, reads: tuple[Path, ...], limits: Limits) -> list[str]:
    # fmt: off
    argv = [
        str(tools.bwrap),
        "--unshare-all",  # no network, no view of other processes
        "--die-with-parent",  # SIGKILL of the worker must not leave an encoder behind
        # No `--new-session`: the tool was started in one of its own already, without a terminal, and CPU shares are set
        # for that session.
        "--as-pid-1",  # the shell below waits for the tool itself, so that its CPU time reaches our wait4
        "--uid", NOBODY, "--gid", NOBODY,
        "--cap-drop", "ALL",
        "--dev", "/dev",
        "--size", str(TMP_BYTES), "--tmpfs", "/tmp",  # noqa: S108 - inside the sandbox
        "--chdir", str(scratch),
    ]
    # fmt: on
    for path in SYSTEM:
        argv += ["--ro-bind-try", path, path]
    for seen in (tools.ffmpeg, *tools.runtime):
        argv += ["--ro-bind", str(seen), str(seen)]
    argv += ["--bind", str(scratch), str(scratch)]
    for read in reads:
        argv += ["--ro-bind", str(read.absolute()), str(read.absolute())]
    if limits.hardware:
        for device in (*NVIDIA, RENDER_NODES):
            argv += ["--dev-bind-try", device, device]
        for path in DEVICE_FACTS:
            argv += ["--ro-bind-try", path, path]
    # What bwrap made to hang all this on is memory too.
    return [*argv, "--remount-ro", "/", "--remount-ro", "/dev"]


def _limited(argv: list[str], limits: Limits, *, last: str) -> list[str]:
    """``argv`` under a POSIX shell that sets limits first: every system has one, and it costs 1 ms."""
    script = "; ".join(
        [
            "ulimit -c 0",
            f"ulimit -n {limits.open_files}",
            f"ulimit -f {limits.output_bytes // 512}",
            # Beyond the soft limit SIGXCPU tells what happened; the hard one is for whoever ignores it.
            f"ulimit -S -t {limits.cpu_s}",
            f"ulimit -H -t {limits.cpu_s + 5}",
            # macOS has no such limit.
            *([f"ulimit -v {limits.memory_bytes // 1024} 2>/dev/null"] if limits.memory_bytes is not None else []),
            last,
        ]
    )
    return ["/bin/sh", "-c", script, "sh", *argv]
