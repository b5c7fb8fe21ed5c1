"""The commands that encode: pure functions from facts and plan to an argument list.

One decode serves all rungs of a chunk. What comes out is one fragmented MP4 per rung; `packager.cmaf` cuts it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from storage.media.ladder import AudioPiece, AudioRendition, Chunk, EncodePlan, Rung
from storage.media.source import AudioTrack, Source, VideoTrack
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from workers.ffmpeg import graph
from workers.ffmpeg.inputs import INDEXED, MILLISECOND_CLOCKS, Options, demuxer_of, guarded

PRESET = "veryfast"

# Frames that are encoded and thrown away, so that the encoder's state at a join does not depend on the piece: its
# quantisers settle within half a second, and its windows look a frame ahead.
PRE_ROLL_FRAMES = 24
POST_ROLL_FRAMES = 4
ENCODER_DELAY_FRAMES = 1  # ffmpeg's AAC encoder starts with one frame of priming

FRAME_TIMES = "{ptsi} {tbi}"
"""What a line of the frame report holds: the source picture's own time, and its unit."""

_CHANNEL_LAYOUTS: Mapping[int, str] = {1: "mono", 2: "stereo", 6: "5.1"}

# Samples of a packet, or what they are all multiples of. Other codecs' first packets come whole.
_PACKET_SAMPLES: Mapping[str, str] = {"aac": "1024", "mp3": "576", "opus": "960"}

# Every usual sample rate has a whole number of samples in this time: cutting there puts no fraction of a sample between
# pieces that are resampled apart.
_CUT_S = Fraction(1, 25)


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
    preset: str = PRESET,
    filters: frozenset[str] = frozenset(),
    frame_report: Path | None = None,
    program: str = "ffmpeg",
) -> list[str]:
    """Decode ``chunk`` once and encode ``rungs`` of it, one file of ``output_paths`` each.

    ``lead``: run-up in output frames; decoding starts at the last keyframe at or before it, or at the source's start
    where the run-up reaches back to frame 0. ``frame_report``: a file that gets a line per frame, see `FRAME_TIMES`.
    ``threads``: for decoding and scaling. ``filters``: what this ffmpeg can do.
    """
    track = video_track(source)
    grid = graph.chunk_grid(chunk, frame_rate=plan.ladder.frame_rate, zero=source.start, lead=lead)
    first = chunk.frames.start - lead
    seek = source.start + first / plan.ladder.frame_rate if first > 0 else None
    video = graph.opened(input_path, guarded(source, threads=threads, seek=seek), track.index)
    video = graph.on_grid(graph.deinterlaced(video, track), grid)
    video = graph.tone_mapped(video, track, max((rung.width, rung.height) for rung in rungs), filters)
    pictures = graph.tagged(video, track, filters).filter_multi_output("split", len(rungs))
    outputs = []
    for number, (rung, path) in enumerate(zip(rungs, output_paths, strict=True)):
        options = video_options(rung, plan, preset)
        if frame_report is not None and number == 0:
            options |= {"stats_enc_pre": str(frame_report), "stats_enc_pre_fmt": FRAME_TIMES}
        scaled = graph.scaled(pictures[number], rung.width, rung.height)
        outputs.append(graph.written(scaled, path, options))
    return graph.arguments(program, outputs, threads=threads)


def video_options(rung: Rung, plan: EncodePlan, preset: str) -> Options:
    """What decides the bytes of ``rung``, apart from the pictures."""
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
        "preset": preset,
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
        "fps_mode": "passthrough",  # the grid is exact already: nothing may be dropped or doubled
        "video_track_timescale": plan.ladder.timescale,
        **_FRAGMENTED,
    }


_FRAGMENTED: Options = {
    "f": "mp4",
    # One pass, readable as it comes; offsets relative to each fragment.
    "movflags": "+empty_moov+frag_keyframe+default_base_moof+negative_cts_offsets",
    "use_editlist": 0,  # times are absolute in our segments; an edit list would shift them again
    "map_metadata": -1,  # places and names of the person who filmed
    "map_chapters": -1,
}


def trial_command(source: Source, *, input_path: Path, program: str = "ffmpeg") -> list[str]:
    """Decode the first picture that there is, and nothing more; its bytes go to standard output."""
    video = graph.opened(input_path, guarded(source, threads=1), video_track(source).index).filter("scale", 16, 16)
    options: Options = {"f": "rawvideo", "frames:v": 1}
    return graph.arguments(program, [graph.piped(video, options)], threads=1)


def audio_command(
    source: Source,
    rendition: AudioRendition,
    piece: AudioPiece,
    *,
    input_path: Path,
    output_path: Path,
    threads: int = 1,
    program: str = "ffmpeg",
) -> list[str]:
    """Encode ``piece`` of ``rendition``: `ENCODER_DELAY_FRAMES` and the pre-roll, its AAC frames, and a post-roll.

    `audio_skip_frames` says how many frames to drop. Silence stands where the source has no sound.
    """
    track = audio_track(source, rendition.track_index)
    first = piece.frames.start - PRE_ROLL_FRAMES  # may be before time zero: that is silence, or what sounded before
    count = len(piece.frames) + PRE_ROLL_FRAMES + POST_ROLL_FRAMES
    cut = Fraction(first * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ) // _CUT_S * _CUT_S - _CUT_S
    seek = source.start + cut - audio_lead(source)
    options = guarded(source, threads=threads, seek=seek if seek > source.start else None)
    del options["reinit_filter"]  # sound that changes its layout cannot go through one graph
    sound = (
        graph.opened(input_path, options, track.index)
        .filter("asetpts", _audio_times(source, track))
        .filter("atrim", start=_seconds(cut))
        .filter("aresample", AUDIO_RATE_HZ, rematrix_maxval=1)  # a downmix is not allowed to clip
        .filter("aformat", sample_fmts="fltp", channel_layouts=_CHANNEL_LAYOUTS[rendition.channels])
        # A second one, because the first would count `first_pts` in samples of the source. Exactly the first sample;
        # then gaps and drift: silence in, or samples out, once sound is 50 ms from its time.
        .filter(
            "aresample",
            AUDIO_RATE_HZ,
            **{
                "async": 1,
                "first_pts": first * AAC_FRAME_SAMPLES,
                "min_comp": 0.00001,
                "min_hard_comp": 0.05,
            },
        )
        .filter("apad", whole_len=count * AAC_FRAME_SAMPLES)
        .filter("atrim", end_sample=count * AAC_FRAME_SAMPLES)
        .filter("asetpts", "N")  # the time base is one sample
    )
    return graph.arguments(program, [graph.written(sound, output_path, audio_options(rendition))], threads=threads)


def audio_options(rendition: AudioRendition) -> Options:
    """What decides the bytes of ``rendition``, apart from the sound."""
    return {
        "c:a": "aac",
        "b:a": rendition.bit_rate_bps,
        **_FRAGMENTED,
        "movflags": "+empty_moov+default_base_moof",
        "frag_duration": 5_000_000,  # microseconds; without keyframes to cut at, all of it would stay in memory
    }


def audio_skip_frames() -> int:
    """How many frames of `audio_command`'s output come before the piece's first."""
    return ENCODER_DELAY_FRAMES + PRE_ROLL_FRAMES


def video_fingerprint(rung: Rung, plan: EncodePlan, ffmpeg_version: str, preset: str = PRESET) -> str:
    """Names everything that the init segment of ``rung`` may depend on. Chunks of one rendition must agree on it."""
    return _fingerprint({**video_options(rung, plan, preset), "s": f"{rung.width}x{rung.height}"}, ffmpeg_version)


def audio_fingerprint(rendition: AudioRendition, ffmpeg_version: str) -> str:
    """The same for sound."""
    return _fingerprint({**audio_options(rendition), "ac": rendition.channels}, ffmpeg_version)


def _fingerprint(options: Options, ffmpeg_version: str) -> str:
    facts = json.dumps({"ffmpeg": ffmpeg_version, "options": options}, sort_keys=True)
    encoder = options.get("c:v") or options.get("c:a")
    return f"{encoder}/{hashlib.sha256(facts.encode()).hexdigest()[:16]}"


def default_lead(source: Source, plan: EncodePlan) -> int:
    """A first run-up in output frames: enough for B-frames, deinterlacing and seeks that land a little late."""
    seconds = 1 if demuxer_of(source) in INDEXED else 5
    return max(8, math.ceil(plan.ladder.frame_rate * seconds))


def audio_lead(source: Source) -> Fraction:
    """Seconds of sound that are decoded before a piece's pre-roll: decoders settle, and seeks land a little late."""
    return Fraction(1 if demuxer_of(source) in INDEXED else 5)


def video_track(source: Source) -> VideoTrack:
    if source.video is None:
        raise ValueError("a source without video has no pictures to encode")
    return source.video


def audio_track(source: Source, index: int) -> AudioTrack:
    return next(track for track in source.audio if track.index == index)


def _audio_times(source: Source, track: AudioTrack) -> str:
    """Expression for times from zero in whole samples.

    Where the container rounds to milliseconds, packets are put back on the grid of their own length: otherwise pieces
    that start at different packets would be off their join by that rounding. It comes up to three times: in the first
    time of the track, in the packet's, and in what the decoder cuts off the first packet after a seek.
    """
    if demuxer_of(source) not in MILLISECOND_CLOCKS:
        return f"round(PTS-({_seconds(source.start)})/TB)"
    length = _PACKET_SAMPLES.get(track.codec, "NB_SAMPLES")
    # The end of a packet, because the first one's start may be cut off.
    end = f"st(0,PTS-({_seconds(track.start)})/TB+NB_SAMPLES)"
    on_packets = f"st(1,round(ld(0)/{length})*{length})"
    chosen = f"if(lt(abs(ld(0)-ld(1)),min(0.002/TB,{length}/4)),ld(1),round(ld(0)))"
    return f"{end};{on_packets};{chosen}-NB_SAMPLES+round(({_seconds(track.start - source.start)})/TB)"


def _seconds(value: Fraction) -> str:
    return f"{float(value):.9f}".rstrip("0").rstrip(".")
