"""`fishladder up` with all its real parts: ready, supervised, stopped without a trace, and killed without a trace."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from infra.stack.watchdog import descendants
from tests.services import free_ports

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


class Up:
    """A running `fishladder up`; its lines are read as they come."""

    def __init__(self, state: Path, ports: list[int], *flags: str) -> None:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("FISHLADDER_")}
        self.api, self.origin = (f"http://127.0.0.1:{port}" for port in ports)
        self.state = state
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra", "up", "--state", str(state), "--workers", "1", *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **ours,
                "PYTHONUNBUFFERED": "1",
                "COLUMNS": "200",
                "FISHLADDER_UPLOAD_API_PORT": str(ports[0]),
                "FISHLADDER_ORIGIN_PORT": str(ports[1]),
            },
        )

    def until(self, wanted: Callable[[str], bool]) -> str:
        """Read lines up to the first that is wanted; fails with all of them if it never comes."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if wanted(line):
                return line
        raise AssertionError("never said:\n" + "".join(self.lines))

    def until_ready(self) -> None:
        self.until(lambda line: "drop a video there" in line)

    def family(self) -> dict[int, int]:
        """Process id → handle of all that it started."""
        family = descendants({self.process.pid}) - {self.process.pid}
        handles = {}
        for pid in family:
            try:
                handles[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                continue  # a probe that has just ended
        return handles

    def children(self) -> dict[str, int]:
        entries = json.loads((self.state / "run" / "children.json").read_text())
        return {entry["name"]: entry["pid"] for entry in entries}

    def remembered_ports(self) -> dict[str, int]:
        ports: dict[str, int] = json.loads((self.state / "stack.json").read_text())["ports"]
        return ports


@contextmanager
def running(state: Path, ports: list[int], *flags: str) -> Iterator[Up]:
    stack = Up(state, ports, *flags)
    try:
        yield stack
    finally:
        if stack.process.poll() is None:
            stack.process.kill()  # its watchdog ends the rest
        stack.process.wait()
        assert stack.process.stdout is not None
        stack.process.stdout.close()


def assert_gone(handles: dict[int, int], within_s: float = 20) -> None:
    """All of them end in time."""
    waited = {pid: bool(select.select([handle], [], [], within_s)[0]) for pid, handle in handles.items()}
    for handle in handles.values():
        os.close(handle)
    assert [pid for pid, ended in waited.items() if not ended] == []


@pytest.mark.timeout(240)
def test_up_is_ready_mends_itself_stops_clean_and_goes_on(tmp_path: Path) -> None:
    state, ports = tmp_path / "state", free_ports(2)

    with running(state, ports) as stack:
        stack.until_ready()
        probes = [f"{stack.api}/readyz", f"{stack.origin}/readyz"]
        probes += [
            f"http://127.0.0.1:{stack.remembered_ports()[name]}/readyz" for name in ("workers", "workers-playable")
        ]
        assert {url: httpx.get(url, timeout=10).status_code for url in probes} == dict.fromkeys(probes, 200)
        assert state.stat().st_mode & 0o077 == 0

        second = Up(state, free_ports(2))
        told, _ = second.process.communicate(timeout=60)
        assert second.process.returncode == 1
        assert f"(process {stack.process.pid}) uses the state folder" in told

        os.kill(stack.children()["valkey"], signal.SIGKILL)
        stack.until(lambda line: "Valkey (broker) ended (killed by SIGKILL); starting it again in 0.5 s." in line)

        family = stack.family()
        assert len(family) >= 7
        stack.process.send_signal(signal.SIGINT)
        stack.until(lambda line: "Everything has stopped" in line)
        assert stack.process.wait(60) == 0
        assert_gone(family)
        before = stack.remembered_ports()

    with running(state, ports) as stack:
        stack.until_ready()
        assert stack.remembered_ports() == before
        family = stack.family()
        os.kill(stack.process.pid, signal.SIGKILL)
        stack.process.wait()
        assert_gone(family)

    with running(state, ports) as stack:  # what was killed so hard starts again
        stack.until_ready()
        stack.process.send_signal(signal.SIGTERM)
        stack.until(lambda line: "Everything has stopped" in line)
        assert stack.process.wait(60) == 0


@pytest.mark.timeout(60)
def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with running(tmp_path / "state", [taken, free_ports(1)[0]]) as stack:
            told, _ = stack.process.communicate()
            assert stack.process.returncode == 2
    assert f"Port {taken} on 127.0.0.1 is taken by another program." in told
    assert list((tmp_path / "state" / "logs").iterdir()) == []


@pytest.mark.timeout(120)
def test_ctrl_c_while_starting_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "state", free_ports(2), "--store", "local") as stack:
        record = tmp_path / "state" / "run" / "children.json"
        with subprocess.Popen(
            ["sh", "-c", 'until grep -q upload-api "$0" 2>/dev/null; do sleep 0.02; done', str(record)]
        ) as started:
            started.wait(60)
        family = stack.family()
        stack.process.send_signal(signal.SIGTERM)
        stack.until(lambda line: "Stopped before everything had started." in line)
        assert stack.process.wait(60) == 0
        assert_gone(family)
