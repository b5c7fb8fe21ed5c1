"""What players report, on its way from requests to the store of plays: taken in cheaply, read and written later, in a
thread. Bounded: when too many wait, reports are dropped and counted, never answers delayed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

import structlog

from origin.cmcd import Cmcd, parse_events, parse_headers, parse_query
from origin.gate import FairShare, SessionGate
from origin.metrics import OriginMetrics
from origin.sessions import Report, Sessions, summed
from storage.errors import Unavailable
from storage.ids import VideoId
from storage.plays import Heard, Plays

log = structlog.get_logger(__name__)

_BATCH = 500
_HOUSEKEEPING_S = 3600.0
_SHARES = 20  # no address may fill more than one of as many parts of the queue
_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class _Unread:
    """``read`` makes reports of what came with a request."""

    video: VideoId
    at_ms: int
    sent_bytes: int
    address: str | None
    read: Callable[[], tuple[Cmcd, ...]]


class Reports:
    """Belongs to one event loop. Without ``plays`` nothing is taken in."""

    def __init__(
        self,
        plays: Plays | None,
        threads: Executor,
        metrics: OriginMetrics,
        *,
        queue: int,
        interval_s: float,
        days: int,
        sessions_per_address: int,
    ):
        self._plays = plays
        self._threads = threads
        self._metrics = metrics
        self._queue = queue
        self._interval_s = interval_s
        self._days = days
        self._waiting: deque[_Unread] = deque()
        self._unwritten: list[Heard] = []
        self._sessions = Sessions()
        self._gate = SessionGate(sessions_per_address)
        self._share = FairShare(max(1, queue // _SHARES))
        self._one_at_a_time = threading.Lock()
        self._forgot_at_s = time.monotonic() - _HOUSEKEEPING_S
        self._work: asyncio.Task[None] | None = None

    def take_query(self, query: str, video: str, sent_bytes: int, address: str | None = None) -> None:
        """The report in a request's query."""
        self._take(video, sent_bytes, address, lambda: _some(parse_query(query)))

    def take_headers(
        self, headers: Iterable[tuple[bytes, bytes]], video: str, sent_bytes: int, address: str | None = None
    ) -> None:
        """The report in a request's headers."""
        told = tuple(pair for pair in headers if pair[0].startswith(b"cmcd-"))
        self._take(video, sent_bytes, address, lambda: _some(parse_headers(told)))

    def take_events(self, body: str, video: str, address: str | None = None) -> None:
        """The reports of event mode."""
        self._take(video, 0, address, lambda: parse_events(body))

    def start(self) -> None:
        if self._plays is not None:
            self._work = asyncio.ensure_future(self._work_on())

    async def stop(self) -> None:
        """Write what waits."""
        if self._work is None:
            return
        self._work.cancel()
        with suppress(asyncio.CancelledError):
            await self._work
        await asyncio.get_running_loop().run_in_executor(self._threads, self._work_off)

    def _take(self, video: str, sent_bytes: int, address: str | None, read: Callable[[], tuple[Cmcd, ...]]) -> None:
        if self._plays is None:
            return
        if len(self._waiting) + len(self._unwritten) >= self._queue or not self._share.takes(address):
            self._metrics.count("dropped_reports")
            return
        self._metrics.count("reports")
        self._waiting.append(_Unread(VideoId(video), _now_ms(), sent_bytes, address, read))

    async def _work_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._interval_s)
            # Shielded: a stop does not take the work away from under its thread.
            await asyncio.shield(loop.run_in_executor(self._threads, self._work_off))

    def _work_off(self) -> None:
        """In a thread: read, fold and write all that waits. What cannot be written waits on."""
        with self._one_at_a_time:
            self._write()

    def _write(self) -> None:
        assert self._plays is not None
        sums = summed([*self._unwritten, *self._fold()])
        self._unwritten = list(sums)
        try:
            for start in range(0, len(sums), _BATCH):
                batch = sums[start : start + _BATCH]
                self._metrics.count("plays", self._plays.record_plays(batch))
                del self._unwritten[: len(batch)]
            self._forget(self._plays)
        except Unavailable as error:
            log.warning("plays_not_written", reason=error.code, waiting=len(self._unwritten))

    def _fold(self) -> Iterator[Heard]:
        while self._waiting:
            one = self._waiting.popleft()
            self._share.done(one.address)
            for cmcd in one.read():
                if not self._is_admitted(one, cmcd):
                    self._metrics.count("refused_reports")
                    continue
                report = Report(video=one.video, at_ms=one.at_ms, sent_bytes=one.sent_bytes, cmcd=cmcd)
                heard = self._sessions.hear(report)
                if heard is not None:
                    self._metrics.count_heard(heard)
                    yield heard

    def _is_admitted(self, one: _Unread, cmcd: Cmcd) -> bool:
        """One session of an address is as good as another, but there may not be any number of them."""
        if cmcd.session is None or self._sessions.knows(one.video, cmcd.session):
            return True
        return self._gate.admits(one.address, one.video)

    def _forget(self, plays: Plays) -> None:
        if time.monotonic() - self._forgot_at_s < _HOUSEKEEPING_S:
            return
        self._forgot_at_s = time.monotonic()
        forgotten = plays.forget_plays(_now_ms() - self._days * _DAY_MS)
        if forgotten:
            log.info("plays_forgotten", number=forgotten)


def _some(told: Cmcd | None) -> tuple[Cmcd, ...]:
    return () if told is None else (told,)


def _now_ms() -> int:
    return int(time.time() * 1000)
