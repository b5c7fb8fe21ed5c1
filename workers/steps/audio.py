"""AUDIO: one piece of one audio rendition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from packager.cmaf import AudioCut, cut_audio
from storage.errors import ToolCrashed, ToolFailed, ToolTimedOut, WrongOutput
from storage.jobs import Encoded
from storage.media.ladder import AudioPiece, AudioRendition, EncodePlan
from storage.media.source import Source
from storage.media.time import audio_segment_frames
from workers.ffmpeg import sound
from workers.ffmpeg.process import Limits, ToolRun, run_tool
from workers.ffmpeg.sound import Excerpt, excerpt_times
from workers.planning.reads import piece_reads
from workers.steps.context import StepContext
from workers.steps.encoded_file import mapped
from workers.steps.listening import excerpt_of
from workers.steps.losses import sound_notes, worth_telling
from workers.steps.reading import run_on_part, stumbled
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
    run, cut = _from_excerpt(ctx, work) or _from_copy(ctx, work)
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
    lost = sound_notes(work.source, work.piece, run.stderr_tail)
    return Encoded(outputs=(stored,), cpu_ms=run.cpu_ms, notes=worth_telling(lost, ctx.video.notes))


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


def _from_excerpt(ctx: StepContext, work: _Work) -> tuple[ToolRun, AudioCut] | None:
    """The piece from packets that are read as a stream; None where a copy is to be read."""
    excerpt = excerpt_of(ctx, work.source, work.rendition, work.piece)
    if excerpt is None:
        return None
    try:
        run = _encode(ctx, work, work.source, work.rendition, excerpt)
        if not (excerpt.searched and stumbled(run.stderr_tail)):
            return _evened_if_need_be(ctx, work, run, lambda: excerpt)
        said = run.stderr_tail
    except (ToolCrashed, ToolTimedOut):
        raise
    except (ToolFailed, WrongOutput) as error:
        said = str(error)
    finally:
        excerpt.path.unlink()
    log.info("excerpt_not_believed", **ctx.job.log_context(), said=said[-300:])
    return None


def _from_copy(ctx: StepContext, work: _Work) -> tuple[ToolRun, AudioCut]:
    reads = piece_reads(work.source, work.rendition, work.piece)
    seek, until = excerpt_times(work.source, work.piece)
    run = run_on_part(
        ctx,
        reads,
        lambda path: _encode(ctx, work, work.source, work.rendition, path),
        sought=replace(reads, start=seek, stop=until),
        doubt=lambda _, run: next(
            (note.sentence for note in sound_notes(work.source, work.piece, run.stderr_tail)), None
        ),
    )
    return _evened_if_need_be(ctx, work, run, ctx.source)


def _evened_if_need_be(
    ctx: StepContext, work: _Work, run: ToolRun, again: Callable[[], Path | Excerpt]
) -> tuple[ToolRun, AudioCut]:
    """What ``run`` made; where that is not the piece, it is made once more from ``again()``."""
    try:
        return run, _cut(ctx, work)
    except WrongOutput as error:
        log.info("sound_evened", **ctx.job.log_context(), error=str(error))
        spent_ms = _encode_evened(ctx, work, again())
        return replace(run, cpu_ms=run.cpu_ms + spent_ms), _cut(ctx, work)


def _encode(ctx: StepContext, work: _Work, source: Source, rendition: AudioRendition, path: Path | Excerpt) -> ToolRun:
    """The piece, from ``source`` at ``path``."""
    return _run(
        ctx,
        partial(
            sound.audio_command,
            source,
            rendition,
            work.piece,
            input_path=path,
            output_path=_output(ctx),
            program=str(ctx.tools.ffmpeg),
        ),
        path,
    )


def _encode_evened(ctx: StepContext, work: _Work, path: Path | Excerpt) -> int:
    """The piece by way of samples that are all alike."""
    samples = ctx.scratch / "sound.nut"
    evened = _run(
        ctx,
        partial(
            sound.evened_command,
            work.source,
            work.rendition,
            work.piece,
            input_path=path,
            output_path=samples,
            program=str(ctx.tools.ffmpeg),
        ),
        path,
    )
    encoded = _encode(ctx, work, *sound.evened_source(work.source, work.rendition), samples)
    return evened.cpu_ms + encoded.cpu_ms


def _run(ctx: StepContext, command: Callable[..., list[str]], path: Path | Excerpt) -> ToolRun:
    """What ``command`` says; once more ``of_one_kind`` where ffmpeg fails at that: it gives up where it cannot make one layout
    of another that a damaged packet claims to have."""
    reads = (path.path if isinstance(path, Excerpt) else path,)

    def run(argv: list[str]) -> ToolRun:
        return run_tool(
            argv, tools=ctx.tools, scratch=ctx.scratch, reads=reads, limits=LIMITS, stop=ctx.stop, nice=ctx.nice
        )

    try:
        return run(command())
    except (ToolCrashed, ToolTimedOut):
        raise
    except ToolFailed as error:
        log.info("sound_of_one_kind", **ctx.job.log_context(), said=error.stderr_tail[-300:])
        ended = run(command(of_one_kind=True))
        return replace(ended, stderr_tail=f"{error.stderr_tail}\n{ended.stderr_tail}")


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
