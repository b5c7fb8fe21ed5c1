"""AUDIO: one piece of one audio rendition."""

from __future__ import annotations

from packager.cmaf import cut_audio
from storage.jobs import Encoded
from storage.media.time import audio_segment_frames
from workers.ffmpeg import command
from workers.ffmpeg.process import Limits, run_tool
from workers.steps.context import StepContext
from workers.steps.encoded_file import mapped
from workers.steps.uploads import store_rendition


def audio(ctx: StepContext) -> Encoded:
    """Encode the job's piece of its audio rendition and store the segments. Where the source has no sound, or none that
    can be decoded, there is silence."""
    source, plan = ctx.asset.source, ctx.asset.plan
    if source is None or plan is None:
        raise ValueError("an asset is encoded after it was inspected and planned")
    rendition = next(each for each in plan.audio if each.name == ctx.job.payload["rendition"])
    piece = plan.audio_pieces[int(ctx.job.payload["piece"])]
    path, output = ctx.source(), ctx.scratch / "audio.mp4"
    argv = command.audio_command(
        source, rendition, piece, input_path=path, output_path=output, program=str(ctx.tools.ffmpeg)
    )
    run = run_tool(
        argv,
        tools=ctx.tools,
        scratch=ctx.scratch,
        reads=(path,),
        limits=Limits(output_bytes=1024**3),
        stop=ctx.stop,
        nice=ctx.nice,
    )
    cut = cut_audio(
        mapped(output),
        skip_frames=command.audio_skip_frames(),
        frames=piece.frames,
        segment_ranges=[
            audio_segment_frames(number, plan.ladder.segment_seconds, plan.audio_frames)
            for number in range(piece.first_segment, piece.stop_segment)
        ],
        first_segment=piece.first_segment,
    )
    stored = store_rendition(
        ctx,
        rendition.name,
        init=cut.init,
        segments=cut.segments,
        codecs=cut.facts.codecs,
        timescale=cut.facts.timescale,
        fingerprint=command.audio_fingerprint(rendition, ctx.tools.ffmpeg_version),
        content_type="audio/mp4",
    )
    return Encoded(outputs=(stored,), cpu_ms=run.cpu_ms)
