"""A cache that is bounded in bytes, and one flight per key. Neither knows what it holds.

Both belong to one event loop and need no locks.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")

_PROTECTED_SHARE = 0.8


class ByteCache(Generic[V]):
    """Segmented LRU. What was asked for once is on probation; asked for again it is protected. Evicted is the longest
    unused on probation first, so somebody who reads a whole film once does not wash out what many watch."""

    def __init__(self, capacity_bytes: int, *, evicted: Callable[[str], None] = lambda _: None):
        """``evicted`` is told each key that is no longer kept."""
        self._capacity_bytes = capacity_bytes
        self._evicted = evicted
        self._protected_capacity = int(capacity_bytes * _PROTECTED_SHARE)
        self._probation: OrderedDict[str, tuple[V, int]] = OrderedDict()
        self._protected: OrderedDict[str, tuple[V, int]] = OrderedDict()
        self._protected_bytes = 0
        self.held_bytes = 0
        self.evictions = 0

    def get(self, key: str) -> V | None:
        entry = self._protected.get(key)
        if entry is not None:
            self._protected.move_to_end(key)
            return entry[0]
        entry = self._probation.pop(key, None)
        if entry is None:
            return None
        self._protected[key] = entry
        self._protected_bytes += entry[1]
        self._demote()
        return entry[0]

    def put(self, key: str, value: V, size_bytes: int) -> None:
        """Keep ``value``, which takes ``size_bytes``; what is bigger than the whole cache is not kept."""
        self._forget(key)
        if size_bytes > self._capacity_bytes:
            return
        self._probation[key] = (value, size_bytes)
        self.held_bytes += size_bytes
        while self.held_bytes > self._capacity_bytes:
            self._evict()

    def __contains__(self, key: str) -> bool:
        return key in self._protected or key in self._probation

    def __len__(self) -> int:
        return len(self._probation) + len(self._protected)

    def _demote(self) -> None:
        """Protected entries beyond their share go back on probation, as its newest; the newest of them stays."""
        while self._protected_bytes > self._protected_capacity and len(self._protected) > 1:
            key, entry = self._protected.popitem(last=False)
            self._protected_bytes -= entry[1]
            self._probation[key] = entry

    def _evict(self) -> None:
        if self._probation:
            key, (_, size_bytes) = self._probation.popitem(last=False)
        else:
            key, (_, size_bytes) = self._protected.popitem(last=False)
            self._protected_bytes -= size_bytes
        self.held_bytes -= size_bytes
        self.evictions += 1
        self._evicted(key)

    def _forget(self, key: str) -> None:
        entry = self._probation.pop(key, None)
        if entry is None:
            entry = self._protected.pop(key, None)
            self._protected_bytes -= entry[1] if entry else 0
        self.held_bytes -= entry[1] if entry else 0


class SingleFlight(Generic[V]):
    """Whoever asks for a key while somebody else's work for it is under way waits for that work."""

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: str, work: Callable[[], Awaitable[V]]) -> V:
        """The result of ``work``, ours or the one under way. It goes on when we are cancelled: others may wait."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(_as_coroutine(work))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    def _land(self, key: str, flight: asyncio.Task[V]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen: it is not a lost error if everybody who waited is gone


async def _as_coroutine(work: Callable[[], Awaitable[V]]) -> V:
    return await work()
