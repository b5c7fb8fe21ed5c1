"""How a video is shown: what its owner says of it beyond its title, what is stored of it so far, and the ports for both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from storage.grants import Visibility
from storage.ids import AssetId, VideoId
from storage.jobs import PublishedName

MAX_CHAPTERS = 200
MAX_EMBED_ORIGINS = 50
_ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9]([a-z0-9.\-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """From ``start_ms`` to the next chapter's start, or the end."""

    start_ms: int
    title: str

    def __post_init__(self) -> None:
        if self.start_ms < 0 or not self.title:
            raise ValueError("a chapter has a title and starts at or after the beginning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """``embed_origins``: web origins whose pages may frame the player, each ``scheme://host[:port]`` where the host may
    begin with ``*.``; None: any page may, an empty one: none."""

    chapters: tuple[Chapter, ...] = ()
    embed_origins: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        starts = [chapter.start_ms for chapter in self.chapters]
        if starts != sorted(set(starts)) or len(starts) > MAX_CHAPTERS:
            raise ValueError(f"there are at most {MAX_CHAPTERS} chapters, in order, no two from the same moment")
        origins = self.embed_origins or ()
        # These go into a Content-Security-Policy: nothing but an origin may come through.
        if len(origins) > MAX_EMBED_ORIGINS or not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("an origin looks like https://example.org, and there are not too many of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRuns:
    """What is stored of one rendition. ``runs``: half-open ranges of segment numbers, in order. Rates are over what is
    stored; None while nothing is."""

    runs: tuple[tuple[int, int], ...]
    size_bytes: int
    mean_rate_bps: int | None = None
    peak_rate_bps: int | None = None

    @property
    def count(self) -> int:
        return sum(stop - start for start, stop in self.runs)


class Showings(Protocol):
    """Each call is one transaction."""

    def showing(self, video: VideoId) -> Showing:
        """Of a video that says nothing, and of one that is not there: all defaults."""
        ...

    def set_showing(self, video: VideoId, showing: Showing) -> None:
        """Raises `NotFound`, `IllegalTransition` if the video is deleted."""
        ...

    def seen_as(self, videos: Sequence[VideoId]) -> dict[VideoId, Visibility]:
        """The visibilities of those of ``videos`` that say one."""
        ...

    def choose_poster(self, video: VideoId, poster: PublishedName) -> None:
        """``poster`` instead of the one that was made; a later one made by us does not replace it. Raises `NotFound`,
        `IllegalTransition` unless the video plays and has a poster."""
        ...

    def stored_runs(self, asset: AssetId) -> dict[str, StoredRuns]:
        """What is stored, by rendition; renditions without a segment are left out."""
        ...
