"""ENCODE: one chunk of the video, decoded once, in all the rungs that the job names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import structlog

from packager.cmaf import cut_video
from storage.errors import DamagedSource, ToolFailed
from storage.jobs import Encoded, Lane, RenditionSegments, Replanned
from storage.media.encoders import Family
from storage.media.ladder import Chunk, EncodePlan, Rung
from storage.media.source import Source
from workers.ffmpeg import command
from workers.ffmpeg.hardware import why
from workers.ffmpeg.process import Limits, ToolRun, run_tool
from workers.ffmpeg.rehearsals import Rehearsal
from workers.planning.on_cpu import on_cpu
from workers.planning.policy import decoding_threads
from workers.planning.reads import chunk_reads
from workers.steps.context import StepContext
from workers.steps.encoded_file import mapped
from workers.steps.losses import FEW_PICTURES, missing_pictures, picture_notes, uncounted_pictures, worth_telling
from workers.steps.reading import no_complaints, run_on_part
from workers.steps.uploads import store_rendition

log = structlog.get_logger(__name__)

RUN_UP_GROWTH = 4
FRAME_REPORT = "frames.txt"
NO_TIME = -(2**63)
"""How ffmpeg writes that a picture has no time of its own (`AV_NOPTS_VALUE`): those with B-frames in AVI have none."""
LARGE_PIXELS = 4096 * 2304
LATER_STEPS_BACK = 4
"""How much further than the first chunk, in the rungs that are made of it first, all other work on pictures steps back: nothing is
published before that one is there. With 8 or 14 it was hardly faster, and players on the same CPUs as workers waited longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What one job is about, looked up in the plan."""

    source: Source
    plan: EncodePlan
    chunk: Chunk
    rungs: tuple[Rung, ...]

    @property
    def family(self) -> Family | None:
        """The hardware that all rungs need."""
        return self.rungs[0].encoder.family


def encode(ctx: StepContext) -> Encoded | Replanned:
    """Encode the job's chunk in the job's rungs and store the segments. Where a graphics card fails at that, its renditions
    are planned anew for the CPU. Raises `DamagedSource` if no picture of the source up to the chunk's end can be decoded,
    and what `run_tool` raises."""
    work = _work(ctx)
    if work.family is None:
        return _encoded(ctx, work)
    try:
        return _encoded(ctx, work)
    except ToolFailed as error:
        failure = why(error.stderr_tail)
        log.warning(
            "hardware_failed",
            **ctx.job.log_context(),
            family=str(work.family),
            failure=str(failure),
            error=error.sentence,
            stderr=error.stderr_tail[-500:],
        )
        return on_cpu(work.plan, ctx.video.lane, str(failure))


def _encoded(ctx: StepContext, work: _Work) -> Encoded:
    outputs = [ctx.scratch / f"{rung.name}.mp4" for rung in work.rungs]
    cpu_ms = 0
    for lead in run_ups(work.chunk, _first_lead(work)):
        run = _run(ctx, work, outputs, lead)
        cpu_ms += run.cpu_ms
        times = _picture_times(ctx.scratch / FRAME_REPORT)
        # Another run-up does not help a graphics card that fails.
        if run.exit_code != 0 and (times or work.family is not None):
            raise ToolFailed(
                f"ffmpeg ended with exit code {run.exit_code}.",
                argv=run.argv,
                exit_code=run.exit_code,
                stderr_tail=run.stderr_tail,
            )
        if times and (lead == work.chunk.frames.start or _came_in_time(ctx, times, work, lead)):
            lost = picture_notes(
                work.source, work.plan, work.chunk, times, run.stderr_tail, from_start=lead == work.chunk.frames.start
            )
            return Encoded(
                outputs=tuple(_store(ctx, work, outputs)), cpu_ms=cpu_ms, notes=worth_telling(lost, ctx.video.notes)
            )
        log.info("run_up_too_short", **ctx.job.log_context(), lead_frames=lead, pictures=len(times))
    raise _nothing_decoded(ctx, work, run)


def run_ups(chunk: Chunk, first: int) -> Iterator[int]:
    """Run-ups to try, in frames: longer and longer, the last one from the start of the film."""
    lead = first
    while lead < chunk.frames.start:
        yield lead
        lead *= RUN_UP_GROWTH
    yield chunk.frames.start


def _first_lead(work: _Work) -> int:
    """Of a file of which only the beginning is at hand, all is read from the start on: a seek would look elsewhere."""
    if work.source.early_bytes is not None and work.chunk in work.plan.early_chunks:
        return work.chunk.frames.start
    return command.default_lead(work.source, work.plan)


def _work(ctx: StepContext) -> _Work:
    source, plan = ctx.asset.source, ctx.asset.plan
    if source is None or plan is None:
        raise ValueError("an asset is encoded after it was inspected and planned")
    chunk = plan.chunks[int(ctx.job.payload["chunk"])]
    rungs = {rung.name: rung for rung in plan.ladder.rungs}
    return _Work(source=source, plan=plan, chunk=chunk, rungs=tuple(rungs[name] for name in ctx.job.payload["rungs"]))


def _run(ctx: StepContext, work: _Work, outputs: Sequence[Path], lead: int) -> ToolRun:
    track = command.video_track(work.source)
    reads = chunk_reads(work.source, track, work.plan, work.chunk, lead)
    return run_on_part(
        ctx,
        reads,
        lambda path: _run_on(ctx, work, outputs, lead, path),
        doubt=lambda seen, run: _doubt(ctx, work, lead, seen, run),
    )


def _doubt(ctx: StepContext, work: _Work, lead: int, seen: Rehearsal, run: ToolRun) -> str | None:
    """Decoders may complain after a seek: so what came out is counted, by times or, of pictures without times of their own, one
    by one. And it begins where the rehearsal says that it can, not with what else lies in the copy."""
    times = _picture_times(ctx.scratch / FRAME_REPORT)
    lost = picture_notes(
        work.source, work.plan, work.chunk, times, run.stderr_tail, from_start=lead == work.chunk.frames.start
    )
    if lost:
        return lost[0].sentence
    should = seen.keyframe is not None and _starts_in_time(seen.keyframe, work)
    if should is not (bool(times) and _came_in_time(ctx, times, work, lead)):
        return "it did not begin with the keyframe that the file has there"
    if seen.keyframe is None:
        return no_complaints(run)
    expected = [time for time in seen.shown if time >= seen.keyframe]
    known = [time for time in times if time is not None]
    if len(known) == len(times):
        return missing_pictures(work.source, work.plan, work.chunk, known, expected)
    numbers = _picture_numbers(ctx.scratch / FRAME_REPORT)
    return no_complaints(run) or uncounted_pictures(work.source, work.plan, work.chunk, numbers, expected)


def _run_on(ctx: StepContext, work: _Work, outputs: Sequence[Path], lead: int, path: Path) -> ToolRun:
    argv = command.encode_command(
        work.source,
        work.plan,
        work.chunk,
        work.rungs,
        input_path=path,
        output_paths=outputs,
        lead=lead,
        threads=decoding_threads(ctx.threads, len(work.rungs)),
        filters=ctx.tools.filters,
        frame_report=ctx.scratch / FRAME_REPORT,
        decoder=_decoder(ctx, work),
        program=str(ctx.tools.ffmpeg),
    )
    (ctx.scratch / FRAME_REPORT).unlink(missing_ok=True)
    return run_tool(
        argv,
        tools=ctx.tools,
        scratch=ctx.scratch,
        reads=(path,),
        limits=_limits(work),
        stop=ctx.stop,
        nice=ctx.nice if _plays_first(ctx, work) else min(19, ctx.nice + LATER_STEPS_BACK),
        check=False,
    )


def _plays_first(ctx: StepContext, work: _Work) -> bool:
    return work.chunk.index == 0 and ctx.job.lane is Lane.PLAYABLE


def _decoder(ctx: StepContext, work: _Work) -> Family | None:
    decodes = ctx.tools.hardware.decodes if ctx.tools.hardware is not None else ()
    return work.family if work.family in decodes else None


def _limits(work: _Work) -> Limits:
    """Pictures above 4K need more memory than the usual limit leaves."""
    track = command.video_track(work.source)
    if work.family is not None or track.own_colours:
        return Limits(memory_bytes=None, output_bytes=2 * 1024**3, hardware=True)
    large = track.width * track.height > LARGE_PIXELS
    return Limits(memory_bytes=(16 if large else 8) * 1024**3, output_bytes=2 * 1024**3)


def _picture_times(report: Path) -> list[Fraction | None]:
    """Of every frame that came out, the source's own time of the picture it shows; None where ffmpeg does not say."""
    lines = report.read_text().splitlines() if report.exists() else []
    return [_picture_time(line) for line in lines]


def _picture_time(line: str) -> Fraction | None:
    try:
        ticks, timebase, _ = line.split()
        return int(ticks) * Fraction(timebase) if int(ticks) != NO_TIME else None
    except (ValueError, ZeroDivisionError):
        return None


def _picture_numbers(report: Path) -> list[int]:
    """Of every frame that came out, how many pictures were decoded before the one that it shows."""
    return [int(line.split()[2]) for line in report.read_text().splitlines()]


def _came_in_time(ctx: StepContext, times: Sequence[Fraction | None], work: _Work, lead: int) -> bool:
    """Whether the first picture is one that belongs to the first frame or before, not the first one that could be had:
    a seek may land too late where a container has no index."""
    if times[0] is not None:
        return _starts_in_time(times[0], work)
    track = command.video_track(work.source)
    if not track.untimed:
        return True
    # Before the first picture that has a time, ffmpeg counts from zero. Those that follow tell where these belong; where none
    # does, so many have to come before as there are in the run-up, and no more than there are in the film.
    numbers = _picture_numbers(ctx.scratch / FRAME_REPORT)
    for time, number in zip(times, numbers, strict=True):
        if time is not None:
            return _starts_in_time(time - (number - numbers[0]) / track.frame_rate, work)
    return lead - FEW_PICTURES <= numbers[0] < work.chunk.frames.start


def _starts_in_time(time: Fraction, work: _Work) -> bool:
    """Whether a picture of this time of the source's clock is that of the chunk's first frame, or before it."""
    latest = work.source.start + (work.chunk.frames.start + Fraction(1, 2)) / work.plan.ladder.frame_rate
    return time <= latest


def _store(ctx: StepContext, work: _Work, outputs: Sequence[Path]) -> Iterator[RenditionSegments]:
    ladder = work.plan.ladder
    for rung, path in zip(work.rungs, outputs, strict=True):
        cut = cut_video(
            mapped(path),
            timescale=ladder.timescale,
            frame_ticks=ladder.frame_ticks,
            first_frame=work.chunk.frames.start,
            expected_frames=len(work.chunk.frames),
            gop_frames=ladder.gop_frames,
            segment_frames=ladder.segment_frames,
            first_segment=work.chunk.first_segment,
            keys=ctx.content_keys(),
        )
        yield store_rendition(
            ctx,
            rung.name,
            init=cut.init,
            segments=cut.segments,
            codecs=cut.facts.codecs,
            timescale=ladder.timescale,
            fingerprint=command.video_fingerprint(rung, work.plan, ctx.tools.ffmpeg_version),
            content_type="video/mp4",
        )


def _nothing_decoded(ctx: StepContext, work: _Work, run: ToolRun) -> Exception:
    """The source is at fault if a plain decode finds nothing either, or if all went well and the times of its pictures are not
    those of the film; otherwise our command is."""
    path = ctx.source()
    argv = command.trial_command(work.source, input_path=path, program=str(ctx.tools.ffmpeg))
    trial = run_tool(
        argv, tools=ctx.tools, scratch=ctx.scratch, reads=(path,), stop=ctx.stop, nice=ctx.nice, check=False
    )
    if trial.stdout and run.exit_code != 0:
        return ToolFailed(
            "ffmpeg decoded pictures but encoded none.",
            argv=run.argv,
            exit_code=run.exit_code,
            stderr_tail=run.stderr_tail,
        )
    return DamagedSource(stderr_tail=run.stderr_tail)
