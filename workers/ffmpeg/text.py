"""The command that reads subtitles: all text tracks of a source at once, as WebVTT. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from storage.media.codecs import DECODERS, TEXT_DECODERS
from storage.media.ladder import SubtitleRendition
from storage.media.source import Source
from workers.ffmpeg import graph
from workers.ffmpeg.inputs import Options, decimal, guarded

AHEAD = Fraction(3600)
"""How much later than on our clock cues are written: WebVTT cannot say that one begins before zero."""


def subtitles_command(
    source: Source,
    renditions: Sequence[SubtitleRendition],
    *,
    input_path: Path,
    output_paths: Sequence[Path],
    program: str = "ffmpeg",
) -> list[str]:
    """Write each of ``renditions``, which have tracks in ``source``, to its file of ``output_paths``, `AHEAD` of our clock."""
    options = guarded(source, threads=1)
    options["codec_whitelist"] = ",".join((*DECODERS, *TEXT_DECODERS))
    del options["reinit_filter"]  # there are no pictures to filter
    outputs = []
    for rendition, path in zip(renditions, output_paths, strict=True):
        if rendition.track_index is None:
            raise ValueError("uploaded subtitles are not in the source")
        written: Options = {
            "c:s": "webvtt",
            "f": "webvtt",
            "map_metadata": -1,
            "output_ts_offset": decimal(AHEAD - source.start),
            "avoid_negative_ts": "disabled",
        }
        outputs.append(graph.written(graph.opened(input_path, options, rendition.track_index), path, written))
    return graph.arguments(program, outputs, threads=1)
