"""How videos were played: what is kept of a play, and the port that keeps it.

A play is one session of one player with one video, as CMCD reports tell of it. Several processes hear of one play, in any
order, so what they hand over is increments that add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from storage.grants import Visibility
from storage.ids import VideoId


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was newly heard of a play. ``startup_ms``: from the wish to play to the first picture; None: not told.
    ``weighted_kbps_ms``: bitrate × media time, over the ``media_ms`` that were asked for. ``position_ms``: how far into
    the video it got."""

    video: VideoId
    session: str
    at_ms: int
    startup_ms: int | None = None
    stalls: int = 0
    stalled_ms: int = 0
    media_ms: int = 0
    weighted_kbps_ms: int = 0
    switches: int = 0
    failures: int = 0
    position_ms: int = 0
    requests: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """A play as it stands: the sum of what was heard."""

    video: VideoId
    session: str
    started_at_ms: int
    updated_at_ms: int
    startup_ms: int | None
    stalls: int
    stalled_ms: int
    media_ms: int
    weighted_kbps_ms: int
    switches: int
    failures: int
    position_ms: int
    requests: int
    sent_bytes: int

    @property
    def mean_kbps(self) -> float | None:
        return self.weighted_kbps_ms / self.media_ms if self.media_ms else None

    @property
    def rebuffer_ratio(self) -> float:
        """Time stalled of the time played and stalled, start-up apart."""
        whole_ms = self.media_ms + self.stalled_ms
        return self.stalled_ms / whole_ms if whole_ms else 0.0


class Plays(Protocol):
    """Each call is one transaction. All block."""

    def record_plays(self, heard: tuple[Heard, ...]) -> int:
        """Add what was heard to its plays; a play that is new counts as a view of its video, once and for good. How many
        were new."""
        ...

    def plays(self, video: VideoId, *, since_ms: int = 0, limit: int = 10_000) -> tuple[Play, ...]:
        """The plays of a video that are still kept, newest first."""
        ...

    def views(self, video: VideoId) -> int:
        """How often a video was played, ever; forgotten plays count."""
        ...

    def forget_plays(self, before_ms: int) -> int:
        """Drop plays that ended before; how many."""
        ...


class Visibilities(Protocol):
    def visibility(self, video: VideoId) -> Visibility | None:
        """Who may play a video; None: as the origin's default says."""
        ...

    def set_visibility(self, video: VideoId, visibility: Visibility | None) -> None:
        """Raises `NotFound`."""
        ...
