"""The commands that encode pictures: pure functions from facts and plan to an argument list.

One decode serves all rungs of a chunk. What comes out is one fragmented MP4 per rung; `packager.cmaf` cuts it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from storage.media.encoders import Family
from storage.media.ladder import Chunk, EncodePlan, Rung
from storage.media.source import Source, VideoTrack
from workers.ffmpeg import graph
from workers.ffmpeg.hardware import decoding_options, device_arguments, encoding_options
from workers.ffmpeg.inputs import INDEXED, Options, demuxer_of, guarded, lasting
from workers.ffmpeg.outputs import FRAGMENTED, fingerprint

FRAME_TIMES = "{ptsi} {tbi} {ni}"
"""What a line of the frame report holds: the source picture's own time, its unit, and how many the decoder gave before it."""


def encode_command(
    source: Source,
    plan: EncodePlan,
    chunk: Chunk,
    rungs: Sequence[Rung],
    *,
    input_path: Path,
    output_paths: Sequence[Path],
    lead: int,
    threads: int,
    filters: frozenset[str] = frozenset(),
    frame_report: Path | None = None,
    decoder: Family | None = None,
    program: str = "ffmpeg",
) -> list[str]:
    """Decode ``chunk`` once and encode ``rungs`` of it, one file of ``output_paths`` each.

    ``lead``: run-up in output frames; decoding starts at the last keyframe at or before it, or at the source's start
    where the run-up reaches back to frame 0. ``frame_report``: a file that gets a line per frame, see `FRAME_TIMES`.
    ``threads``: for decoding and scaling. ``filters``: what this ffmpeg can do. ``decoder``: graphics hardware that decodes
    too. All of ``rungs`` are made by encoders of one family.
    """
    track = video_track(source)
    grid = graph.chunk_grid(chunk, frame_rate=plan.ladder.frame_rate, zero=source.start, lead=lead)
    first = chunk.frames.start - lead
    seek = source.start + first / plan.ladder.frame_rate if first > 0 else None
    options = guarded(source, threads=threads, seek=seek) | lasting(track)
    if decoder is not None:
        options |= decoding_options(decoder, track)
    video = graph.opened(input_path, options, track.index)
    video = graph.on_grid(graph.deinterlaced(video, track), grid)
    video = graph.tone_mapped(video, track, max((rung.width, rung.height) for rung in rungs), filters)
    pictures = graph.in_all_sizes(graph.tagged(video, track, filters), rungs)
    outputs = []
    for number, (rung, path) in enumerate(zip(rungs, output_paths, strict=True)):
        options = video_options(rung, plan)
        if frame_report is not None and number == 0:
            options |= {"stats_enc_pre": str(frame_report), "stats_enc_pre_fmt": FRAME_TIMES}
        outputs.append(graph.written(graph.for_encoder(pictures[rung.name], rung.encoder), path, options))
    family = rungs[0].encoder.family
    device = device_arguments(family) if family is not None else []
    return graph.arguments(program, outputs, threads=threads, device=device)


def video_options(rung: Rung, plan: EncodePlan) -> Options:
    """What decides the bytes of ``rung``, apart from the pictures."""
    encoder = _x264_options(rung, plan) if rung.encoder.family is None else encoding_options(rung, plan)
    return {
        **encoder,
        "fps_mode": "passthrough",  # the grid is exact already: nothing may be dropped or doubled
        "video_track_timescale": plan.ladder.timescale,
        **FRAGMENTED,
    }


def _x264_options(rung: Rung, plan: EncodePlan) -> Options:
    gop = plan.ladder.gop_frames
    x264 = {
        # Keyframes exactly where segments need them, nowhere else, and nothing that refers across them.
        "keyint": gop,
        "min-keyint": gop,
        "scenecut": 0,
        "open-gop": 0,
        # Headers must not depend on the pictures: chunks encoded apart share one init segment.
        "stitchable": 1,
    }
    return {
        "c:v": "libx264",
        "preset": plan.ladder.preset,
        # x264 under a cap does not repeat itself with several threads. A chunk that is encoded again, here or elsewhere,
        # must give the same bytes and so the same names; rungs and decoder run side by side anyway.
        "threads": 1,
        "profile:v": "high",
        # Constant quality under a cap: a chunk needs to know nothing of the others.
        "crf": rung.crf,
        "maxrate": rung.max_rate_bps,
        "bufsize": 2 * rung.max_rate_bps,
        "bf": 3,
        "x264-params": ":".join(f"{name}={value}" for name, value in x264.items()),
    }


def trial_command(source: Source, *, input_path: Path, program: str = "ffmpeg") -> list[str]:
    """Decode the first picture that there is, and nothing more; its bytes go to standard output."""
    video = graph.opened(input_path, guarded(source, threads=1), video_track(source).index).filter("scale", 16, 16)
    options: Options = {"f": "rawvideo", "frames:v": 1}
    return graph.arguments(program, [graph.piped(video, options)], threads=1)


def video_fingerprint(rung: Rung, plan: EncodePlan, ffmpeg_version: str) -> str:
    """Names everything that the init segment of ``rung`` may depend on. Chunks of one rendition must agree on it."""
    return fingerprint({**video_options(rung, plan), "s": f"{rung.width}x{rung.height}"}, ffmpeg_version)


def default_lead(source: Source, plan: EncodePlan) -> int:
    """A first run-up in output frames: enough for B-frames, deinterlacing and seeks that land a little late."""
    seconds = 1 if demuxer_of(source) in INDEXED else 5
    return max(8, math.ceil(plan.ladder.frame_rate * seconds))


def video_track(source: Source) -> VideoTrack:
    if source.video is None:
        raise ValueError("a source without video has no pictures to encode")
    return source.video
