"""How many requests at once are too many: per address, key and tenant. Of one process; a fleet's limit is the sum.

The generic cell rate algorithm: of each caller one number is kept, the time at which its bucket will be full again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from storage.errors import InvalidRequest
from upload_api.errors import TooManyRequests

BURST_S = 5.0
"""Whoever was silent may send this many seconds' worth at once."""
MAX_REMEMBERED = 100_000


class Kind(StrEnum):
    ADDRESS = "address"
    KEY = "key"
    TENANT = "tenant"
    REFUSED = "refused"  # credentials that were not good, per address


REFUSED_PER_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """``per_s`` requests a second in the long run, ``burst`` of them at once."""

    per_s: float
    burst: float


def parse_rates(pairs: tuple[str, ...]) -> dict[Kind, Rate]:
    """From ``kind=requests per second`` pairs. Raises `InvalidRequest`."""
    rates: dict[Kind, Rate] = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        try:
            kind, per_s = Kind(name.strip()), float(number)
        except ValueError:
            kind, per_s = Kind.REFUSED, 0.0
        if kind is Kind.REFUSED or per_s <= 0:
            raise InvalidRequest("Rate limits are address, key or tenant, each with a number of requests per second.")
        rates[kind] = Rate(per_s=per_s, burst=max(1.0, per_s * BURST_S))
    return rates


def arrive(full_at: float, now: float, rate: Rate) -> tuple[float, float]:
    """(when the bucket is full again, how long to wait) for a request at ``now``; it is let in if there is no wait."""
    then = max(full_at, now) + 1 / rate.per_s
    wait = then - now - rate.burst / rate.per_s
    return (then, 0.0) if wait <= 1e-9 else (full_at, wait)


class RateLimiter:
    def __init__(self, rates: Mapping[Kind, Rate], clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = {**rates, Kind.REFUSED: Rate(per_s=REFUSED_PER_S, burst=20)}
        self._clock = clock
        self._full_at: dict[tuple[Kind, str], float] = {}

    def check(self, kind: Kind, who: str | None) -> None:
        """Count a request of ``who``. Raises `TooManyRequests`."""
        rate = self._rates.get(kind)
        if rate is None or who is None:
            return
        now = self._clock()
        full_at, wait_s = arrive(self._full_at.get((kind, who), now), now, rate)
        if len(self._full_at) >= MAX_REMEMBERED:
            self._full_at = {one: full for one, full in self._full_at.items() if full > now}
        self._full_at[kind, who] = full_at
        if wait_s > 0:
            raise TooManyRequests(retry_after_s=wait_s, limited_by=str(kind))
