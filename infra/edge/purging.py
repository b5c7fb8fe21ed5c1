"""Purges caches by tag as the catalogue's events tell of it: a video that may no longer play, or not for
everybody, goes from them at once, and so do the manifests of one that was published anew.

How far each cache has come is noted in the catalogue, so nothing is missed while the purger, the database or a cache is
away; a cache that does not answer is asked again and again, and holds no other up. Everything is purged twice: an answer
that was on its way to a cache when its video was deleted, or that an origin gave out of its memory of a second, would
otherwise stay there for a year.
"""

from __future__ import annotations

import hashlib
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from storage.catalogue import Event
from storage.errors import Unavailable
from storage.ids import TenantId

log = structlog.get_logger(__name__)

AGAIN_AFTER_MS = 60_000
"""Longer than an origin remembers what is published, and than an answer takes to begin."""

_GONE = frozenset({"deleted", "failed", "rejected"})
_ANEW = frozenset({"playable", "ready"})
_BATCH = 500


class Followed(Protocol):
    """What the purger asks of the catalogue."""

    def events_after(self, event_id: int, *, tenant: TenantId | None = None, limit: int = 500) -> tuple[Event, ...]: ...

    def position(self, follower: str) -> int: ...

    def advance(self, follower: str, event_id: int) -> None: ...

    def now_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Pass:
    """One way through the events: of one cache, at once or later."""

    url: str
    delay_ms: int

    @property
    def follower(self) -> str:
        where = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        return f"purge-{where}" if self.delay_ms == 0 else f"purge-again-{where}"


def tags_of(event: Event) -> str | None:
    """The tag that an event makes worthless; None: none."""
    if event.kind == "visibility":
        return event.video  # what everybody could fetch may need a link from now on
    state = event.data.get("state") if event.kind == "state" else None
    if state in _GONE:
        return event.video
    return f"{event.video}/manifest" if state in _ANEW else None


class EdgePurger:
    """A thread that purges ``urls`` until it is stopped. Several may do so at once: they repeat each other."""

    def __init__(
        self, events: Followed, urls: Iterable[str], *, pause_s: float = 1.0, again_after_ms: int = AGAIN_AFTER_MS
    ):
        self._events = events
        self._passes = tuple(Pass(url, delay_ms) for url in urls for delay_ms in (0, again_after_ms))
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edge-purger", daemon=True)

    def start(self) -> None:
        if self._passes:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def purge_once(self) -> None:
        """Purge what is due now. Raises `Unavailable` without a database."""
        for one in self._passes:
            if not self._stopping.is_set():
                self._follow(one)

    def _run(self) -> None:
        while True:
            try:
                self.purge_once()
            except Unavailable as error:
                log.warning("edge_purger_waits", reason=error.code)
            except Exception:
                # One that ends would be missed only when a deleted video plays on.
                log.exception("edge_purger_failed")
            if self._stopping.wait(self._pause_s):
                return

    def _follow(self, one: Pass) -> None:
        begun = done = self._events.position(one.follower)
        due_ms = self._events.now_ms() - one.delay_ms
        for event in self._events.events_after(begun, limit=_BATCH):
            tag = tags_of(event)
            if event.at_ms > due_ms or (tag is not None and not self._purged(one.url, tag)):
                break
            done = event.id
        if done != begun:
            self._events.advance(one.follower, done)

    def _purged(self, url: str, tag: str) -> bool:
        request = urllib.request.Request(url, method="PURGE", headers={"xkey-purge": tag})  # noqa: S310 - from our settings
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                log.info("edge_purged", url=url, tag=tag, objects=answer.reason)
                return True
        except (urllib.error.URLError, OSError) as error:
            log.warning("edge_purge_failed", url=url, tag=tag, reason=str(error))
            return False
