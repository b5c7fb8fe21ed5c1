"""WebVTT for HLS: one whole text cut into segments, each a file of its own with the same clock as the media.

DASH takes the whole text as it is: segments of raw WebVTT in an MPD keep dash.js from starting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from storage.errors import WrongOutput

MOST_SEGMENTED_BYTES = 64 << 20
"""Of all segments of a track together. What is said in a day takes a tenth of it; cues that stand for hours take more."""
TIMESTAMP_MAP = "X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000"
"""Media starts at zero on every clock of ours, so cue times are media times (RFC 8216bis section 3.1.4)."""

_TIME = r"(?:(\d{2,4}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_TIMING = re.compile(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t]+.*)?")
_KEPT_BLOCKS = ("STYLE", "REGION")
_REFERENCE = re.compile(r"url\s*\(|@import|\\", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A cue from ``start`` to ``stop`` seconds; ``text``: its whole block, identifier, timing line and settings included."""

    start: Fraction
    stop: Fraction
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtitles:
    """A WebVTT file: style and region blocks, which hold for all of it, and cues in their order."""

    styles: tuple[str, ...]
    cues: tuple[Cue, ...]


def parse_webvtt(text: str) -> Subtitles:
    """Read a WebVTT file (W3C WebVTT section 4.1). Raises `WrongOutput` where it is none."""
    blocks = [
        block for block in re.split(r"\n{2,}", re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff")).strip("\n")) if block
    ]
    if not blocks or not re.match(r"WEBVTT(?:[ \t\n]|$)", blocks[0]):
        raise WrongOutput("This is not WebVTT.")
    # Style sheets may name other files, which is nobody's business here.
    kept = (block for block in blocks[1:] if block.startswith(_KEPT_BLOCKS))
    styles = tuple(block for block in kept if not _REFERENCE.search(block))
    return Subtitles(styles=styles, cues=tuple(_cues(blocks[1:])))


def _cues(blocks: Sequence[str]) -> Iterator[Cue]:
    for block in blocks:
        timing = next((found for line in block.split("\n")[:2] if (found := _TIMING.fullmatch(line.strip()))), None)
        if timing is not None:
            start, stop = _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:])
            if stop > start and not block.endswith(timing[0]):  # one that says nothing is none
                yield Cue(start=start, stop=stop, text=block)


def _seconds(parts: Sequence[str | None]) -> Fraction:
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in parts)
    return Fraction(((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds, 1000)


def moved(subtitles: Subtitles, seconds: Fraction) -> Subtitles:
    """``subtitles`` later by ``seconds``. What begins before zero then begins there, and what ends before is gone."""
    return replace(subtitles, cues=tuple(_moved(cue, seconds) for cue in subtitles.cues if cue.stop + seconds > 0))


def _moved(cue: Cue, seconds: Fraction) -> Cue:
    start, stop = max(Fraction(0), cue.start + seconds), cue.stop + seconds
    timing = f"{timestamp(start)} --> {timestamp(stop)}"
    return Cue(start=start, stop=stop, text=re.sub(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}", timing, cue.text, count=1))


def timestamp(seconds: Fraction) -> str:
    """``00:00:01.500``, as WebVTT tells time, to the millisecond."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{milliseconds:03}"


def within(subtitles: Subtitles, duration: Fraction) -> Subtitles:
    """``subtitles`` without what would be said after the film's end."""
    return replace(subtitles, cues=tuple(cue for cue in subtitles.cues if cue.start < duration))


def render_webvtt(subtitles: Subtitles) -> str:
    """The whole file, for players that take it at once."""
    return "\n\n".join(["WEBVTT", *subtitles.styles, *(cue.text for cue in subtitles.cues)]) + "\n"


def segmented_bytes(subtitles: Subtitles, *, duration: Fraction, segment: Fraction) -> int:
    """What all segments of a film hold together: styles stand in each of them, a cue in every one that it touches."""
    segments = ceil(duration / segment)
    total = segments * sum(len(style.encode()) for style in subtitles.styles)
    for cue in within(subtitles, duration).cues:
        touched = min(ceil(cue.stop / segment), segments) - floor(cue.start / segment)
        total += max(0, touched) * len(cue.text.encode())
    return total


def segment_webvtt(subtitles: Subtitles, edges: Sequence[Fraction]) -> Iterator[str]:
    """One WebVTT file for each span between two ``edges``, in seconds: to the film's end, also where nothing is said, as
    all renditions cover the same time (Apple 5.5). A cue stands in every segment that it touches, with its own times:
    players know it by them and show it once (RFC 8216bis section 3.1.4). One after the other: together they may be far
    larger than the file they are cut from."""
    head = "\n\n".join([f"WEBVTT\n{TIMESTAMP_MAP}", *subtitles.styles])
    cues = sorted(subtitles.cues, key=lambda cue: cue.start)
    open_cues: list[Cue] = []
    at = 0
    for start, stop in pairwise(edges):
        while at < len(cues) and cues[at].start < stop:
            open_cues.append(cues[at])
            at += 1
        open_cues = [cue for cue in open_cues if cue.stop > start]
        yield "\n\n".join([head, *(cue.text for cue in open_cues)]) + "\n"
