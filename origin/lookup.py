"""Public names and the objects behind them, remembered for a moment so that hot paths do not ask the catalogue."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog

from origin.access import nothing_here
from origin.cache import SingleFlight
from origin.ports import PublishedNames
from origin.settings import OriginSettings
from storage.errors import NotFound, Unavailable
from storage.grants import Visibility
from storage.ids import AssetId, VideoId
from storage.jobs import PublishedName

log = structlog.get_logger(__name__)

_ANY_NAME = "master.m3u8"  # every playable video has it; asked for where only the asset matters


@dataclass(frozen=True, slots=True)
class Published:
    """What the catalogue says of a video's public name. ``fresh_until_s`` is on the monotonic clock."""

    asset: AssetId
    name: PublishedName | None
    visibility: Visibility | None
    fresh_until_s: float


@dataclass(frozen=True, slots=True)
class _Remembered:
    published: Published | None  # None: there is no such video
    at_s: float


class NameLookup:
    def __init__(
        self,
        catalogue: PublishedNames,
        threads: Executor,
        settings: OriginSettings,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._catalogue = catalogue
        self._threads = threads
        self._settings = settings
        self._clock = clock
        self._remembered: OrderedDict[tuple[VideoId, str], _Remembered] = OrderedDict()
        self._flights: SingleFlight[Published | None] = SingleFlight()

    async def find(self, video: VideoId, name: str | None = None) -> Published:
        """What is published under ``name``, or only what is known of the video. Raises `NotFound` for a video that does
        not play; a name that is absent is None."""
        name = name if name is not None else _ANY_NAME
        key = (video, name)
        known = self._remembered.get(key)
        if known is not None and self._clock() - known.at_s < self._settings.lookup_ttl_s:
            return _or_nothing(known.published)
        try:
            published = await self._flights.run(f"{video}/{name}", lambda: self._ask(video, name))
        except Unavailable as error:
            if known is None or self._clock() - known.at_s > self._settings.lookup_grace_s:
                raise
            log.warning("catalogue_unavailable_answered_from_memory", video_id=video, name=name, reason=error.code)
            published = known.published
        return _or_nothing(published)

    def ask_again(self, video: VideoId, name: str) -> None:
        """Ask the catalogue at the next request for ``name``; what is remembered stands in only while it does not answer."""
        known = self._remembered.get((video, name))
        if known is not None:
            at_s = min(known.at_s, self._clock() - self._settings.lookup_ttl_s)
            self._remembered[(video, name)] = _Remembered(known.published, at_s)

    async def _ask(self, video: VideoId, name: str) -> Published | None:
        asked_at_s = self._clock()
        loop = asyncio.get_running_loop()
        published = await loop.run_in_executor(self._threads, self._ask_catalogue, video, name, asked_at_s)
        self._remember((video, name), _Remembered(published, asked_at_s))
        return published

    def _ask_catalogue(self, video: VideoId, name: str, asked_at_s: float) -> Published | None:
        try:
            asset, found = self._catalogue.published(video, name)
            visibility = self._catalogue.visibility(video)
        except NotFound:
            return None
        return Published(asset, found, visibility, asked_at_s + self._settings.lookup_ttl_s)

    def _remember(self, key: tuple[VideoId, str], found: _Remembered) -> None:
        self._remembered[key] = found
        self._remembered.move_to_end(key)
        if len(self._remembered) > self._settings.lookup_entries:
            self._remembered.popitem(last=False)


def _or_nothing(published: Published | None) -> Published:
    if published is None:
        raise nothing_here()
    return published
