"""The commands that encode sound: pure functions from facts and plan to an argument list.

AAC frame ``k`` of a rendition covers samples ``[1024 k, 1024 (k + 1))`` from time zero, in whichever piece it is encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from storage.media.ladder import AudioPiece, AudioRendition
from storage.media.source import AudioTrack, Source
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from workers.ffmpeg import graph
from workers.ffmpeg.inputs import INDEXED, MILLISECOND_CLOCKS, Options, demuxer_of, guarded
from workers.ffmpeg.outputs import FRAGMENTED, fingerprint
from workers.planning.reads import last_place

# Frames that are encoded and thrown away, so that the encoder's state at a join does not depend on the piece: its
# quantisers settle within half a second, and its windows look a frame ahead.
PRE_ROLL_FRAMES = 24
POST_ROLL_FRAMES = 4
ENCODER_DELAY_FRAMES = 1  # ffmpeg's AAC encoder starts with one frame of priming

_CHANNEL_LAYOUTS: Mapping[int, str] = {1: "mono", 2: "stereo", 6: "5.1"}

# Samples of a packet, or what they are all multiples of. Other codecs' first packets come whole.
_PACKET_SAMPLES: Mapping[str, str] = {"aac": "1024", "mp3": "576", "opus": "960"}

# Every usual sample rate has a whole number of samples in this time: cutting there puts no fraction of a sample between
# pieces that are resampled apart.
_CUT_S = Fraction(1, 25)

_READ_AHEAD_S = 2  # decoders and filters hold sound back


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A file of one track: packets of the source as a seek to `excerpt_times` gives them. ``shift``: its times are so
    many seconds later than the source's. ``searched``: the place in the source was found by us, not by the container.
    ``heard_until``: on the source's clock; what comes behind it is the encoder's padding, which the file itself does not
    tell any more."""

    path: Path
    demuxer: str
    shift: Fraction
    searched: bool = False
    heard_until: Fraction | None = None


def audio_command(
    source: Source,
    rendition: AudioRendition,
    piece: AudioPiece,
    *,
    input_path: Path | Excerpt,
    output_path: Path,
    of_one_kind: bool = False,
    threads: int = 1,
    program: str = "ffmpeg",
) -> list[str]:
    """Encode ``piece`` of ``rendition``: `ENCODER_DELAY_FRAMES` and the pre-roll, its AAC frames, and a post-roll.

    `audio_skip_frames` says how many frames to drop. Silence stands where the source has no sound. ``of_one_kind``: and where
    its rate or layout is not the one that it had before: damaged packets may claim dozens of channels.
    """
    first = piece.frames.start - PRE_ROLL_FRAMES  # may be before time zero: that is silence, or what sounded before
    samples = (len(piece.frames) + PRE_ROLL_FRAMES + POST_ROLL_FRAMES) * AAC_FRAME_SAMPLES
    sound = (
        _resampled(source, rendition, piece, input_path, threads, of_one_kind=of_one_kind)
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
        .filter("apad", whole_len=samples)
        .filter("atrim", end_sample=samples)
        .filter("asetpts", "N")  # the time base is one sample
    )
    return graph.arguments(program, [graph.written(sound, output_path, audio_options(rendition))], threads=threads)


def evened_command(
    source: Source,
    rendition: AudioRendition,
    piece: AudioPiece,
    *,
    input_path: Path | Excerpt,
    output_path: Path,
    of_one_kind: bool = False,
    threads: int = 1,
    program: str = "ffmpeg",
) -> list[str]:
    """Decode the sound around ``piece`` to samples of one rate and layout, with their times; `evened_source` describes
    the result. For sound that changes its layout in mid-stream: ffmpeg then builds its graph anew, and counting and
    padding would start all over. Nothing here does either."""
    until = Fraction((piece.frames.stop + POST_ROLL_FRAMES) * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ)
    sound = _resampled(source, rendition, piece, input_path, threads, of_one_kind=of_one_kind).filter(
        "atrim", end=_seconds(until)
    )
    options: Options = {"c:a": "pcm_f32le", "f": "nut", "map_metadata": -1}
    return graph.arguments(program, [graph.written(sound, output_path, options)], threads=threads)


def evened_source(source: Source, rendition: AudioRendition) -> tuple[Source, AudioRendition]:
    """What `evened_command` writes, and ``rendition`` to be made from that."""
    track = audio_track(source, rendition.track_index)
    samples = replace(track, index=0, codec="pcm_f32le", sample_rate_hz=AUDIO_RATE_HZ, start=Fraction(0))
    return (
        replace(source, demuxer="nut", start=Fraction(0), video=None, audio=(samples,)),
        replace(rendition, track_index=0),
    )


def excerpt_times(source: Source, piece: AudioPiece) -> tuple[Fraction | None, Fraction]:
    """Where ``piece`` is sought (None: it is read from the beginning), and until when there has to be sound, on the source's
    own clock."""
    seek = min(source.start + _cut(piece), last_place(source)) - audio_lead(source)
    until = Fraction((piece.frames.stop + POST_ROLL_FRAMES) * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ) + _READ_AHEAD_S
    return seek if seek > source.start else None, source.start + until


def _cut(piece: AudioPiece) -> Fraction:
    """Since time zero: what is decoded before is dropped."""
    first = Fraction((piece.frames.start - PRE_ROLL_FRAMES) * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ)
    return first // _CUT_S * _CUT_S - _CUT_S


def _resampled(
    source: Source,
    rendition: AudioRendition,
    piece: AudioPiece,
    input_path: Path | Excerpt,
    threads: int,
    *,
    of_one_kind: bool,
) -> graph.Stream:
    """The source's sound from a little before the pre-roll of ``piece`` on, with times from zero in samples."""
    track = audio_track(source, rendition.track_index)
    if isinstance(input_path, Excerpt):
        options = guarded(replace(source, demuxer=input_path.demuxer), threads=threads)
        path, index = input_path.path, 0
        times = _audio_times(source, track, input_path.shift)
    else:
        options = guarded(source, threads=threads, seek=excerpt_times(source, piece)[0])
        path, index = input_path, track.index
        times = _audio_times(source, track, Fraction(0))
    del options["reinit_filter"]  # sound of another layout cannot go through the same graph
    if of_one_kind:
        options["drop_changed"] = 1
    timed = graph.opened(path, options, index).filter("asetpts", times)
    if isinstance(input_path, Excerpt) and input_path.heard_until is not None:
        timed = timed.filter("atrim", end=_seconds(input_path.heard_until - source.start))
    return (
        timed.filter("atrim", start=_seconds(_cut(piece)))
        .filter("aresample", AUDIO_RATE_HZ, rematrix_maxval=1)  # a downmix is not allowed to clip
        .filter("aformat", sample_fmts="fltp", channel_layouts=_CHANNEL_LAYOUTS[rendition.channels])
    )


def audio_options(rendition: AudioRendition) -> Options:
    """What decides the bytes of ``rendition``, apart from the sound."""
    return {
        "c:a": "aac",
        "b:a": rendition.bit_rate_bps,
        **FRAGMENTED,
        "movflags": "+empty_moov+default_base_moof",
        "frag_duration": 5_000_000,  # microseconds; without keyframes to cut at, all of it would stay in memory
    }


def audio_skip_frames() -> int:
    """How many frames of `audio_command`'s output come before the piece's first."""
    return ENCODER_DELAY_FRAMES + PRE_ROLL_FRAMES


def audio_fingerprint(rendition: AudioRendition, ffmpeg_version: str) -> str:
    """Names everything that the init segment of ``rendition`` may depend on."""
    return fingerprint({**audio_options(rendition), "ac": rendition.channels}, ffmpeg_version)


def audio_lead(source: Source) -> Fraction:
    """Seconds of sound that are decoded before a piece's pre-roll: decoders settle, and seeks land a little late."""
    return Fraction(1 if demuxer_of(source) in INDEXED else 5)


def audio_track(source: Source, index: int) -> AudioTrack:
    return next(track for track in source.audio if track.index == index)


def _audio_times(source: Source, track: AudioTrack, shift: Fraction) -> str:
    """Expression for times from zero in whole samples, from times that are ``shift`` seconds later than the source's.

    Where the container rounds to milliseconds, packets are put back on the grid of their own length: otherwise pieces
    that start at different packets would be off their join by that rounding. It comes up to three times: in the first
    time of the track, in the packet's, and in what the decoder cuts off the first packet after a seek.
    """
    if demuxer_of(source) not in MILLISECOND_CLOCKS:
        return f"round(PTS-({_seconds(source.start + shift)})/TB)"
    length = _PACKET_SAMPLES.get(track.codec, "NB_SAMPLES")
    # The end of a packet, because the first one's start may be cut off.
    end = f"st(0,PTS-({_seconds(track.start + shift)})/TB+NB_SAMPLES)"
    on_packets = f"st(1,round(ld(0)/{length})*{length})"
    chosen = f"if(lt(abs(ld(0)-ld(1)),min(0.002/TB,{length}/4)),ld(1),round(ld(0)))"
    return f"{end};{on_packets};{chosen}-NB_SAMPLES+round(({_seconds(track.start - source.start)})/TB)"


def _seconds(value: Fraction) -> str:
    return f"{float(value):.9f}".rstrip("0").rstrip(".")
