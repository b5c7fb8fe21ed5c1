"""Work without a broker: threads of one process that look for jobs themselves, and ring for each other."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import structlog

from storage.jobs import LANES_BY_URGENCY, Lane
from workers.drain import Drain
from workers.measures import Measure, measure_nothing
from workers.parts import RunnerParts
from workers.scratch import clear_abandoned

log = structlog.get_logger(__name__)

POLL_S = 1.0
STOPPING_S = 5.0


class ThreadBell:
    """Wakes the threads of this process."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self.count = 0

    def ring(self, lane: Lane, times: int = 1) -> None:
        with self._rung:
            self.count += times
            self._rung.notify_all()

    def wait(self, heard: int, timeout_s: float) -> int:
        """Until it has rung more often than ``heard`` times, or for ``timeout_s``; how often it has rung by now."""
        with self._rung:
            self._rung.wait_for(lambda: self.count != heard, timeout_s)
            return self.count


class WorkerPool:
    """``threads`` runners and a sweeper, for as long as the block lasts. Bells only spare them the wait: they poll too, so
    rows that another process adds are found."""

    def __init__(
        self,
        parts: RunnerParts,
        *,
        threads: int,
        lanes: tuple[Lane, ...] = LANES_BY_URGENCY,
        drain: Drain | None = None,
        measure: Measure = measure_nothing,
    ) -> None:
        self.bell = ThreadBell()
        self.drain = drain or Drain()
        self._parts = parts
        self._lanes = lanes
        self._measure = measure
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"runner-{number}", daemon=True) for number in range(threads)
        ]
        self._threads.append(threading.Thread(target=self._sweep, name="sweeper", daemon=True))

    def __enter__(self) -> Self:
        clear_abandoned(self._parts.settings.jobs)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drains: what runs may finish in `drain_ms`, or is handed back."""
        self.drain.begin()
        self._stop.set()
        self.bell.ring(Lane.PLAYABLE)
        deadline = time.monotonic() + self._parts.settings.drain_ms / 1000 + STOPPING_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        runner = self._parts.runner(self.bell, self.drain, measure=self._measure)
        heard = 0
        while not self.drain.began:
            try:
                if runner.run_one(self._lanes):
                    continue
            except Exception:
                # A bug outside of any job must not end the thread; the job's lease runs out.
                log.exception("turn_failed")
            heard = self.bell.wait(heard, POLL_S)

    def _sweep(self) -> None:
        self._parts.auditor(self.bell).start(self._stop)
        self._parts.sweeper(self.bell).run(self._stop)
