"""THUMBNAILS: a poster, and a storyboard of sprites for scrubbing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from storage import keys
from storage.content_types import content_type_of
from storage.crashpoints import CrashPoint, crashpoint
from storage.errors import WrongOutput
from storage.jobs import PublishedName, Thumbnailed
from workers.ffmpeg.command import video_track
from workers.ffmpeg.pictures import POSTER_SECONDS, poster_command, storyboard_command
from workers.ffmpeg.process import Limits, ToolRun, run_tool
from workers.planning.reads import Reads
from workers.planning.thumbnails import StoryboardPlan, plan_storyboard
from workers.steps.context import StepContext
from workers.steps.reading import run_on_part

LIMITS = Limits(memory_bytes=8 * 1024**3, output_bytes=64 * 1024**2)


def thumbnails(ctx: StepContext) -> Thumbnailed:
    """Make and store poster and storyboard. Raises `WrongOutput` if no picture came out."""
    source, plan = ctx.asset.source, ctx.asset.plan
    if source is None or plan is None:
        raise ValueError("an asset gets thumbnails after it was inspected and planned")
    storyboard = plan_storyboard(video_track(source), plan.duration)
    track = video_track(source)
    common: dict[str, Any] = {
        "threads": ctx.threads,
        "filters": ctx.tools.filters,
        "program": str(ctx.tools.ffmpeg),
    }

    def make_poster(path: Path) -> ToolRun:
        argv = poster_command(source, input_path=path, output_path=ctx.scratch / "poster.jpg", **common)
        return _run(ctx, argv, path)

    def make_storyboard(path: Path) -> ToolRun:
        argv = storyboard_command(source, storyboard, input_path=path, output_pattern=Path("tile-%d.jpg"), **common)
        return _run(ctx, argv, path)

    runs = (
        run_on_part(ctx, Reads(tracks=(track.index,), stop=track.start + POSTER_SECONDS), make_poster),
        run_on_part(ctx, Reads(tracks=(track.index,), keyframes_only=storyboard.keyframes_only), make_storyboard),
    )
    poster = _stored_poster(ctx)
    tiles = _stored_tiles(ctx, storyboard)
    return Thumbnailed(
        names=(poster, *tiles), storyboard=_record(storyboard, tiles), cpu_ms=sum(run.cpu_ms for run in runs)
    )


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


def _stored_tiles(ctx: StepContext, storyboard: StoryboardPlan) -> tuple[PublishedName, ...]:
    tiles = [_picture(ctx.scratch / f"tile-{number}.jpg") for number in range(storyboard.tile_count)]
    # One digest for all, so that their names differ in their number alone: a DASH SegmentTemplate can say no more.
    digest = keys.hash12(b"".join(tiles))
    names = [f"storyboard/{number}-{digest}.jpg" for number in range(len(tiles))]
    return tuple(_put(ctx, name, name, data, immutable=True) for name, data in zip(names, tiles, strict=True))


def _picture(path: Path) -> bytes:
    if not path.exists() or path.stat().st_size == 0:
        raise WrongOutput("ffmpeg made no picture.", file=path.name)
    return path.read_bytes()


def _put(ctx: StepContext, name: str, object_name: str, data: bytes, *, immutable: bool) -> PublishedName:
    key, content_type = keys.asset_key(ctx.asset.id, object_name), content_type_of(object_name)
    ctx.blobs.put(key, data, content_type=content_type)
    crashpoint(CrashPoint.OBJECT_STORED, ctx.job.kind)
    return PublishedName(name=name, key=key, content_type=content_type, size_bytes=len(data), immutable=immutable)


def _record(storyboard: StoryboardPlan, tiles: tuple[PublishedName, ...]) -> dict[str, Any]:
    return {
        "tiles": [tile.name for tile in tiles],
        "columns": storyboard.columns,
        "rows": storyboard.rows,
        "interval": f"{storyboard.interval.numerator}/{storyboard.interval.denominator}",
        "tile_width": storyboard.width,
        "tile_height": storyboard.height,
        "count": storyboard.count,
    }
