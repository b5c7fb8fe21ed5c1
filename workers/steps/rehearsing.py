"""A part of a source whose container does not tell us which bytes belong to a time: libavformat finds them. A small program
reads the source through us as ffmpeg is going to, and what it asked for stays here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import structlog

from storage.errors import ToolFailed
from storage.media.source import Source
from workers.ffmpeg.rehearsals import Rehearsal, read_rehearsal, rehearsal_command
from workers.planning.reads import AFTER_S, Reads, size_of
from workers.steps.answering import run_answered
from workers.steps.context import StepContext
from workers.streams import ReadTooMuch

log = structlog.get_logger(__name__)

LARGEST_SHARE = Fraction(3, 4)
"""Of more of a film than this, all of it is copied."""
SEARCH_BYTES = 32 * 1024 * 1024
SMALLEST_SEARCH_BYTES = 8 * 1024 * 1024
SEARCH_SHARE = 8
"""What the search for a place may cost: the first of these, or of small files an eighth, but never less than the second."""
DENSEST = 4
"""Some parts of a film have so many times the bytes of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """The copy at ``path`` holds what `Rehearsal` saw, and what the tool reads that the rehearsal was for."""

    path: Path
    seen: Rehearsal


def rehearsed(ctx: StepContext, reads: Reads) -> Rehearsed | None:
    """A copy with holes that holds what a tool reads which seeks to ``reads.start`` and needs the one track until
    ``reads.stop``. None where something else is better. Raises what the store raises."""
    source = ctx.asset.source
    if source is None or ctx.rehearsal is None:
        return None
    share = _share(source, reads)
    kept = ctx.rehearsal(reads, share) if share <= LARGEST_SHARE else None
    if kept is None:
        return None
    search_bytes = min(SEARCH_BYTES, max(SMALLEST_SEARCH_BYTES, kept.size // SEARCH_SHARE))
    argv = rehearsal_command(ctx.tools, source, reads, size=kept.size)
    try:
        run = run_answered(ctx, argv, kept, search_bytes, search_bytes + round(DENSEST * kept.size * share))
        seen = read_rehearsal(run.stdout)
    except (ToolFailed, ReadTooMuch) as error:
        seen = str(error) or type(error).__name__
    finally:
        kept.close()
    if isinstance(seen, Rehearsal):
        log.info(
            "source_part_read",
            **ctx.job.log_context(),
            wanted_bytes=size_of(kept.asked),
            held_bytes=size_of(kept.have),
            size_bytes=kept.size,
        )
        return Rehearsed(path=kept.path, seen=seen)
    kept.give_up()
    log.info("rehearsal_in_vain", **ctx.job.log_context(), said=seen[-300:])
    return None


def _share(source: Source, reads: Reads) -> Fraction:
    """How much of the film ``reads`` is."""
    start = reads.start if reads.start is not None else source.start
    stop = reads.stop + AFTER_S if reads.stop is not None else source.start + source.duration
    return min(Fraction(1), (stop - start) / source.duration) if source.duration > 0 else Fraction(1)
