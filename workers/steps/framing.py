"""The sound of a file of MP3 or AAC that is nowhere on this machine: its frames from one to another are cut out as they are."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from storage.media.ladder import AudioPiece
from storage.media.source import Source
from workers.ffmpeg.sound import Excerpt, excerpt_times
from workers.frames import SoundFrames
from workers.steps.context import StepContext
from workers.streams import SourceStream

STEP_BYTES = 1024 * 1024


def framed_excerpt(
    ctx: StepContext, source: Source, piece: AudioPiece, stream: SourceStream, frames: SoundFrames
) -> Excerpt:
    """The frames of ``piece`` in a file of the job's own: from the one that a seek in the whole lands on, to what is needed
    behind the piece or the end of the file with all that stands there. Raises what the store raises, and `ValueError` where
    it is not the file that was counted."""
    seek, until = excerpt_times(source, piece)
    first = floor(seek / frames.frame_s) if seek is not None else 0
    stop = frames.place(ceil(until / frames.frame_s) + 1, stream.read)
    # What stands before the first frame says how much of it is the encoder's delay.
    start = frames.place(min(first, frames.count - 1), stream.read) if first > 0 else 0
    to = ctx.scratch / "excerpt"
    with to.open("wb") as file:
        for at in range(start, stop, STEP_BYTES):
            file.write(stream.read(at, min(stop, at + STEP_BYTES)))
    return Excerpt(
        path=to,
        demuxer=frames.demuxer,
        shift=-min(first, frames.count - 1) * frames.frame_s,
        heard_until=Fraction(frames.heard, frames.rate_hz),
    )
