"""Excerpts of sources that are nowhere on this machine: the command that makes one, and what it says of it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

from storage.media.codecs import DECODERS
from storage.media.ladder import AudioPiece, AudioRendition
from storage.media.source import Source
from workers.ffmpeg import excerpting
from workers.ffmpeg.inputs import demuxer_of
from workers.ffmpeg.sound import Excerpt, audio_lead, excerpt_times
from workers.ffmpeg.tools import Tools

PROGRAM = Path(excerpting.__file__).parent
RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from excerpting.__main__ import main; sys.exit(main(sys.argv[1:]))"
"""The program, found beside this one's modules, and none of those modules found with it."""
_READABLE = frozenset({"nut", "matroska", "flv", "asf", "avi"})


def excerpt_command(
    tools: Tools, source: Source, rendition: AudioRendition, piece: AudioPiece, *, size: int, to: Path
) -> list[str]:
    """Copy what `sound.audio_command` needs for ``piece`` of ``rendition`` to a file at ``to``. Standard input is the
    source, ``size`` bytes (`workers.streams`)."""
    seek, until = excerpt_times(source, piece)
    return [
        *(str(tools.python), "-I", "-c", RUN, str(PROGRAM.parent)),
        *("--demuxer", demuxer_of(source), "--decoders", ",".join(DECODERS)),
        *("--size", str(size), "--track", str(rendition.track_index)),
        *([f"--seek-us={_us(seek)}"] if seek is not None else []),
        f"--until-us={_us(until)}",
        str(to),
    ]


def read_excerpt(printed: bytes, source: Source, piece: AudioPiece, to: Path) -> Excerpt | str:
    """The excerpt that the program made at ``to``; or a sentence: why it is not to be believed."""
    try:
        report = json.loads(printed)
        if "error" in report:
            return str(report["error"])
        excerpt = Excerpt(
            path=to, demuxer=str(report["muxer"]), shift=Fraction(report["shift"]), searched=bool(report["searched"])
        )
        landed_us = report["landed_us"]
    except (ValueError, KeyError, TypeError):
        return "what the program printed makes no sense"
    seek, _ = excerpt_times(source, piece)
    if excerpt.demuxer not in _READABLE:
        return "it wrote a file of a kind that nobody asked for"
    # Where it landed at a time before the first sound that is wanted, there is no sound in between that it missed.
    if seek is not None and (landed_us is None or landed_us > _us(seek + audio_lead(source))):
        return "the place that was sought lies later"
    return excerpt


def _us(seconds: Fraction) -> int:
    """Rounded down, as ffmpeg's own resolution of times (`inputs.decimal`)."""
    return seconds.numerator * 1_000_000 // seconds.denominator
