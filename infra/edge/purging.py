"""Purges caches by tag as the catalogue's events tell of it: a video that may no longer play goes from them at once, and
so do the manifests of one that was published anew. It follows the events from when it starts: what happened while it was
away is not purged, and lives in the caches as long as their lifetimes say.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterable

import structlog

from storage.catalogue import Event, Videos
from storage.errors import Unavailable

log = structlog.get_logger(__name__)

_GONE = frozenset({"deleted", "failed", "rejected"})
_ANEW = frozenset({"playable", "ready"})
_TRIES = 5


def tags_of(event: Event) -> str | None:
    """The tag that an event makes worthless; None: none."""
    state = event.data.get("state") if event.kind == "state" else None
    if state in _GONE:
        return event.video
    return f"{event.video}/manifest" if state in _ANEW else None


class EdgePurger:
    """A thread that purges ``urls`` until it is stopped."""

    def __init__(self, videos: Videos, urls: Iterable[str], *, pause_s: float = 1.0):
        self._videos = videos
        self._urls = tuple(urls)
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edge-purger", daemon=True)

    def start(self) -> None:
        if self._urls:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        seen: int | None = None
        while not self._stopping.is_set():
            try:
                if seen is None:
                    seen = self._videos.last_event_id()
                for event in self._videos.events_after(seen):
                    self._purge_everywhere(event)
                    seen = event.id
            except Unavailable as error:
                log.warning("edge_purger_waits", reason=error.code)
            self._stopping.wait(self._pause_s)

    def _purge_everywhere(self, event: Event) -> None:
        tag = tags_of(event)
        if tag is None:
            return
        for url in self._urls:
            for attempt in range(_TRIES):
                if self._purged(url, tag) or self._stopping.wait(0.2 * 2**attempt):
                    break
            else:
                # A cache that does not answer does not serve either, or will let go by its lifetimes.
                log.error("edge_not_purged", url=url, tag=tag)

    def _purged(self, url: str, tag: str) -> bool:
        request = urllib.request.Request(url, method="PURGE", headers={"xkey-purge": tag})  # noqa: S310 - from our settings
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                log.info("edge_purged", url=url, tag=tag, objects=answer.reason)
                return True
        except (urllib.error.URLError, OSError) as error:
            log.warning("edge_purge_failed", url=url, tag=tag, reason=str(error))
            return False
