"""The commands that make still pictures: poster and storyboard. Pure."""

from __future__ import annotations

from pathlib import Path

from storage.media.ladder import Chunk
from storage.media.source import Source
from storage.media.time import FrameRange
from workers.ffmpeg import graph
from workers.ffmpeg.command import video_track
from workers.ffmpeg.inputs import Options, demuxer_of, guarded, lasting
from workers.planning.thumbnails import StoryboardPlan, poster_size

POSTER_SECONDS = 8
"""A film often fades in: the poster is chosen from this many seconds."""
_POSTER_CANDIDATES_PER_S = 2

_JPEG: Options = {
    "c:v": "mjpeg",
    "f": "image2",
    "fps_mode": "passthrough",
    "map_metadata": -1,
}


def poster_command(
    source: Source,
    *,
    input_path: Path,
    output_path: Path,
    threads: int,
    filters: frozenset[str] = frozenset(),
    program: str = "ffmpeg",
) -> list[str]:
    """One JPEG of the most typical picture near the start."""
    track = video_track(source)
    size = poster_size(track)
    video = graph.opened(input_path, guarded(source, threads=threads), track.index)
    video = graph.deinterlaced(video, track)
    candidates = POSTER_SECONDS * _POSTER_CANDIDATES_PER_S
    video = (
        video.filter("setpts", "PTS-STARTPTS")
        .filter("trim", end=POSTER_SECONDS)
        .filter("fps", _POSTER_CANDIDATES_PER_S, eof_action="pass")
        # The one nearest to the average of all: not the black before a fade, and not the flash in between.
        .filter("thumbnail", n=candidates)
    )
    video = graph.tagged(graph.tone_mapped(video, track, size, filters), track, filters)
    # `update`: the name is a name, not a pattern for numbers.
    options = {**_JPEG, "update": 1, "frames:v": 1, "q:v": 3}
    return graph.arguments(program, [graph.written(graph.as_jpeg(video, *size), output_path, options)], threads=threads)


def storyboard_command(
    source: Source,
    storyboard: StoryboardPlan,
    *,
    input_path: Path,
    output_pattern: Path,
    threads: int,
    tiles: range | None = None,
    lead: int = 0,
    filters: frozenset[str] = frozenset(),
    program: str = "ffmpeg",
) -> list[str]:
    """JPEG sprites, numbered by ``output_pattern``: all from 0, or those of ``tiles``. Thumbnail ``n`` shows the film near
    ``n`` intervals: the same picture whether its sprite is made alone or with others, or the keyframe before or behind it.
    For where ffmpeg discards what lies between keyframes, the times of those of films with B-frames come out a few frames
    off, differently with where it began (seen with 9.0). ``lead``: `run_up`."""
    track = video_track(source)
    size = (storyboard.width, storyboard.height)
    tiles = tiles if tiles is not None else range(storyboard.tile_count)
    shown = storyboard.thumbnails_of(tiles)
    part = Chunk(index=0, frames=FrameRange(shown.start, shown.stop), first_segment=0)
    grid = graph.chunk_grid(part, frame_rate=1 / storyboard.interval, zero=source.start, lead=lead)
    first = shown.start - lead
    options = guarded(source, threads=threads, seek=source.start + first * storyboard.interval if first > 0 else None)
    if storyboard.keyframes_only:
        options["skip_frame"] = "nokey"
        if demuxer_of(source) == "mov":
            options["discard"] = "nokey"  # nor read what lies between: a local copy may not have it
    else:
        options |= lasting(track)
    video = graph.opened(input_path, options, track.index)
    if not storyboard.keyframes_only:
        video = graph.deinterlaced(video, track)
    # Small first: a thumbnail's colours are not worth tone mapping all of a picture.
    video = graph.on_grid(video, grid)
    video = graph.tagged(graph.tone_mapped(video, track, size, filters), track, filters)
    video = graph.as_jpeg(video, *size).filter("tile", f"{storyboard.columns}x{storyboard.rows}")
    return graph.arguments(
        program,
        [graph.written(video, output_pattern, {**_JPEG, "start_number": tiles.start, "q:v": 5})],
        threads=threads,
    )
