"""The storyboard's WebVTT: which part of which sprite to show for which time, as players' thumbnail tracks expect it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from packager.presentation import Storyboard


def tile_url(tile: str) -> str:
    """URL of a sprite relative to the presentation. Tiles may be named with or without their folder."""
    return tile if "/" in tile else f"storyboard/{tile}"


def render_storyboard(storyboard: Storyboard, *, duration: Fraction) -> str:
    """One cue a thumbnail, in order, as a media fragment (``#xywh=``) of its sprite; the last one ends with the film."""
    return "\n\n".join(["WEBVTT", *_cues(storyboard, duration)]) + "\n"


def _cues(storyboard: Storyboard, duration: Fraction) -> Iterator[str]:
    per_tile = storyboard.columns * storyboard.rows
    for index in range(storyboard.count):
        start = index * storyboard.interval
        stop = min(start + storyboard.interval, duration)
        if stop <= start:
            return
        tile, place = divmod(index, per_tile)
        row, column = divmod(place, storyboard.columns)
        region = f"{column * storyboard.width},{row * storyboard.height},{storyboard.width},{storyboard.height}"
        yield f"{_clock(start)} --> {_clock(stop)}\n{tile_url(storyboard.tiles[tile])}#xywh={region}"


def _clock(seconds: Fraction) -> str:
    """``hh:mm:ss.mmm`` (WebVTT section 4.2)."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{second:02d}.{milliseconds:03d}"
