"""Keeping the lease of a job while its step runs, and stopping the step before anybody else may hold the job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from storage.errors import StaleLease
from workers.drain import Drain

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 4
TICK_S = 0.2


class LeaseKeeper:
    """Two threads around a step: one renews, one watches the time.

    The watcher is apart because a renewal may hang in the database: self-fencing must not wait for it. It counts on this
    machine's monotonic clock from *before* each request, so it always believes the lease to end earlier than the
    database does, and sets ``stop`` a quarter of a lease before that.
    """

    def __init__(
        self,
        renew: Callable[[], None],
        *,
        lease_ms: int,
        asked_at_s: float,
        drain: Drain,
        drain_ms: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``renew`` raises `StaleLease` when the job is not ours any more. ``asked_at_s``: ``clock()`` before the claim."""
        self.stop = threading.Event()
        self.lost = False
        self._renew = renew
        self._lease_s = lease_ms / 1000
        self._held_until_s = asked_at_s + self._lease_s
        self._drain = drain
        self._drain_ms = drain_ms
        self._clock = clock
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("lease-renewals", self._keep_renewing), ("lease-watch", self._watch))
        ]
        # Threads do not inherit the fields that log lines about this job carry.
        self._log = log.bind(**structlog.contextvars.get_contextvars())

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            # A renewal that hangs is a daemon thread's own trouble: it can do nothing but fail.
            thread.join(timeout=1.0)

    def _keep_renewing(self) -> None:
        period = self._lease_s / RENEWALS_PER_LEASE
        pause = period
        while not self._ended.wait(pause):
            asked_at_s = self._clock()
            try:
                self._renew()
            except StaleLease:
                self._lose("taken")
                return
            except Exception as error:  # whatever it is, the watcher decides when it has lasted too long
                self._log.warning("renewal_failed", error=str(error))
                pause = period / 4
            else:
                self._held_until_s = asked_at_s + self._lease_s
                pause = period

    def _watch(self) -> None:
        margin = self._lease_s / RENEWALS_PER_LEASE
        while not self._ended.wait(min(TICK_S, margin / 4)):
            if self._clock() >= self._held_until_s - margin:
                self._lose("not_renewed")
                return
            if self._drain.is_over(self._drain_ms):
                self.stop.set()

    def _lose(self, why: str) -> None:
        if self._ended.is_set():
            return
        self.lost = True
        self.stop.set()
        self._log.warning("lease_lost", why=why)
