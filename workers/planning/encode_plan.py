"""Everything that will be made of a source, decided once: the planners put together. Pure."""

from __future__ import annotations

from storage.errors import UnsupportedSource
from storage.media.colour import HDR_TRANSFERS
from storage.media.ladder import RECIPE, EncodePlan, sound_ladder
from storage.media.source import FieldOrder, Note, Source, VideoTrack
from storage.media.time import MAX_FRAME_RATE
from workers.planning.audio import plan_audio, plan_audio_pieces, sound_frames, total_audio_frames
from workers.planning.chunks import plan_chunks, total_frames
from workers.planning.ladder import plan_ladder
from workers.planning.policy import Policy, SourceLimits
from workers.planning.subtitles import plan_subtitles


def plan_encode(source: Source, policy: Policy, *, recipe: str = RECIPE) -> EncodePlan:
    """The plan for ``source``. Raises `UnsupportedSource` for one that `SourceLimits` refuse. Without a picture it is a
    plan for sound alone."""
    check_limits(source, policy.limits)
    ladder = plan_ladder(source.video, policy.ladder) if source.video else sound_ladder(policy.ladder.gop_seconds)
    total = total_frames(source.duration, ladder.frame_rate) if source.video else sound_frames(source.duration)
    audio = plan_audio(source.audio, policy.audio)
    return EncodePlan(
        recipe=recipe,
        ladder=ladder,
        total_frames=total,
        chunks=plan_chunks(total, ladder, policy.chunks) if source.video else (),
        audio=audio,
        audio_pieces=plan_audio_pieces(total, ladder, policy.chunks) if audio else (),
        audio_frames=total_audio_frames(total, ladder) if audio else 0,
        subtitles=plan_subtitles(source.subtitles) if source.video else (),
        captions=source.video.captions if source.video else (),
    )


def check_limits(source: Source, limits: SourceLimits) -> None:
    """Nothing about ``source`` is absurd; raises `UnsupportedSource` otherwise."""
    tracks = (source.video is not None) + len(source.audio) + len(source.subtitles) + len(source.others)
    if tracks > limits.most_tracks:
        raise UnsupportedSource(
            f"This file has {tracks} tracks; {limits.most_tracks} are the most we read.", reason_code="too_many_tracks"
        )
    if source.duration > limits.longest_s:
        raise UnsupportedSource(
            f"This video claims to last {float(source.duration / 3600):.0f} hours; {limits.longest_s // 3600} are the"
            " most we take.",
            reason_code="too_long",
        )
    if source.video is not None:
        _check_picture(source.video, limits)


def _check_picture(video: VideoTrack, limits: SourceLimits) -> None:
    sides = (video.width, video.height, *video.display_size)
    size = f"{video.width}x{video.height}"
    if min(sides) < limits.smallest_side:
        raise UnsupportedSource(
            f"The picture is {size} pixels: too small to be a video ({limits.smallest_side} a side is the least).",
            reason_code="picture_too_small",
        )
    area = max(video.width * video.height, video.display_size[0] * video.display_size[1])
    if max(sides) > limits.largest_side or area > limits.most_pixels:
        raise picture_too_large(video.width, video.height)


def picture_too_large(width: int, height: int) -> UnsupportedSource:
    """The refusal of pictures of ``width`` x ``height`` pixels."""
    return UnsupportedSource(
        f"The picture is {width}x{height} pixels: too large for us.", reason_code="picture_too_large"
    )


def plan_notes(source: Source, plan: EncodePlan) -> tuple[Note, ...]:
    """What the plan changes about the source that its owner should know."""
    if source.video is None:
        sound_only = Note(code="sound_only", sentence="There is no picture in this file: it becomes sound alone.")
        return (sound_only, *_sound_notes(source, plan))
    return (*_picture_notes(source.video, plan), *_sound_notes(source, plan))


def _picture_notes(video: VideoTrack, plan: EncodePlan) -> list[Note]:
    notes = []
    rate = f"{float(plan.ladder.frame_rate):.5g} frames per second"
    if not video.steady:
        sentence = f"The frame rate varies: it is evened out to {rate}."
        notes.append(Note(code="frame_rate_evened", sentence=sentence))
    elif video.frame_rate > MAX_FRAME_RATE * 101 / 100:
        sentence = f"The frame rate is lowered from {float(video.frame_rate):.5g} to {rate}."
        notes.append(Note(code="frame_rate_lowered", sentence=sentence))
    if video.field_order is FieldOrder.INTERLACED:
        notes.append(Note(code="deinterlaced", sentence="The picture is interlaced: its fields are made into frames."))
    if video.own_colours or video.color_transfer in HDR_TRANSFERS:
        notes.append(
            Note(code="tone_mapped", sentence="The picture is HDR: its colours are mapped to standard dynamic range.")
        )
    elif video.bit_depth > 8:
        notes.append(Note(code="reduced_depth", sentence=f"Colours are reduced from {video.bit_depth} to 8 bits."))
    top = plan.ladder.rungs[-1]
    if min(video.display_size) - min(top.width, top.height) > 1:
        notes.append(Note(code="scaled_down", sentence=f"The picture is scaled down to {top.width}x{top.height}."))
    return notes


def _sound_notes(source: Source, plan: EncodePlan) -> list[Note]:
    notes = []
    used = {rendition.track_index for rendition in plan.audio}
    surround = {rendition.track_index: rendition.channels for rendition in plan.audio if rendition.is_surround}
    for track in source.audio:
        if track.channels > 2 and track.index in used and track.index not in surround:
            notes.append(Note(code="downmixed", sentence="Sound of several channels is mixed down to stereo."))
        elif track.channels > surround.get(track.index, track.channels):
            notes.append(Note(code="fewer_channels", sentence=f"{track.channels} channels are mixed down to 5.1."))
    if len(used) < len(source.audio):
        notes.append(Note(code="audio_left_out", sentence="Of several sound tracks in one language one was used."))
    return notes
