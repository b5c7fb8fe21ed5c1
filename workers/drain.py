"""Draining: a worker that was asked to stop claims nothing more and hands back what it cannot finish in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue


class Drain:
    """A flag that is raised once and never lowered, shared with every process forked after it was made.

    It is one number in shared memory without a lock: a signal handler may raise it, and a child that is killed cannot
    take a lock with it. Monotonic time is the same for all processes of a machine.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._began_at_s = RawValue("d", 0.0)
        self._clock = clock

    def begin(self) -> None:
        """Stop claiming, from now on. Repeating it changes nothing."""
        if not self.began:
            self._began_at_s.value = self._clock()

    @property
    def began(self) -> bool:
        return bool(self._began_at_s.value)

    def is_over(self, grace_ms: int) -> bool:
        """True if draining began more than ``grace_ms`` ago: what still runs is to be stopped."""
        return self.began and self._clock() >= self._began_at_s.value + grace_ms / 1000
