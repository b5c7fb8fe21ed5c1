"""THUMBNAILS: a poster, and a storyboard of sprites for scrubbing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from storage import keys
from storage.content_types import content_type_of
from storage.crashpoints import CrashPoint, crashpoint
from storage.errors import ToolCrashed, ToolFailed, ToolTimedOut, WrongOutput
from storage.jobs import PublishedName, Thumbnailed
from storage.media.source import Source, VideoTrack
from workers.ffmpeg.command import video_track
from workers.ffmpeg.inputs import INDEXED, demuxer_of
from workers.ffmpeg.pictures import POSTER_SECONDS, poster_command, storyboard_command
from workers.ffmpeg.process import Limits, ToolRun, run_tool
from workers.planning.reads import Reads, storyboard_reads
from workers.planning.thumbnails import StoryboardPlan, plan_storyboard, run_up
from workers.steps.context import StepContext
from workers.steps.reading import run_on_part

LIMITS = Limits(memory_bytes=8 * 1024**3, output_bytes=64 * 1024**2)


def thumbnails(ctx: StepContext) -> Thumbnailed:
    """Make and store poster and storyboard, or the job's part of them. Raises `WrongOutput` if no picture came out."""
    source, plan = ctx.asset.source, ctx.asset.plan
    if source is None or plan is None:
        raise ValueError("an asset gets thumbnails after it was inspected and planned")
    track = video_track(source)
    storyboard = plan_storyboard(track, plan.duration)
    tiles = _tiles_of(ctx, storyboard)
    common: dict[str, Any] = {
        "threads": ctx.threads,
        "filters": ctx.tools.filters,
        "program": str(ctx.tools.ffmpeg),
    }

    def make_poster(path: Path) -> ToolRun:
        argv = poster_command(source, input_path=path, output_path=ctx.scratch / "poster.jpg", **common)
        return _run(ctx, argv, path)

    def make_sprites(lead: int) -> ToolRun:
        def make(path: Path) -> ToolRun:
            where: dict[str, Any] = {"input_path": path, "output_pattern": Path("tile-%d.jpg")}
            argv = storyboard_command(source, storyboard, tiles=tiles, lead=lead, **where, **common)
            return _run(ctx, argv, path)

        return run_on_part(ctx, storyboard_reads(source, track, storyboard, tiles, lead), make)

    lead = run_up(storyboard, tiles, _last_keyframe_s(source, track), _late_s(source, track))
    runs = [_with_enough_run_up(make_sprites, lead, storyboard.thumbnails_of(tiles).start)]
    posters: tuple[PublishedName, ...] = ()
    if tiles.start == 0:
        runs.append(run_on_part(ctx, Reads(tracks=(track.index,), stop=track.start + POSTER_SECONDS), make_poster))
        posters = (_stored_poster(ctx),)
    pictures = {number: _picture(ctx.scratch / f"tile-{number}.jpg") for number in tiles}
    part = len(tiles) < storyboard.tile_count
    version = _version_of_parts(ctx, storyboard) if part else keys.hash12(b"".join(pictures.values()))
    # One version for all, so that names differ in their number alone: a DASH SegmentTemplate can say no more.
    names = [f"storyboard/{number}-{version}.jpg" for number in range(storyboard.tile_count)]
    stored = tuple(_put(ctx, names[number], names[number], data, immutable=True) for number, data in pictures.items())
    return Thumbnailed(
        names=(*posters, *stored),
        storyboard=_record(storyboard, names),
        part=part,
        cpu_ms=sum(run.cpu_ms for run in runs),
    )


def _with_enough_run_up(make: Callable[[int], ToolRun], lead: int, longest: int) -> ToolRun:
    """Once more from the film's beginning where there is no picture after all where one should be."""
    try:
        return make(lead)
    except (ToolCrashed, ToolTimedOut):
        raise
    except ToolFailed:
        if lead == longest:
            raise
        return make(longest)


def _last_keyframe_s(source: Source, track: VideoTrack) -> Fraction | None:
    if track.duration is None:
        return None
    return track.start + track.duration - (track.keyframe_interval or 0) - source.start


def _late_s(source: Source, track: VideoTrack) -> Fraction:
    """Where seeks do not go by keyframes, the next one may be so far away."""
    return Fraction(0) if demuxer_of(source) in INDEXED else track.keyframe_interval or Fraction(0)


def _tiles_of(ctx: StepContext, storyboard: StoryboardPlan) -> range:
    """The job's sprites: all of them where its payload names none."""
    return range(*ctx.job.payload.get("tiles", (0, storyboard.tile_count)))


def _version_of_parts(ctx: StepContext, storyboard: StoryboardPlan) -> str:
    """What stands in the names of sprites that are made apart, where nobody has all their bytes to take a digest of. An
    asset's pictures are those of one source by one recipe, and a storyboard that is made anew has another asset. All parts
    must agree: what goes in here may only change with the recipe."""
    return keys.hash12(f"{ctx.asset.id} {storyboard}".encode())


def _run(ctx: StepContext, argv: list[str], path: Path) -> ToolRun:
    return run_tool(
        argv, tools=ctx.tools, scratch=ctx.scratch, reads=(path,), limits=_limits(ctx), stop=ctx.stop, nice=ctx.nice
    )


def _limits(ctx: StepContext) -> Limits:
    source = ctx.asset.source
    if source is not None and video_track(source).own_colours:
        return replace(LIMITS, memory_bytes=None, hardware=True)
    return LIMITS


def _stored_poster(ctx: StepContext) -> PublishedName:
    data = _picture(ctx.scratch / "poster.jpg")
    return _put(ctx, "poster.jpg", keys.versioned_name("poster.jpg", keys.hash12(data)), data, immutable=False)


def _picture(path: Path) -> bytes:
    if not path.exists() or path.stat().st_size == 0:
        raise WrongOutput("ffmpeg made no picture.", file=path.name)
    return path.read_bytes()


def _put(ctx: StepContext, name: str, object_name: str, data: bytes, *, immutable: bool) -> PublishedName:
    key, content_type = keys.asset_key(ctx.asset.id, object_name), content_type_of(object_name)
    ctx.blobs.put(key, data, content_type=content_type)
    crashpoint(CrashPoint.OBJECT_STORED, ctx.job.kind)
    return PublishedName(name=name, key=key, content_type=content_type, size_bytes=len(data), immutable=immutable)


def _record(storyboard: StoryboardPlan, tiles: list[str]) -> dict[str, Any]:
    return {
        "tiles": tiles,
        "columns": storyboard.columns,
        "rows": storyboard.rows,
        "interval": f"{storyboard.interval.numerator}/{storyboard.interval.denominator}",
        "tile_width": storyboard.width,
        "tile_height": storyboard.height,
        "count": storyboard.count,
    }
