"""The sound of a source that is nowhere on this machine: its packets are copied out of what the store gives, and nothing
else of the file is kept."""

from __future__ import annotations

from fractions import Fraction

import structlog

from storage.errors import ToolFailed
from storage.media.ladder import AudioPiece, AudioRendition
from storage.media.source import Source
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from workers.ffmpeg.excerpts import excerpt_command, read_excerpt
from workers.ffmpeg.sound import Excerpt
from workers.frames import SoundFrames
from workers.planning.reads import piece_reads
from workers.steps.answering import run_answered
from workers.steps.context import StepContext
from workers.steps.framing import framed_excerpt
from workers.streams import ReadTooMuch, SourceStream

log = structlog.get_logger(__name__)

SEARCH_BYTES = 32 * 1024 * 1024
"""What the search for a place may cost."""
DENSEST = 4
"""Some parts of a film have so many times the bytes of others."""


def excerpt_of(ctx: StepContext, source: Source, rendition: AudioRendition, piece: AudioPiece) -> Excerpt | None:
    """The packets of ``piece`` of ``rendition`` in a file of the job's own, where the source is better read that way: None
    where a copy is, and where the track cannot be copied exactly. Raises what the store raises."""
    stream = ctx.stream(piece_reads(source, rendition, piece)) if ctx.stream is not None else None
    if stream is None:
        return None
    if stream.frames is not None:
        return _framed(ctx, source, piece, stream, stream.frames)
    to = ctx.scratch / "excerpt"
    argv = excerpt_command(ctx.tools, source, rendition, piece, size=stream.size, to=to)
    try:
        run = run_answered(ctx, argv, stream, _most_bytes(stream, source, piece))
        found = read_excerpt(run.stdout, source, piece, to)
    except (ToolFailed, ReadTooMuch) as error:
        found = str(error) or type(error).__name__
    finally:
        stream.close()
    if isinstance(found, Excerpt):
        return found
    log.info("excerpt_not_believed", **ctx.job.log_context(), said=found[-300:])
    return None


def _framed(
    ctx: StepContext, source: Source, piece: AudioPiece, stream: SourceStream, frames: SoundFrames
) -> Excerpt | None:
    stream.opened()
    try:
        return framed_excerpt(ctx, source, piece, stream, frames)
    except ValueError as error:
        log.info("excerpt_not_believed", **ctx.job.log_context(), said=str(error))
        return None
    finally:
        stream.close()


def _most_bytes(stream: SourceStream, source: Source, piece: AudioPiece) -> int:
    """Beyond this, a copy of the whole is cheaper: other pieces have it too then."""
    length = Fraction(len(piece.frames) * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ)
    share = min(Fraction(1), length / source.duration) if source.duration > 0 else Fraction(1)
    return SEARCH_BYTES + round(DENSEST * stream.size * share)
