"""AUDIO: one piece of one audio rendition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from packager.cmaf import AudioCut, cut_audio
from storage.errors import WrongOutput
from storage.jobs import Encoded
from storage.media.ladder import AudioPiece, AudioRendition, EncodePlan
from storage.media.source import Source
from storage.media.time import audio_segment_frames
from workers.ffmpeg import sound
from workers.ffmpeg.process import Limits, ToolRun, run_tool
from workers.planning.reads import piece_reads
from workers.steps.context import StepContext
from workers.steps.encoded_file import mapped
from workers.steps.losses import sound_notes, worth_telling
from workers.steps.reading import run_on_part
from workers.steps.uploads import store_rendition

log = structlog.get_logger(__name__)

LIMITS = Limits(output_bytes=1024**3)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What one job is about, looked up in the plan."""

    source: Source
    plan: EncodePlan
    rendition: AudioRendition
    piece: AudioPiece


def audio(ctx: StepContext) -> Encoded:
    """Encode the job's piece of its audio rendition and store the segments. Where the source has no sound, or none that
    can be decoded, there is silence."""
    work = _work(ctx)
    reads = piece_reads(work.source, work.rendition, work.piece)
    run = run_on_part(ctx, reads, lambda path: _encode(ctx, work, work.source, work.rendition, path))
    cpu_ms = run.cpu_ms
    try:
        cut = _cut(ctx, work)
    except WrongOutput as error:
        log.info("sound_evened", **ctx.job.log_context(), error=str(error))
        cpu_ms += _encode_evened(ctx, work, ctx.source())
        cut = _cut(ctx, work)
    stored = store_rendition(
        ctx,
        work.rendition.name,
        init=cut.init,
        segments=cut.segments,
        codecs=cut.facts.codecs,
        timescale=cut.facts.timescale,
        fingerprint=sound.audio_fingerprint(work.rendition, ctx.tools.ffmpeg_version),
        content_type="audio/mp4",
    )
    lost = sound_notes(work.piece, run.stderr_tail)
    return Encoded(outputs=(stored,), cpu_ms=cpu_ms, notes=worth_telling(lost, ctx.video.notes))


def _work(ctx: StepContext) -> _Work:
    source, plan = ctx.asset.source, ctx.asset.plan
    if source is None or plan is None:
        raise ValueError("an asset is encoded after it was inspected and planned")
    return _Work(
        source=source,
        plan=plan,
        rendition=next(each for each in plan.audio if each.name == ctx.job.payload["rendition"]),
        piece=plan.audio_pieces[int(ctx.job.payload["piece"])],
    )


def _encode(ctx: StepContext, work: _Work, source: Source, rendition: AudioRendition, path: Path) -> ToolRun:
    """The piece, from ``source`` at ``path``."""
    argv = sound.audio_command(
        source, rendition, work.piece, input_path=path, output_path=_output(ctx), program=str(ctx.tools.ffmpeg)
    )
    return _run(ctx, argv, path)


def _encode_evened(ctx: StepContext, work: _Work, path: Path) -> int:
    """The piece by way of samples that are all alike."""
    samples = ctx.scratch / "sound.nut"
    argv = sound.evened_command(
        work.source,
        work.rendition,
        work.piece,
        input_path=path,
        output_path=samples,
        program=str(ctx.tools.ffmpeg),
    )
    evened = _run(ctx, argv, path)
    encoded = _encode(ctx, work, *sound.evened_source(work.source, work.rendition), samples)
    return evened.cpu_ms + encoded.cpu_ms


def _run(ctx: StepContext, argv: list[str], path: Path) -> ToolRun:
    return run_tool(
        argv, tools=ctx.tools, scratch=ctx.scratch, reads=(path,), limits=LIMITS, stop=ctx.stop, nice=ctx.nice
    )


def _output(ctx: StepContext) -> Path:
    return ctx.scratch / "audio.mp4"


def _cut(ctx: StepContext, work: _Work) -> AudioCut:
    return cut_audio(
        mapped(_output(ctx)),
        skip_frames=sound.audio_skip_frames(),
        frames=work.piece.frames,
        segment_ranges=[
            audio_segment_frames(number, work.plan.ladder.segment_seconds, work.plan.audio_frames)
            for number in range(work.piece.first_segment, work.piece.stop_segment)
        ],
        first_segment=work.piece.first_segment,
        keys=ctx.content_keys(),
    )
