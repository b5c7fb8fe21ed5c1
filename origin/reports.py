"""What players report, on its way from requests to the store of plays: taken in cheaply, read and written later, in a
thread. Bounded: when too many wait, reports are dropped and counted, never answers delayed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor

import structlog

from origin.cmcd import parse_events, parse_headers, parse_query
from origin.metrics import OriginMetrics
from origin.sessions import Report, Sessions, summed
from storage.errors import Unavailable
from storage.ids import VideoId
from storage.plays import Heard, Plays

log = structlog.get_logger(__name__)

_BATCH = 500
_HOUSEKEEPING_S = 3600.0
_DAY_MS = 24 * 3600 * 1000


class Reports:
    def __init__(
        self,
        plays: Plays | None,
        threads: Executor,
        metrics: OriginMetrics,
        *,
        queue: int,
        interval_s: float,
        days: int,
    ):
        self._plays = plays
        self._threads = threads
        self._metrics = metrics
        self._queue = queue
        self._interval_s = interval_s
        self._days = days
        self._waiting: deque[tuple[str, VideoId, int, int]] = deque()
        self._waiting_headers: deque[tuple[tuple[tuple[bytes, bytes], ...], VideoId, int, int]] = deque()
        self._unwritten: list[Heard] = []
        self._sessions = Sessions()
        self._work: asyncio.Task[None] | None = None

    def take_query(self, query: str, video: str, sent_bytes: int) -> None:
        """The report in a request's query."""
        if self._has_room():
            self._waiting.append((query, VideoId(video), _now_ms(), sent_bytes))

    def take_headers(self, headers: Iterable[tuple[bytes, bytes]], video: str, sent_bytes: int) -> None:
        """The report in a request's headers."""
        if self._has_room():
            told = tuple(pair for pair in headers if pair[0].startswith(b"cmcd-"))
            self._waiting_headers.append((told, VideoId(video), _now_ms(), sent_bytes))

    def take_events(self, body: str, video: str) -> None:
        """The reports of event mode."""
        now_ms = _now_ms()
        for cmcd in parse_events(body):
            heard = self._sessions.hear(Report(video=VideoId(video), at_ms=now_ms, sent_bytes=0, cmcd=cmcd))
            if heard is not None and self._has_room():
                self._unwritten.append(heard)

    def start(self) -> None:
        if self._plays is not None:
            self._work = asyncio.ensure_future(self._write_on())

    async def stop(self) -> None:
        """Write what waits."""
        if self._work is None:
            return
        self._work.cancel()
        await asyncio.wait([self._work])
        await self._write()

    def _has_room(self) -> bool:
        if self._plays is None:
            return False
        if len(self._waiting) + len(self._waiting_headers) + len(self._unwritten) >= self._queue:
            self._metrics.count("dropped_reports")
            return False
        self._metrics.count("reports")
        return True

    async def _write_on(self) -> None:
        forgot_at_s = time.monotonic() - _HOUSEKEEPING_S
        while True:
            await asyncio.sleep(self._interval_s)
            await self._write()
            if time.monotonic() - forgot_at_s > _HOUSEKEEPING_S:
                forgot_at_s = time.monotonic()
                await self._in_thread(self._forget)

    async def _write(self) -> None:
        heard = [*self._unwritten, *self._read()]
        self._unwritten = []
        if not heard:
            return
        sums = summed(heard)
        for start in range(0, len(sums), _BATCH):
            batch = sums[start : start + _BATCH]
            if not await self._in_thread(self._record, batch):
                self._unwritten += batch  # the next round tries again, while there is room

    def _read(self) -> list[Heard]:
        heard: list[Heard | None] = []
        while self._waiting:
            query, video, at_ms, sent_bytes = self._waiting.popleft()
            if (cmcd := parse_query(query)) is not None:
                heard.append(self._sessions.hear(Report(video=video, at_ms=at_ms, sent_bytes=sent_bytes, cmcd=cmcd)))
        while self._waiting_headers:
            headers, video, at_ms, sent_bytes = self._waiting_headers.popleft()
            if (cmcd := parse_headers(headers)) is not None:
                heard.append(self._sessions.hear(Report(video=video, at_ms=at_ms, sent_bytes=sent_bytes, cmcd=cmcd)))
        return [one for one in heard if one is not None]

    async def _in_thread(self, work: object, *args: object) -> bool:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)  # type: ignore[arg-type]  # bound methods of ours
        except Unavailable as error:
            log.warning("plays_not_written", reason=error.code)
            return False
        return True

    def _record(self, heard: tuple[Heard, ...]) -> None:
        assert self._plays is not None
        self._plays.record_plays(heard)

    def _forget(self) -> None:
        assert self._plays is not None
        forgotten = self._plays.forget_plays(_now_ms() - self._days * _DAY_MS)
        if forgotten:
            log.info("plays_forgotten", number=forgotten)


def _now_ms() -> int:
    return int(time.time() * 1000)
