"""`/api/v1/events`: one server-sent stream of everything that happens to videos.

One poller per process asks the catalogue while anybody listens; every listener reads from its memory, and from the
catalogue itself when it was away for longer than that reaches back.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator

import structlog
from fastapi.responses import StreamingResponse

from storage.catalogue import Event, Videos
from storage.errors import InvalidRequest, Unavailable
from storage.ids import DEFAULT_TENANT, TenantId, VideoId
from upload_api.drain import Drain
from upload_api.metrics import Metrics
from upload_api.threads import Threads

log = structlog.get_logger(__name__)

REMEMBERED = 2000
PAGE = 500
RECONNECT_MS = 1500
LISTENING_S = 600.0
"""How long a stream lasts where it matters who listens: keys are revoked. Browsers open the next one by themselves."""


class EventFeed:
    """Follows the catalogue's events for all listeners of this process."""

    def __init__(
        self,
        catalogue: Videos,
        threads: Threads,
        drain: Drain,
        metrics: Metrics,
        *,
        poll_s: float,
        heartbeat_s: float,
    ) -> None:
        self._catalogue = catalogue
        self._threads = threads
        self._drain = drain
        self._metrics = metrics
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._recent: deque[Event] = deque(maxlen=REMEMBERED)
        self._reaches_back_to = 0  # events after this id are all in `_recent`
        self._position = 0
        self._news = asyncio.Event()
        self._listeners = 0
        self._poller: asyncio.Task[None] | None = None

    async def stream(
        self,
        after: int | None,
        *,
        tenant: TenantId = DEFAULT_TENANT,
        video: VideoId | None = None,
        lifetime_s: float | None = None,
    ) -> AsyncGenerator[str, None]:
        """The event stream for one listener, from behind event ``after`` (None: from now on), as text to send: of the
        videos of ``tenant``, or of a single one of them. It ends after ``lifetime_s``: a listener that comes again is
        judged again, and misses nothing."""
        clock = asyncio.get_running_loop().time
        begun = said = clock()
        self._listeners += 1
        self._metrics.listeners.inc()
        forget_drain = self._drain.listen(self._wake)
        try:
            # What a listener says may be of a database before a restore, or made up: all listeners share the poller.
            last = await self._threads.catalogue(self._catalogue.last_event_id)
            position = last if after is None else min(after, last)
            # A first id, so that a reconnect catches up even if nothing happened before the break.
            yield f"retry: {RECONNECT_MS}\nid: {position}\nevent: hello\ndata: {{}}\n\n"
            while not self._drain.begun and (lifetime_s is None or clock() - begun < lifetime_s):
                self._follow(max(position, last))
                news = self._news
                events = await self._after(position)
                for event in events:
                    if event.tenant == tenant and video in (None, event.video):
                        said = clock()
                        yield render_event(event)
                if events:
                    position = events[-1].id
                else:
                    await _happens_within(news, self._heartbeat_s)
                # Also while others' videos keep us busy.
                if clock() - said >= self._heartbeat_s:
                    said = clock()
                    yield ": still here\n\n"
        finally:
            forget_drain()
            self._listeners -= 1
            self._metrics.listeners.dec()

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait({self._poller})

    async def _after(self, position: int) -> list[Event] | tuple[Event, ...]:
        if position >= self._reaches_back_to:
            return [event for event in self._recent if event.id > position]
        return await self._threads.catalogue(self._catalogue.events_after, position, limit=PAGE)

    def _follow(self, position: int) -> None:
        """Have a poller. A new one begins at ``position``, the newest event that its first listener knows to be there:
        whoever is behind asks the catalogue for what it missed."""
        if self._poller is None or self._poller.done():
            self._recent.clear()
            self._position = self._reaches_back_to = position
            self._poller = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while self._listeners and not self._drain.begun:
            try:
                events = await self._threads.catalogue(self._catalogue.events_after, self._position, limit=PAGE)
            except Unavailable as error:
                log.warning("events_not_read", reason=error.code)
                events = ()
            if events:
                self._remember(events)
                self._wake()
            if len(events) < PAGE:
                await asyncio.sleep(self._poll_s)

    def _remember(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if len(self._recent) == REMEMBERED:
                self._reaches_back_to = self._recent[0].id
            self._recent.append(event)
        self._position = events[-1].id

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


async def _happens_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def event_stream(
    feed: EventFeed,
    last_event_id: str | None,
    tenant: TenantId,
    *,
    video: VideoId | None = None,
    lifetime_s: float | None = None,
) -> StreamingResponse:
    """The answer that follows ``feed``. Raises `InvalidRequest` for an event id that is none."""
    if last_event_id is not None and not (last_event_id.isdecimal() and len(last_event_id) <= 18):
        raise InvalidRequest("Last-Event-ID is the id of an event of ours.")
    after = int(last_event_id) if last_event_id is not None else None
    return StreamingResponse(
        feed.stream(after, tenant=tenant, video=video, lifetime_s=lifetime_s),
        media_type="text/event-stream",
        # nginx would keep events back until its buffer is full.
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def render_event(event: Event) -> str:
    """One event in the text/event-stream format: its kind, its id for Last-Event-ID, its data on one line."""
    data = {"video_id": event.video, "at_ms": event.at_ms, **event.data}
    return f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
