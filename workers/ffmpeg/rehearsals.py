"""Rehearsals: a small program opens, seeks and reads a source as ffmpeg is going to, so that its bytes are at hand then. The
command, and what it says of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction

from storage.media.codecs import DECODERS
from storage.media.source import Source
from workers.ffmpeg.excerpts import PROGRAM, RUN
from workers.ffmpeg.inputs import demuxer_of
from workers.ffmpeg.tools import Tools
from workers.planning.reads import Reads, packets_after

FURTHEST_S = 120
"""Where a seek lands so long before what was sought, there is no index: libavformat would read from there on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What lies where a seek lands, in seconds on the source's own clock. ``shown``: when each picture or packet of sound is
    that was read for the time that is wanted. ``keyframe``: when the first keyframe is; None: none was there."""

    shown: tuple[Fraction, ...]
    keyframe: Fraction | None


def rehearsal_command(tools: Tools, source: Source, reads: Reads, *, size: int) -> list[str]:
    """Read what a tool reads that seeks ``source``, ``size`` bytes long, to ``reads.start`` (None: it does not seek) and goes on
    until it has all of the one track to ``reads.stop``. Standard input is the source (`workers.streams`)."""
    (track,) = reads.tracks
    until = reads.stop if reads.stop is not None else source.start + source.duration
    return [
        *(str(tools.python), "-I", "-c", RUN, str(PROGRAM.parent)),
        *("--demuxer", demuxer_of(source), "--decoders", ",".join(DECODERS)),
        *("--size", str(size), "--track", str(track)),
        *([f"--seek-us={_us(reads.start)}"] if reads.start is not None else []),
        f"--until-us={_us(until)}",
        *("--more", str(packets_after(reads)), "--furthest-us", str(FURTHEST_S * 1_000_000)),
        *(["--keyframes-only"] if reads.keyframes_only else []),
    ]


def read_rehearsal(printed: bytes) -> Rehearsal | str:
    """What the program saw; or a sentence: why nothing is to be made of it."""
    try:
        report = json.loads(printed)
        if "error" in report:
            return str(report["error"])
        keyframe_us = report["keyframe_us"]
        return Rehearsal(
            shown=tuple(Fraction(int(time_us), 1_000_000) for time_us in report["shown_us"]),
            keyframe=Fraction(int(keyframe_us), 1_000_000) if keyframe_us is not None else None,
        )
    except (ValueError, KeyError, TypeError):
        return "what the program printed makes no sense"


def _us(seconds: Fraction) -> int:
    """Rounded down, as ffmpeg's own resolution of times (`inputs.decimal`)."""
    return seconds.numerator * 1_000_000 // seconds.denominator
