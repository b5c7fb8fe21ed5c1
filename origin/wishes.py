"""What a view of a manifest may ask for, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """A pathway of content steering: its name, and the address of the video's folder there."""

    name: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """``codecs``: beginnings of codec strings; a rendition with any of them stays, for its kind of media. ``licence_url``:
    where keys are to be had, in an MPD."""

    max_height: int | None = None
    codecs: tuple[str, ...] = ()
    language: str | None = None
    start_ms: int | None = None
    carries_token: bool = False
    edges: tuple[Edge, ...] = ()
    licence_url: str | None = None

    def takes_codec(self, codecs: str) -> bool:
        """Whether a rendition with this CODECS value stays. A wish for pictures says nothing about sound."""
        if not self.codecs:
            return True
        first = codecs.split(",")[0]
        return first.startswith(self.codecs)


def kept(heights: list[int | None], codecs: list[str], wishes: Wishes) -> list[bool]:
    """Which renditions stay. A limit that no rendition keeps to leaves the smallest, and codecs that none has leave
    all: something always plays."""
    takes = [wishes.takes_codec(each) for each in codecs]
    if not any(takes):
        takes = [True] * len(codecs)
    if wishes.max_height is None:
        return takes
    limit = wishes.max_height
    able = [height for height, take in zip(heights, takes, strict=True) if take and height is not None]
    if able and min(able) > limit:
        limit = min(able)
    return [take and (height is None or height <= limit) for height, take in zip(heights, takes, strict=True)]
