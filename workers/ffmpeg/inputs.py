"""How ffmpeg is let at a file that a stranger made: the demuxer pinned, and lists of what may run. Pure."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from storage.media.codecs import DECODERS
from storage.media.source import Source, VideoTrack

Options = dict[str, Any]  # ffmpeg-python takes options by keyword; None stands for a flag without a value

# fmt: off
GLOBAL: tuple[str, ...] = (
    "-nostdin",  # a worker has no keyboard, and ffmpeg would take one away from a terminal
    "-hide_banner",
    "-nostats",
    "-loglevel", "warning",  # the tail of standard error is what a person gets to see
    "-y",  # a second run with a longer run-up writes to the same names
    # Whether too little could be decoded is judged by the pictures that came out, not by ffmpeg's ratio.
    "-max_error_rate", "1.0",
)
# fmt: on

# Demuxers whose seeks land on the keyframe at or before the time asked for: they have an index of keyframes.
INDEXED = frozenset({"mov", "matroska"})
# Demuxers whose timestamps are rounded to milliseconds.
MILLISECOND_CLOCKS = frozenset({"matroska", "flv", "asf"})


def demuxer_of(source: Source) -> str:
    """The one name of the demuxer: ffmpeg lists several for some, and takes only one of them."""
    return source.demuxer.partition(",")[0]


def guarded(source: Source, *, threads: int, seek: Fraction | None = None) -> Options:
    """Input options for ``source``. ``seek``: start decoding at the last keyframe at or before this time of the source's
    own clock; None: at its beginning."""
    demuxer = demuxer_of(source)
    options: Options = {
        # A playlist in a file named .mp4 must not be opened as one: it would read its neighbours.
        "format": demuxer,
        "format_whitelist": demuxer,
        "protocol_whitelist": "file",
        "codec_whitelist": ",".join(DECODERS),
        # Bombs: thousands of streams, pictures of gigabytes, headers that allocate before they are checked.
        "max_streams": 128,
        "max_pixels": 8192 * 8192,
        "max_alloc": 1 << 30,
        "threads": threads,
        # Times stay the source's own: the grid of output frames is anchored to them.
        "copyts": None,
        # A change of size in mid-stream must not start the graph, and with it the frame count, all over.
        "reinit_filter": 0,
    }
    if seek is not None:
        options |= {
            "ss": decimal(seek),
            "seek_timestamp": 1,  # `ss` means the source's clock, not an offset from its start
            "noaccurate_seek": None,  # what lies before is dropped by our own filters, which know the grid
        }
    return options


def lasting(track: VideoTrack) -> Options:
    """Input options that say how long each picture lasts, where some have no time of their own. ffmpeg shows these when the one
    before them ends, by the rate that the stream claims or by the times of the two before: with a nonsense rate it leaps
    after a seek. Where all have times nothing is said: older versions of ffmpeg have no filters for what they read."""
    if not (track.untimed and track.steady):
        return {}
    return {
        "bsf:v": f"setts=pts=PTS:dts=NOPTS:duration=1/({track.frame_rate.numerator}/{track.frame_rate.denominator}*TB)"
    }


def located(path: Path) -> str:
    """``path`` as ffmpeg takes it literally, whatever characters it has."""
    return f"file:{path}"


def decimal(seconds: Fraction) -> str:
    """Microseconds, rounded down: ffmpeg's own resolution of times."""
    micros = seconds.numerator * 1_000_000 // seconds.denominator
    sign = "-" if micros < 0 else ""
    return f"{sign}{abs(micros) // 1_000_000}.{abs(micros) % 1_000_000:06d}"
