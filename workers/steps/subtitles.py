"""SUBTITLES: text tracks of the source, or an uploaded file, as WebVTT: whole for DASH, in segments for HLS."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import structlog

from packager.subtitles import (
    MOST_SEGMENTED_BYTES,
    Subtitles,
    moved,
    parse_webvtt,
    render_webvtt,
    segment_webvtt,
    segmented_bytes,
    within,
)
from storage import keys
from storage.content_types import content_type_of
from storage.crashpoints import CrashPoint, crashpoint
from storage.errors import WrongOutput
from storage.jobs import Segment, Subtitled, SubtitleSegments
from storage.media.ladder import EncodePlan, SubtitleRendition
from storage.media.source import Note
from workers.ffmpeg.process import Interrupted, Limits, ToolRun, run_tool
from workers.ffmpeg.text import AHEAD, subtitles_command
from workers.planning.reads import Reads
from workers.planning.subtitles import seconds, segment_edges
from workers.steps.context import StepContext
from workers.steps.reading import run_on_part
from workers.steps.uploads import PARALLEL_PUTS

log = structlog.get_logger(__name__)

LIMITS = Limits(output_bytes=64 * 1024**2)
LARGEST_TEXT_BYTES = 16 * 1024**2


def subtitles(ctx: StepContext) -> Subtitled:
    """Store the job's tracks. One that cannot be read, or in which nothing is said, is left out, with a note."""
    plan = ctx.asset.plan
    if plan is None:
        raise ValueError("an asset gets subtitles after it was planned")
    rows = [row for row in ctx.asset.subtitles if row.rendition.name in ctx.job.payload["tracks"]]
    from_source = [row.rendition for row in rows if row.whole_name is None and not row.is_uploaded]
    made, notes, cpu_ms = _extracted(ctx, plan, from_source) if from_source else ([], [], 0)
    made += [_uploaded(ctx, plan, row.rendition.name, row.whole_name) for row in rows if row.whole_name is not None]
    return Subtitled(tracks=tuple(made), notes=tuple(notes), cpu_ms=cpu_ms)


def _extracted(
    ctx: StepContext, plan: EncodePlan, renditions: list[SubtitleRendition]
) -> tuple[list[SubtitleSegments], list[Note], int]:
    files = [ctx.scratch / f"{rendition.name}.vtt" for rendition in renditions]
    run = _run(ctx, renditions, files)
    made: list[SubtitleSegments] = []
    notes: list[Note] = []
    for rendition, file in zip(renditions, files, strict=True):
        try:
            text = within(moved(parse_webvtt(_text(file)), -AHEAD), plan.duration)
            if (
                segmented_bytes(text, duration=plan.duration, segment=plan.ladder.segment_seconds)
                > MOST_SEGMENTED_BYTES
            ):
                raise WrongOutput("Its cues stand for so long that all segments are full of them.", file=file.name)
        except WrongOutput as error:
            log.info("subtitles_not_read", **ctx.job.log_context(), rendition=rendition.name, said=error.sentence)
            notes.append(_unreadable(rendition))
            continue
        if text.cues:
            made.append(stored_track(ctx, plan, rendition.name, text))
        else:
            notes.append(_empty(rendition))
    return made, notes, run.cpu_ms


def _run(ctx: StepContext, renditions: list[SubtitleRendition], files: list[Path]) -> ToolRun:
    source = ctx.asset.source
    if source is None:
        raise ValueError("an asset gets subtitles after it was inspected")

    def extract(path: Path) -> ToolRun:
        argv = subtitles_command(source, renditions, input_path=path, output_paths=files, program=str(ctx.tools.ffmpeg))
        # One damaged track must not take the others along: what came out is looked at, not the exit code.
        return run_tool(
            argv,
            tools=ctx.tools,
            scratch=ctx.scratch,
            reads=(path,),
            limits=LIMITS,
            stop=ctx.stop,
            nice=ctx.nice,
            check=False,
        )

    tracks = tuple(rendition.track_index for rendition in renditions if rendition.track_index is not None)
    return run_on_part(ctx, Reads(tracks=tracks), extract)


def _text(file: Path) -> str:
    if not file.exists() or file.stat().st_size > LARGEST_TEXT_BYTES:
        raise WrongOutput("There is no text, or far too much of it.", file=file.name)
    return file.read_text(encoding="utf-8", errors="replace")


def _uploaded(ctx: StepContext, plan: EncodePlan, name: str, whole_name: str) -> SubtitleSegments:
    whole = ctx.blobs.get(keys.rendition_key(ctx.asset.id, name, whole_name))
    text = within(parse_webvtt(whole.decode("utf-8")), plan.duration)
    return _cut(ctx, plan, name, text, (whole_name, len(whole)))


def stored_track(ctx: StepContext, plan: EncodePlan, name: str, text: Subtitles) -> SubtitleSegments:
    """``text`` as the rendition ``name``, stored whole and in segments."""
    whole = render_webvtt(text).encode()
    whole_name = keys.whole_subtitles_name(keys.hash12(whole))
    _put(ctx, name, whole_name, whole)
    return _cut(ctx, plan, name, text, (whole_name, len(whole)))


def _cut(ctx: StepContext, plan: EncodePlan, name: str, text: Subtitles, whole: tuple[str, int]) -> SubtitleSegments:
    """Segments of ``text``; ``whole``: name and size of the file that has all of it."""
    edges = segment_edges(plan)
    bodies = segment_webvtt(text, [seconds(edge, plan) for edge in edges])
    return SubtitleSegments(
        rendition=name,
        whole_name=whole[0],
        whole_size_bytes=whole[1],
        timescale=plan.ladder.timescale,
        segments=_stored_segments(ctx, name, edges, bodies),
    )


def _stored_segments(
    ctx: StepContext, rendition: str, edges: Sequence[int], bodies: Iterable[str]
) -> tuple[Segment, ...]:
    """Where nothing is said, or still the same, segments are alike: they share the object of the first of them. Bodies
    are let go once they are stored: together they may be large."""
    names: dict[bytes, str] = {}
    segments: list[Segment] = []
    under_way: deque[Future[None]] = deque()

    def settle_one() -> None:
        under_way.popleft().result()
        crashpoint(CrashPoint.OBJECT_STORED, ctx.job.kind)

    with ThreadPoolExecutor(PARALLEL_PUTS, thread_name_prefix="put") as pool:
        for number, ((start, stop), text) in enumerate(zip(pairwise(edges), bodies, strict=True)):
            body = text.encode()
            digest = hashlib.sha256(body).digest()
            if digest not in names:
                names[digest] = keys.subtitle_name(number, keys.hash12(body))
                if len(under_way) >= PARALLEL_PUTS:
                    settle_one()
                under_way.append(pool.submit(_put, ctx, rendition, names[digest], body))
            segments.append(
                Segment(
                    number=number,
                    name=names[digest],
                    start_ticks=start,
                    duration_ticks=stop - start,
                    size_bytes=len(body),
                )
            )
        while under_way:
            settle_one()
    return tuple(segments)


def _put(ctx: StepContext, rendition: str, name: str, body: bytes) -> None:
    if ctx.stop.is_set():
        raise Interrupted
    key = keys.rendition_key(ctx.asset.id, rendition, name)
    ctx.blobs.put(key, body, content_type=content_type_of(name))


def _unreadable(rendition: SubtitleRendition) -> Note:
    return Note(
        code="subtitles_unreadable",
        sentence=f"The subtitles “{rendition.label}” could not be read and were left out.",
    )


def _empty(rendition: SubtitleRendition) -> Note:
    return Note(code="subtitles_empty", sentence=f"The subtitles “{rendition.label}” say nothing and were left out.")
