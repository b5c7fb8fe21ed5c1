"""How much one address may tell: who made up sessions by the thousand would make up views.

An address may begin so many sessions of a video in an hour, and fill so much of the queue of reports. Addresses are kept in
memory for this only, and never written.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable

_WINDOW_S = 3600.0
_ENTRIES = 50_000


class SessionGate:
    """``per_hour``: sessions of one video that one address may begin in an hour."""

    def __init__(self, per_hour: int, clock: Callable[[], float] = time.monotonic):
        self._per_hour = per_hour
        self._clock = clock
        self._begun: OrderedDict[tuple[str | None, str], tuple[float, int]] = OrderedDict()

    def admits(self, address: str | None, video: str) -> bool:
        """Whether a session that is new may begin; it is counted then."""
        key = (address, video)
        since_s, number = self._begun.get(key, (self._clock(), 0))
        if self._clock() - since_s >= _WINDOW_S:
            since_s, number = self._clock(), 0
        if number >= self._per_hour:
            return False
        self._begun[key] = (since_s, number + 1)
        self._begun.move_to_end(key)
        if len(self._begun) > _ENTRIES:
            self._begun.popitem(last=False)
        return True


class FairShare:
    """What waits in a queue, by who brought it: nobody fills it alone."""

    def __init__(self, most_each: int):
        self._most_each = most_each
        self._waiting: Counter[str | None] = Counter()

    def takes(self, address: str | None) -> bool:
        """Whether there is room for one more of ``address``; it is counted then."""
        if self._waiting[address] >= self._most_each:
            return False
        self._waiting[address] += 1
        return True

    def done(self, address: str | None) -> None:
        self._waiting[address] -= 1
        if self._waiting[address] <= 0:
            del self._waiting[address]
