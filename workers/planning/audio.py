"""Which sound is made, and in which pieces. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from storage.media.ladder import AudioPiece, AudioRendition, Ladder
from storage.media.languages import language_name
from storage.media.source import AudioTrack
from storage.media.time import FrameRange, audio_frames_until, audio_segment_frames
from workers.planning.chunks import even_parts
from workers.planning.policy import AudioPolicy, ChunkPolicy

SURROUND_CHANNELS = 6
"""5.1: what AAC decoders everywhere know; 7.1 is mixed down to it."""
_COMMENT = re.compile(r"comment|descri", re.IGNORECASE)


def plan_audio(tracks: tuple[AudioTrack, ...], policy: AudioPolicy) -> tuple[AudioRendition, ...]:
    """A rendition per language from its default track, or its first, in stereo at most; exactly one of them is the default
    one. Another for those who cannot see, where a language has a track that describes the pictures: it is the default one
    only where there is nothing else. Then surround renditions of the languages that have a track for it."""
    chosen: dict[tuple[str, bool], AudioTrack] = {}
    for track in tracks:
        kind = (track.language, track.describes_video)
        if kind not in chosen or (track.default and not chosen[kind].default):
            chosen[kind] = track
    kept = sorted(chosen.values(), key=lambda track: (track.describes_video, not track.default, track.index))
    kept = kept[: policy.most_renditions]
    stereo = tuple(_stereo(track, policy, default=number == 0) for number, track in enumerate(kept))
    surround = tuple(
        replace(
            rendition,
            name=f"{rendition.name}-surround",
            track_index=widest.index,
            channels=SURROUND_CHANNELS,
            bit_rate_bps=policy.surround_rate_bps,
            default=False,
        )
        for rendition, track in zip(stereo, kept, strict=True)
        if not track.describes_video and (widest := _widest(track, tracks)).channels >= policy.least_surround_channels
    )
    return stereo + surround


def _stereo(track: AudioTrack, policy: AudioPolicy, *, default: bool) -> AudioRendition:
    return AudioRendition(
        name=f"audio-{track.language}{'-described' if track.describes_video else ''}",
        track_index=track.index,
        language=track.language,
        channels=min(2, max(1, track.channels)),
        bit_rate_bps=policy.mono_rate_bps if track.channels == 1 else policy.stereo_rate_bps,
        default=default,
        label=language_name(track.language) + (" (audio description)" if track.describes_video else ""),
        describes_video=track.describes_video,
    )


def _widest(chosen: AudioTrack, tracks: tuple[AudioTrack, ...]) -> AudioTrack:
    """The track with most channels that says the same as ``chosen``: itself, or one of its language that is no comment."""
    same = [
        track
        for track in tracks
        if track.language == chosen.language and not track.describes_video and not _COMMENT.search(track.title or "")
    ]
    return max([chosen, *same], key=lambda track: track.channels)


def sound_frames(duration: Fraction) -> int:
    """How many AAC frames a source without a picture has: nothing is cut off at its end, and there is at least one."""
    return max(1, audio_frames_until(duration))


def total_audio_frames(total_frames: int, ladder: Ladder) -> int:
    """AAC frames that cover the video, and at least one for each of its segments: a last segment of a single picture
    may be shorter than an AAC frame."""
    segments = -(-total_frames // ladder.segment_frames)
    to_the_end = audio_frames_until(Fraction(total_frames) / ladder.frame_rate)
    return max(to_the_end, audio_frames_until((segments - 1) * ladder.segment_seconds) + 1)


def plan_audio_pieces(total_frames: int, ladder: Ladder, policy: ChunkPolicy) -> tuple[AudioPiece, ...]:
    """Pieces that tile the sound, each of whole segments: a short first one, so that it plays soon, then growing ones,
    then even ones. What is listed ends where the sound ends, so pieces may not grow faster than pictures come."""
    segments = -(-total_frames // ladder.segment_frames)
    audio_frames = total_audio_frames(total_frames, ladder)
    sizes, left = [], segments
    size, longest = _segments_in(policy.first_audio_piece_s, ladder), _segments_in(policy.audio_piece_s, ladder)
    while left and size < longest:
        sizes.append(min(size, left))
        left -= sizes[-1]
        size *= policy.audio_growth
    sizes += even_parts(left, longest)
    pieces, first = [], 0
    for index, size in enumerate(sizes):
        frames = FrameRange(
            audio_segment_frames(first, ladder.segment_seconds, audio_frames).start,
            audio_segment_frames(first + size - 1, ladder.segment_seconds, audio_frames).stop,
        )
        pieces.append(AudioPiece(index=index, frames=frames, first_segment=first, stop_segment=first + size))
        first += size
    return tuple(pieces)


def _segments_in(seconds: int, ladder: Ladder) -> int:
    return max(1, round(seconds / ladder.segment_seconds))
