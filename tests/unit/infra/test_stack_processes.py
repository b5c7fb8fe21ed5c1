"""Processes of the stack: started, stopped, restarted, and never left behind. With real processes that only sleep."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.stack import watchdog
from infra.stack.children import Command, Nursery, rotate, tail
from infra.stack.parts import Part
from infra.stack.ports import free_port, is_free
from infra.stack.preflight import disk_problems, port_problems, sandbox_notes
from infra.stack.state import StateDir, locked, recall, remember
from infra.stack.supervisor import RestartPolicy, Signals, Stopped, Supervisor
from storage.errors import Conflict, Unavailable
from workers.ffmpeg.tools import Tools

ROOT = Path(__file__).parents[3]
SLEEP = (sys.executable, "-c", "import time; time.sleep(300)")
FAMILY = (
    sys.executable,
    "-c",
    (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(300)"
    ),
)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(root=tmp_path / "state")
    made.prepare()
    return made


@pytest.fixture
def nursery(state: StateDir) -> Iterator[Nursery]:
    made = Nursery(state)
    made.open()
    yield made
    made.close()


def command(state: StateDir, argv: tuple[str, ...] = SLEEP, name: str = "sleeper") -> Command:
    return Command(argv=argv, env={}, log=state.logs / f"{name}.log")


def part(
    state: StateDir,
    name: str,
    argv: tuple[str, ...] = SLEEP,
    *,
    stage: int = 0,
    ready: bool = True,
    start_s: float = 30,
) -> Part:
    return Part(
        name=name,
        title=name,
        stage=stage,
        command=command(state, argv, name),
        ready=lambda: ready,
        shown="",
        start_s=start_s,
        stop_s=5,
    )


def gone(pid: int, within_s: float = 10) -> bool:
    """Whether ``pid`` ends in time. Waits for its end as an event, where the kernel offers one."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], within_s)[0])
    finally:
        os.close(handle)


def first_line(path: Path) -> str:
    """The first line that a process writes to ``path``."""
    with subprocess.Popen(["tail", "-n", "+1", "-f", path], stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        line = follower.stdout.readline()
        follower.kill()
    return line.strip()


# --- state folder ----------------------------------------------------------------------------------------------------


def test_a_second_stack_on_the_same_state_is_refused_and_told_who_holds_it(state: StateDir) -> None:
    with locked(state), pytest.raises(Conflict, match=f"process {os.getpid()}") as refused, locked(state):
        pass
    assert "--state DIR" in refused.value.sentence
    with locked(state):
        pass


def test_ports_and_passwords_are_remembered(state: StateDir) -> None:
    first = remember(state, ("a", "b"), "s3")
    assert remember(state, ("a", "b"), "s3") == first
    assert recall(state) == first
    assert first.ports["a"] != first.ports["b"]
    assert state.remembered.stat().st_mode & 0o777 == 0o600


def test_a_remembered_port_that_is_taken_meanwhile_is_replaced(state: StateDir) -> None:
    first = remember(state, ("a",), "s3")
    with socket.socket() as other:
        other.bind(("127.0.0.1", first.ports["a"]))
        other.listen()
        assert remember(state, ("a",), "s3").ports["a"] != first.ports["a"]


def test_a_state_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        StateDir(root=tmp_path / "file" / "state").prepare()


# --- pre-flight ------------------------------------------------------------------------------------------------------


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert not is_free("127.0.0.1", taken)
        (problem,) = port_problems(
            Settings.from_env(
                {"FISHLADDER_UPLOAD_API_PORT": str(taken), "FISHLADDER_ORIGIN_PORT": str(free_port("127.0.0.1"))}
            )
        )
    assert f"Port {taken} on 127.0.0.1 is taken" in problem
    assert "FISHLADDER_UPLOAD_API_PORT=" in problem


def test_an_address_that_is_not_ours_is_named() -> None:
    (problem,) = port_problems(Settings.from_env({"FISHLADDER_HOST": "192.0.2.1"}))
    assert "192.0.2.1 is not an address of this machine" in problem


def test_too_little_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk_problems(tmp_path) == []
    monkeypatch.setattr("infra.stack.preflight.MIN_FREE_BYTES", 2**80)
    assert "--state DIR" in disk_problems(tmp_path)[0]


def test_a_missing_sandbox_is_told() -> None:
    bare = Tools(ffmpeg=Path("/bin/ffmpeg"), ffmpeg_version="9")
    assert "No sandbox works here" in sandbox_notes(bare)[0]
    assert sandbox_notes(replace(bare, bwrap=Path("/bin/bwrap"))) == ()


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_grown_log_moves_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with log.open("ab") as writer:
        writer.write(b"old\n" * 100)
        writer.flush()
        rotate(log, limit_bytes=100)
        writer.write(b"new\n")
    assert log.read_text() == "new\n"
    assert (tmp_path / "x.log.1").read_text() == "old\n" * 100
    assert tail(tmp_path / "x.log.1", lines=2) == "old\nold"


# --- children and the watchdog ---------------------------------------------------------------------------------------


def test_killing_a_child_ends_what_it_started_in_sessions_of_their_own(state: StateDir, nursery: Nursery) -> None:
    child = nursery.start("family", command(state, FAMILY))
    grandchild = int(first_line(state.logs / "sleeper.log"))
    child.kill()
    nursery.forget(child)
    assert gone(child.pid)
    assert gone(grandchild)


PARENT = """
import os, sys
from pathlib import Path
from infra.stack.children import Command, Nursery
from infra.stack.state import StateDir
state = StateDir(root=Path(sys.argv[1]))
nursery = Nursery(state)
nursery.open()
child = nursery.start("family", Command(argv=tuple(sys.argv[2:]), env={}, log=state.logs / "family.log"))
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_after_kill_9_of_the_parent_the_watchdog_leaves_nobody_behind(state: StateDir) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(state.root), *FAMILY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    child = int(parent.stdout.readline())
    grandchild = int(first_line(state.logs / "family.log"))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    parent.stdin.close()
    assert gone(child)
    assert gone(grandchild)


def test_leftovers_of_an_earlier_run_are_ended_at_the_next_start(state: StateDir) -> None:
    left = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        started = watchdog.start_time(left.pid)
        state.running.write_text(f'[{{"name": "valkey", "pid": {left.pid}, "started": "{started}"}}]')
        nursery = Nursery(state)
        assert nursery.open() == {"valkey": left.pid}
        assert left.wait(10) == -signal.SIGKILL
        nursery.close()
    finally:
        left.kill()
        left.wait()


def test_a_process_that_only_shares_a_recorded_number_is_left_alone(state: StateDir) -> None:
    innocent = subprocess.Popen(SLEEP)
    try:
        state.running.write_text(f'[{{"name": "valkey", "pid": {innocent.pid}, "started": "1"}}]')
        nursery = Nursery(state)
        assert nursery.open() == {}
        nursery.close()
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


# --- supervision -----------------------------------------------------------------------------------------------------


def test_a_dead_child_is_started_again_and_it_is_told(state: StateDir, nursery: Nursery) -> None:
    told: list[str] = []
    signals = Signals()
    marker = state.root / "lived"

    def say(line: str) -> None:
        told.append(line)
        if len(told) == 2:
            signals.ask()

    go = state.root / "go"
    dies = (
        sys.executable,
        "-c",
        (
            f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
            f"open({str(marker)!r}, 'a').write('x'); raise SystemExit(3)"
        ),
    )
    supervisor = Supervisor(nursery, signals, say, policy=RestartPolicy(first_s=0.01))
    with signals.caught():
        supervisor.start((part(state, "mayfly", dies),))
        go.touch()
        supervisor.watch()
        supervisor.stop()
    assert marker.read_text() == "xx"
    assert told == [f"mayfly ended (exit code 3); starting it again in {s} s." for s in ("0.01", "0.02")]


def test_a_part_that_ends_while_starting_is_told_with_the_end_of_its_log(state: StateDir, nursery: Nursery) -> None:
    dies = (sys.executable, "-c", "print('cannot open the shop'); raise SystemExit(4)")
    signals = Signals()
    supervisor = Supervisor(nursery, signals, print)
    with signals.caught(), pytest.raises(Unavailable, match=r"exit code 4(.|\n)*cannot open the shop"):
        supervisor.start((part(state, "shop", dies, ready=False),))


def test_a_part_that_is_never_ready_is_given_up(state: StateDir, nursery: Nursery) -> None:
    signals = Signals()
    supervisor = Supervisor(nursery, signals, print)
    with signals.caught(), pytest.raises(Unavailable, match=r"was not ready after 0\.2 s"):
        supervisor.start((part(state, "sloth", ready=False, start_s=0.2),))
    supervisor.stop()


def test_asking_to_stop_while_starting_stops(state: StateDir, nursery: Nursery) -> None:
    signals = Signals()
    supervisor = Supervisor(nursery, signals, print)
    signals.ask()
    with signals.caught(), pytest.raises(Stopped):
        supervisor.start((part(state, "sloth", ready=False),))
    supervisor.stop()


def test_stopping_ends_later_stages_first(state: StateDir, nursery: Nursery) -> None:
    order = state.root / "order"
    ready = state.root / "ready"
    ready.mkdir()

    def polite(name: str) -> tuple[str, ...]:
        return (
            sys.executable,
            "-c",
            (
                "import signal, sys, time\n"
                f"signal.signal(signal.SIGTERM, lambda *_: (open({str(order)!r}, 'a').write('{name} '), sys.exit(0)))\n"
                f"open({str(ready / name)!r}, 'w').close()\n"
                "time.sleep(300)"
            ),
        )

    signals = Signals()
    supervisor = Supervisor(nursery, signals, print)
    parts = [
        Part(
            name=name,
            title=name,
            stage=stage,
            command=command(state, polite(name), name),
            ready=(ready / name).exists,
            shown="",
        )
        for name, stage in (("store", 0), ("service", 1), ("worker", 2))
    ]
    with signals.caught():
        supervisor.start(tuple(parts))
        supervisor.stop()
    assert order.read_text().split() == ["worker", "service", "store"]


def test_a_second_request_to_stop_kills_at_once(state: StateDir, nursery: Nursery) -> None:
    ready = state.root / "ready"
    deaf = (
        sys.executable,
        "-c",
        f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(ready)!r}, 'w').close(); time.sleep(300)",
    )
    signals = Signals()
    told: list[str] = []
    supervisor = Supervisor(nursery, signals, told.append)
    asked = Part(
        name="deaf", title="deaf", stage=0, command=command(state, deaf), ready=ready.exists, shown="", stop_s=300
    )
    with signals.caught():
        supervisor.start((asked,))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        before = signal.signal(signal.SIGALRM, signals.ask)
        try:
            supervisor.stop()
        finally:
            signal.signal(signal.SIGALRM, before)
    assert told == []
