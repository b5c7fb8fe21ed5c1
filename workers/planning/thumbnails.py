"""Which thumbnails are made of a film. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from storage.media.source import VideoTrack

COLUMNS = ROWS = 10
TILE_WIDTH = 160
POSTER_WIDTH = 1280

# Up to this length (seconds) a thumbnail every so often (seconds): a timeline has room for some hundreds of them.
_INTERVALS: tuple[tuple[int, int], ...] = ((10 * 60, 2), (60 * 60, 5))
_LONGEST_INTERVAL_S = 10

KEYFRAMES_FROM_S = 60
"""From this length on, decoding keyframes alone is near enough, and tens of times cheaper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryboardPlan:
    """``count`` thumbnails of ``width`` x ``height``, the first at time zero, one every ``interval`` seconds."""

    interval: Fraction
    count: int
    width: int
    height: int
    columns: int = COLUMNS
    rows: int = ROWS
    keyframes_only: bool = False

    @property
    def tile_count(self) -> int:
        return -(-self.count // (self.columns * self.rows))


def plan_storyboard(track: VideoTrack, duration: Fraction) -> StoryboardPlan:
    """The storyboard of a film of ``duration`` seconds whose pictures are ``track``."""
    seconds = next((every for limit, every in _INTERVALS if duration <= limit), _LONGEST_INTERVAL_S)
    interval = Fraction(seconds)
    width, height = poster_size(track, TILE_WIDTH)
    return StoryboardPlan(
        interval=interval,
        count=max(1, (duration / interval).__ceil__()),
        width=width,
        height=height,
        keyframes_only=duration > KEYFRAMES_FROM_S,
    )


def poster_size(track: VideoTrack, widest: int = POSTER_WIDTH) -> tuple[int, int]:
    """The upright size in square pixels, at most ``widest`` wide and as high, in even numbers."""
    width, height = track.display_size
    shrink = min(Fraction(1), Fraction(widest, max(width, 1)), Fraction(widest, max(height, 1)))
    return (_even(width * shrink), _even(height * shrink))


def _even(length: Fraction | int) -> int:
    return max(2, round(Fraction(length) / 2) * 2)
