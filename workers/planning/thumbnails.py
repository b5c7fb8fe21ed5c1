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


PART_S = Fraction(3000)
"""The storyboard of a longer film is made in parts of whole sprites that each cover at most so much of it (seconds): a
minute's work each, so that a large fleet does not wait for one of them, and little is lost with a worker."""
RUN_UP = 2
"""Thumbnails decoded before a part's first and dropped: which picture is shown depends on the keyframe before."""


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
        return -(-self.count // self.per_tile)

    @property
    def per_tile(self) -> int:
        return self.columns * self.rows

    def thumbnails_of(self, tiles: range) -> range:
        """The thumbnails on the sprites ``tiles``."""
        return range(tiles.start * self.per_tile, min(tiles.stop * self.per_tile, self.count))


def plan_storyboard(track: VideoTrack, duration: Fraction) -> StoryboardPlan:
    """The storyboard of a film of ``duration`` seconds whose pictures are ``track``."""
    interval = _interval(duration)
    width, height = poster_size(track, TILE_WIDTH)
    return StoryboardPlan(
        interval=interval,
        count=_count(duration),
        width=width,
        height=height,
        keyframes_only=duration > KEYFRAMES_FROM_S,
    )


def plan_parts(duration: Fraction) -> tuple[range, ...]:
    """The sprites of the storyboard of ``duration`` seconds, in parts as even as may be; none is longer than `PART_S`, or
    than one sprite."""
    per_tile = COLUMNS * ROWS
    tiles = -(-_count(duration) // per_tile)
    most = max(1, PART_S // (_interval(duration) * per_tile))
    parts = -(-tiles // most)
    return tuple(range(tiles * part // parts, tiles * (part + 1) // parts) for part in range(parts))


def run_up(
    storyboard: StoryboardPlan, tiles: range, last_keyframe_s: Fraction | None, late_s: Fraction = Fraction(0)
) -> int:
    """How many thumbnails before those of ``tiles`` are decoded and dropped. ``last_keyframe_s``: there is one at or after
    this time; None: not known. Where sound goes on and pictures do not, the last one is shown to the end. ``late_s``: so much
    later than sought a keyframe may come."""
    first = storyboard.thumbnails_of(tiles).start
    begin = first
    if last_keyframe_s is not None:
        begin = min(first, (last_keyframe_s / storyboard.interval).__floor__())
    return first - max(0, begin - max(RUN_UP, (late_s / storyboard.interval).__ceil__()))


def _interval(duration: Fraction) -> Fraction:
    return Fraction(next((every for limit, every in _INTERVALS if duration <= limit), _LONGEST_INTERVAL_S))


def _count(duration: Fraction) -> int:
    return max(1, (duration / _interval(duration)).__ceil__())


def poster_size(track: VideoTrack, widest: int = POSTER_WIDTH) -> tuple[int, int]:
    """The upright size in square pixels, at most ``widest`` wide and as high, in even numbers."""
    width, height = track.display_size
    shrink = min(Fraction(1), Fraction(widest, max(width, 1)), Fraction(widest, max(height, 1)))
    return (_even(width * shrink), _even(height * shrink))


def _even(length: Fraction | int) -> int:
    return max(2, round(Fraction(length) / 2) * 2)
