"""SubRip (``.srt``), which has no specification, as the cues of WebVTT: read as players read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from packager.subtitles import Cue, Subtitles, timestamp
from storage.errors import WrongOutput

_TIME = r"(\d{1,3}):([0-5]?\d):([0-5]?\d)[,.](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s+.*)?")
# What of its marks WebVTT knows too. Colours, sizes and places (``{\an8}``) are left out.
_KEPT_TAG = re.compile(r"&lt;(/?[ibu])&gt;", re.IGNORECASE)
# A search for the end of a mark ends where another one begins: else a line of many beginnings takes a square of time.
_LOST_TAG = re.compile(r"</?font\b[^<>]{0,500}>|\{\\[^{}]{0,500}\}", re.IGNORECASE)


def parse_subrip(text: str) -> Subtitles:
    """Read a SubRip file. Raises `WrongOutput` where no cue is found in it."""
    cues = tuple(_cues(re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff")).split("\n")))
    if not cues:
        raise WrongOutput("This is not SubRip.")
    return Subtitles(styles=(), cues=cues)


def _cues(lines: list[str]) -> Iterator[Cue]:
    at = 0
    while at < len(lines):
        timing = _TIMING.fullmatch(lines[at])
        at += 1
        if timing is None:
            continue
        said = []
        while at < len(lines) and lines[at].strip() and not _TIMING.fullmatch(lines[at]):
            said.append(lines[at])
            at += 1
        start, stop = _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:])
        body = "\n".join(filter(None, map(_plain, said)))
        if stop > start and body:
            yield Cue(start=start, stop=stop, text=f"{timestamp(start)} --> {timestamp(stop)}\n{body}")


def _seconds(parts: tuple[str, ...]) -> Fraction:
    hours, minutes, seconds = map(int, parts[:3])
    return (hours * 60 + minutes) * 60 + seconds + Fraction(int(parts[3].ljust(3, "0")), 1000)


def _plain(line: str) -> str:
    """One line as cue text: what is no mark of ours is text (W3C WebVTT, 4.2.2)."""
    bare = _LOST_TAG.sub("", line.strip())
    escaped = bare.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _KEPT_TAG.sub(lambda tag: f"<{tag[1].lower()}>", escaped)
