"""Tools in their cage: what they may see, what stops them, and that nothing of them is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import psutil
import pytest

from storage.errors import ToolCrashed, ToolFailed, ToolTimedOut, Unavailable
from tests.builders import a_source
from tests.media import Pictures, make_film
from tests.steps import a_small_plan
from workers.ffmpeg.command import encode_command
from workers.ffmpeg.process import Interrupted, Limits, Tools, find_tools, run_tool
from workers.ffmpeg.sandbox import sandboxed

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def found() -> Tools:
    return find_tools()


@pytest.fixture(params=["caged", "bare"])
def tools(request: pytest.FixtureRequest, found: Tools) -> Tools:
    """This machine's tools, and as they would be where bubblewrap does not work."""
    if request.param == "bare":
        return replace(found, bwrap=None)
    if found.bwrap is None:
        pytest.skip("bubblewrap does not work here")
    return found


@pytest.fixture
def caged(found: Tools) -> Tools:
    if found.bwrap is None:
        pytest.skip("bubblewrap does not work here")
    return found


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def alive(mark: str) -> list[int]:
    """Processes that have ``mark`` among their arguments, this one's relatives or not."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if mark in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def test_find_tools_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nowhere"):
        find_tools(tmp_path / "nowhere")


def test_find_tools_learns_version_and_filters(found: Tools) -> None:
    assert found.ffmpeg_version
    assert {"fps", "scale", "tpad", "aresample"} <= found.filters


def test_output_usage_and_exit_code_are_reported(tools: Tools, tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo out; echo err >&2; exit 3"

    run = run_tool(["sh", "-c", script], tools=tools, scratch=tmp_path, check=False)

    assert (run.stdout, run.stderr_tail, run.exit_code) == (b"out\n", "err\n", 3)
    assert run.cpu_ms > 20
    assert run.max_rss_bytes > 500_000


def test_a_failure_carries_argv_code_and_stderr(tools: Tools, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed) as failed:
        run_tool(["sh", "-c", "echo why >&2; exit 7"], tools=tools, scratch=tmp_path)
    assert (failed.value.argv[0], failed.value.exit_code, failed.value.stderr_tail) == ("sh", 7, "why\n")


def test_lines_come_as_they_are_written(tools: Tools, tmp_path: Path) -> None:
    lines: list[str] = []
    run = run_tool(["sh", "-c", r"printf 'a\nb'"], tools=tools, scratch=tmp_path, on_line=lines.append)
    assert lines == ["a", "b"]
    assert run.stdout == b""


def test_only_the_tail_of_stderr_is_kept(tools: Tools, tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done"
    run = run_tool(["sh", "-c", script], tools=tools, scratch=tmp_path)
    assert run.stderr_tail.endswith("line 4999\n")
    assert len(run.stderr_tail) == 16 * 1024


def test_a_stop_kills_promptly(tools: Tools, tmp_path: Path) -> None:
    stop, mark = threading.Event(), f"{987_000_000 + os.getpid()}"

    def set_when_running() -> None:
        until(lambda: bool(alive(mark)))
        stop.set()

    watcher = threading.Thread(target=set_when_running)
    watcher.start()
    with pytest.raises(Interrupted):
        run_tool(["sleep", mark], tools=tools, scratch=tmp_path, stop=stop)
    watcher.join()
    until(lambda: not alive(mark))


def test_a_stop_from_before_starts_nothing(tools: Tools, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        run_tool(["touch", str(tmp_path / "started")], tools=tools, scratch=tmp_path, stop=stop)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("script", "limits", "error"),
    [
        ("sleep 60", Limits(wall_s=0.2), ToolTimedOut),
        ("while :; do :; done", Limits(cpu_s=1), ToolTimedOut),
        ("kill -SEGV $$", Limits(), ToolCrashed),
        ("head -c 200000 /dev/zero > file", Limits(output_bytes=100_000), ToolCrashed),
    ],
    ids=["wall", "cpu", "crash", "output"],
)
def test_limits_and_crashes_are_told_apart(
    script: str, limits: Limits, error: type[Exception], tools: Tools, tmp_path: Path
) -> None:
    with pytest.raises(error):
        run_tool(["sh", "-c", f"{script}; exit $?"], tools=tools, scratch=tmp_path, limits=limits)


def test_memory_is_limited(tools: Tools, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed):
        run_tool(
            [str(tools.python), "-c", "bytearray(800_000_000)"],
            tools=tools,
            scratch=tmp_path,
            limits=Limits(memory_bytes=500_000_000),
        )


def test_what_a_tool_started_ends_with_it(tools: Tools, tmp_path: Path) -> None:
    mark = f"{986_000_000 + os.getpid()}"
    run_tool(["sh", "-c", f"sleep {mark} & exit 0"], tools=tools, scratch=tmp_path)
    until(lambda: not alive(mark))


WORKER = """
import sys
from dataclasses import replace
from pathlib import Path
from workers.ffmpeg.process import find_tools, run_tool
tools = find_tools()
if sys.argv[1] == "bare":
    tools = replace(tools, bwrap=None)
run_tool(["sleep", sys.argv[2]], tools=tools, scratch=Path(sys.argv[3]))
"""


@pytest.mark.parametrize("kind", ["caged", "bare"])
def test_kill_9_of_the_worker_leaves_no_tool(kind: str, found: Tools, tmp_path: Path) -> None:
    if kind == "bare" and found.setpriv is None:
        pytest.skip("there is no setpriv here")
    mark = f"{985_000_000 + os.getpid()}"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, kind, mark, str(tmp_path)])
    until(lambda: len(alive(mark)) > 1)  # the worker names it too
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    until(lambda: not alive(mark))


def test_the_cage_shows_the_files_given_and_no_neighbour(caged: Tools, tmp_path: Path) -> None:
    scratch, given, neighbour = tmp_path / "scratch", tmp_path / "given", tmp_path / "neighbour"
    scratch.mkdir()
    given.write_text("given")
    neighbour.write_text("secret")

    run = run_tool(["cat", str(given)], tools=caged, scratch=scratch, reads=(given,))
    assert run.stdout == b"given"
    for hidden in (neighbour, Path("/etc/passwd"), Path(__file__)):
        with pytest.raises(ToolFailed, match="exit code 1") as refused:
            run_tool(["cat", str(hidden)], tools=caged, scratch=scratch, reads=(given,))
        assert "No such file" in refused.value.stderr_tail


def test_the_cage_lets_nobody_write_outside_its_folder(caged: Tools, tmp_path: Path) -> None:
    scratch, given = tmp_path / "scratch", tmp_path / "given"
    scratch.mkdir()
    given.write_text("given")
    for place in (given, Path("/new"), Path("/usr/new"), Path("/dev/new"), caged.ffmpeg):
        with pytest.raises(ToolFailed):
            run_tool(["sh", "-c", f"echo x >> '{place}'"], tools=caged, scratch=scratch, reads=(given,))
    # /tmp is the tool's own, in memory: what it writes there is not where it seems.
    run_tool(["sh", "-c", "echo x > /tmp/new-from-the-cage"], tools=caged, scratch=scratch)
    assert not Path("/tmp/new-from-the-cage").exists()


def test_the_cage_has_no_network_and_no_environment(
    caged: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = (
            "import os, socket\n"
            "print('SECRET_KEY' in os.environ)\n"
            f"try: socket.create_connection(('127.0.0.1', {port}), 2)\n"
            "except OSError: print('refused')\n"
        )
        run = run_tool([str(caged.python), "-c", script], tools=caged, scratch=tmp_path)
    assert run.stdout.split() == [b"False", b"refused"]


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can become somebody else; as anybody else, all tests here are it"
)
def test_the_cage_works_for_an_ordinary_user(caged: Tools, tmp_path: Path) -> None:
    if caged.setpriv is None:
        pytest.skip("there is no setpriv here")
    somebody = [str(caged.setpriv), "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        # Not the Python of this environment, which may lie in root's own folder.
        tools, scratch = replace(caged, runtime=()), Path(folder)
        argv = sandboxed(["sh", "-c", "echo x > written; cat written"], tools, scratch, (), Limits())
        run = subprocess.run([*somebody, *argv], cwd=folder, capture_output=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"x\n", b"")


def test_a_playlist_named_mp4_reads_no_neighbour_even_without_a_cage(found: Tools, tmp_path: Path) -> None:
    neighbour = make_film(
        tmp_path / "neighbour.mp4", Pictures(times=[Fraction(at, 25) for at in range(25)]), container="mp4"
    )
    trap = tmp_path / "trap.mp4"
    trap.write_text(f"ffconcat version 1.0\nfile '{neighbour.name}'\n")
    source = a_source(audio=(), duration=Fraction(1))
    plan = a_small_plan(source)
    argv = encode_command(
        source,
        plan,
        plan.chunks[0],
        plan.ladder.rungs,
        input_path=trap,
        output_paths=[tmp_path / "out.mp4"],
        lead=0,
        threads=1,
        program=str(found.ffmpeg),
    )
    with pytest.raises(ToolFailed):
        run_tool(argv, tools=replace(found, bwrap=None), scratch=tmp_path)
    control = [str(found.ffmpeg), "-v", "error", "-i", str(trap), "-f", "null", "-"]
    assert run_tool(control, tools=replace(found, bwrap=None), scratch=tmp_path).exit_code == 0
