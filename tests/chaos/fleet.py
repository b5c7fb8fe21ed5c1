"""Worker processes of a chaos run: started, struck in the middle of their work, replaced as they fall."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from storage.errors import Unavailable

ROOT = Path(__file__).parents[2]
FAKETIME = Path("/usr/lib") / f"{os.uname().machine}-linux-gnu" / "faketime" / "libfaketime.so.1"
LONGEST_STOP_S = 60


class Deck:
    """Deals everything once, in a seeded order, before it deals anything again."""

    def __init__(self, cards: tuple[str, ...], seed: int) -> None:
        self._cards = cards
        self._seeded = random.Random(seed)
        self._left: list[str] = []
        self.dealt = 0

    def peek(self) -> str:
        """What comes next."""
        if not self._left:
            self._left = list(self._cards)
            self._seeded.shuffle(self._left)
        return self._left[-1]

    def deal(self) -> str:
        card = self.peek()
        self._left.pop()
        self.dealt += 1
        return card

    @property
    def all_were_dealt(self) -> bool:
        return self.dealt >= len(self._cards)


class Fleet:
    """``holders``: the process ids of workers that are in the middle of a job now. ``clocks``: every worker has a clock of its own that
    `set_clocks` changes, also under a worker that runs; it looks there every ``clock_look_s``, 0: whenever it asks for the
    time, which costs more than its work."""

    def __init__(
        self,
        size: int,
        environment: Mapping[str, str],
        folder: Path,
        *,
        holders: Callable[[], set[int]],
        seed: int,
        lease_ms: int,
        clocks: bool = False,
        clock_look_s: int = 0,
    ) -> None:
        self._size = size
        self._environment = dict(environment)
        self._folder = folder
        self._log = (folder / "workers.log").open("ab")
        self._holders = holders
        self._seeded = random.Random(seed)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}  # by the number of its place
        self._frozen: list[tuple[float, subprocess.Popen[bytes]]] = []
        self._lease_s = lease_ms / 1000
        self._clocks = clocks
        self._clock_look_s = clock_look_s
        self.kills: Counter[str] = Counter()
        self.killed_at_s: dict[int, float] = {}  # by process id, on the monotonic clock
        if clocks:
            self.set_clocks("+0")

    def tend(self) -> None:
        """Replace the fallen, thaw the frozen."""
        now = time.monotonic()
        for due, process in list(self._frozen):
            if now >= due:
                process.send_signal(signal.SIGCONT)
                self._frozen.remove((due, process))
        for place in range(self._size):
            if place not in self._processes or self._processes[place].poll() is not None:
                self._processes[place] = self._start(place)

    def strike(self, kind: str) -> bool:
        """Send the signal ``kind`` to a worker that is in the middle of a job; False if there is none now."""
        frozen = {process.pid for _, process in self._frozen}
        awake = [one for one in self._processes.values() if one.pid not in frozen and one.poll() is None]
        self._seeded.shuffle(awake)
        for victim in awake:
            # Stopped for the look at the rows: it cannot finish in between.
            victim.send_signal(signal.SIGSTOP)
            if not self._holds(victim.pid):
                victim.send_signal(signal.SIGCONT)
                continue
            self.kills[kind] += 1
            self.killed_at_s[victim.pid] = time.monotonic()
            if kind == "SIGSTOP":  # past its lease: it wakes up as a zombie
                self._frozen.append((time.monotonic() + 1.5 * self._lease_s, victim))
            else:
                victim.send_signal(getattr(signal, kind))
                victim.send_signal(signal.SIGCONT)
            return True
        return False

    def set_clocks(self, offset: str) -> None:
        """``+1h``, ``-1h`` or ``+0``, for all."""
        for place in range(self._size):
            self._set_clock(place, offset)

    def change_a_clock(self, offset: str) -> None:
        self._set_clock(self._seeded.randrange(self._size), offset)

    def end(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(LONGEST_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        self._log.close()

    def _holds(self, pid: int) -> bool:
        try:
            return pid in self._holders()
        except Unavailable:
            return False

    def _set_clock(self, place: int, offset: str) -> None:
        path = self._folder / f"clock-{place}"
        fresh = path.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.replace(path)  # never seen half-written

    def _start(self, place: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.chaos.worker"]
        environment = self._environment
        if self._clocks:
            environment = environment | {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self._folder / f"clock-{place}"),
                **(
                    {"FAKETIME_CACHE_DURATION": str(self._clock_look_s)}
                    if self._clock_look_s
                    else {"FAKETIME_NO_CACHE": "1"}
                ),
                "DONT_FAKE_MONOTONIC": "1",  # waits are on the monotonic clock, which never jumps
            }
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._log, stderr=subprocess.STDOUT)
