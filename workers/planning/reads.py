"""Which bytes of a source a tool is going to read. Pure.

A worker that encodes one chunk of a long film needs the film's index, the beginning (tools look there to learn what the
tracks are), and the chunk's own samples: from the keyframe where decoding starts to a little after the last picture.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from storage.media.ladder import AudioPiece, AudioRendition, Chunk, EncodePlan
from storage.media.matroska_index import MatroskaIndex
from storage.media.mp4_index import ByteRange, Mp4Index, TrackIndex
from storage.media.source import Source, VideoTrack
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from workers.planning.thumbnails import StoryboardPlan

BEGINNING_S = Fraction(2)
"""What tools may look at to learn what the tracks are."""
BEFORE_S = Fraction(1)
"""Decoding times are not the times that seeks name: pictures are shown up to this much after they are decoded."""
AFTER_S = Fraction(2)
"""Tools read ahead: decoders and filters hold pictures back."""
KEYFRAMES_AFTER = 32
"""Where keyframes alone are read, so many beyond the end: each is shown until the next one comes, and queues and decoders
take in some more before the tool is done."""
PACKETS_AFTER = 96
"""The same of packets of a track that is read whole."""
GAP_BYTES = 64 * 1024
"""Two ranges that are nearer than this are cheaper to read as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What a tool reads of a source: its beginning, and of ``tracks`` the time from ``start`` (None: from the beginning)
    to ``stop`` (None: to the end), in seconds on the source's own clock. ``keyframes_only``: nothing between them.
    ``first_bytes``: where the file has no index, so much of its beginning is known to hold all that; None: not known."""

    tracks: tuple[int, ...] = ()
    start: Fraction | None = None
    stop: Fraction | None = None
    keyframes_only: bool = False
    first_bytes: int | None = None


BEGINNINGS = tuple(Reads(first_bytes=megabytes * 1024 * 1024) for megabytes in (8, 64, 512))
"""For a look at what the file is; the longer ones where a shorter one does not hold enough to start playing."""
BEGINNING = BEGINNINGS[0]
EARLY_S = 16
"""`Source.early_bytes` hold so many seconds."""
SOUND_BEFORE_S = Fraction(3)
"""Before a piece of sound: its pre-roll, and what decoders need to settle."""


def chunk_reads(source: Source, video: VideoTrack, plan: EncodePlan, chunk: Chunk, lead: int) -> Reads:
    """For ``chunk`` with a run-up of ``lead`` frames."""
    first = chunk.frames.start - lead
    stop = chunk.frames.stop / plan.ladder.frame_rate
    return Reads(
        tracks=(video.index,),
        start=source.start + first / plan.ladder.frame_rate if first > 0 else None,
        stop=source.start + stop,
        first_bytes=_early(source, stop) if first <= 0 else None,
    )


def piece_reads(source: Source, rendition: AudioRendition, piece: AudioPiece) -> Reads:
    """For ``piece`` of ``rendition``."""
    start = Fraction(piece.frames.start * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ)
    start = min(start, last_place(source) - source.start) - SOUND_BEFORE_S
    stop = Fraction(piece.frames.stop * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ)
    return Reads(
        tracks=(rendition.track_index,),
        start=source.start + start if start > 0 else None,
        stop=source.start + stop,
        first_bytes=_early(source, stop) if start <= 0 else None,
    )


def last_place(source: Source) -> Fraction:
    """The last time that can be sought, on the source's own clock: demuxers seek by the pictures, where each track has no
    index of its own, and sound that goes on after the last one is read from there."""
    video = source.video
    if video is None or video.duration is None or source.demuxer.startswith("mov"):
        return source.start + source.duration
    return video.start + video.duration


def storyboard_reads(source: Source, video: VideoTrack, storyboard: StoryboardPlan, tiles: range, lead: int) -> Reads:
    """For the sprites ``tiles`` of ``storyboard`` with a run-up of ``lead`` thumbnails."""
    shown = storyboard.thumbnails_of(tiles)
    first = shown.start - lead
    return Reads(
        tracks=(video.index,),
        start=source.start + first * storyboard.interval if first > 0 else None,
        stop=source.start + shown.stop * storyboard.interval if tiles.stop < storyboard.tile_count else None,
        keyframes_only=storyboard.keyframes_only,
    )


def packets_after(reads: Reads) -> int:
    """How many packets or keyframes of its track tools may read beyond the end of ``reads``."""
    return KEYFRAMES_AFTER if reads.keyframes_only else PACKETS_AFTER


def _early(source: Source, stop: Fraction) -> int | None:
    return source.early_bytes if stop + AFTER_S <= EARLY_S else None


def plan_reads(index: Mp4Index, reads: Reads) -> tuple[ByteRange, ...]:
    """The byte ranges that hold the samples of ``reads``, in order, merged where that is cheaper."""
    return merged([*_beginning(index), *_wanted(index, reads)], GAP_BYTES)


def plan_cluster_reads(index: MatroskaIndex, reads: Reads) -> tuple[ByteRange, ...]:
    """The same for a file of clusters, which hold all tracks together."""
    start = reads.start - BEFORE_S if reads.start is not None else None
    stop = reads.stop + AFTER_S if reads.stop is not None else None
    beginning = index.bytes_of(None, BEGINNING_S)
    return merged([(0, beginning[1]), index.cues, index.bytes_of(start, stop)], GAP_BYTES)


def merged(ranges: Iterable[ByteRange], gap: int = 0) -> tuple[ByteRange, ...]:
    """``ranges`` in order, those that touch or are at most ``gap`` bytes apart as one."""
    found: list[ByteRange] = []
    for start, stop in sorted(ranges):
        if start >= stop:
            continue
        if found and start <= found[-1][1] + gap:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return tuple(found)


def missing(ranges: Iterable[ByteRange], have: tuple[ByteRange, ...]) -> tuple[ByteRange, ...]:
    """What of ``ranges`` is not in ``have``; both merged."""
    gone: list[ByteRange] = []
    for start, stop in ranges:
        at = start
        for number in range(max(0, bisect_right(have, (start, start)) - 1), len(have)):
            had_start, had_stop = have[number]
            if had_stop <= at:
                continue
            if had_start >= stop:
                break
            if had_start > at:
                gone.append((at, had_start))
            at = max(at, had_stop)
        if at < stop:
            gone.append((at, stop))
    return tuple(gone)


def size_of(ranges: Iterable[ByteRange]) -> int:
    """How many bytes ``ranges`` are."""
    return sum(stop - start for start, stop in ranges)


def _beginning(index: Mp4Index) -> Iterator[ByteRange]:
    for track in index.tracks:
        if track.count:
            yield from track.bytes_of(0, track.sample_at(track.time_of(0) + BEGINNING_S) + 1)


def _wanted(index: Mp4Index, reads: Reads) -> Iterator[ByteRange]:
    start = _seek_lands_at(index, reads.start)
    for number in reads.tracks:
        track = index.tracks[number]
        if not track.count:
            continue
        first = 0 if start is None else track.keyframe_before(track.sample_at(start))
        stop = track.count if reads.stop is None else track.sample_at(reads.stop + AFTER_S) + 1
        if reads.keyframes_only and track.sync is not None:
            beyond = bisect_left(track.sync, stop) + (0 if reads.stop is None else KEYFRAMES_AFTER)
            for keyframe in track.sync[bisect_left(track.sync, first) : beyond]:
                yield from track.bytes_of(keyframe, keyframe + 1)
        else:
            yield from track.bytes_of(first, stop)


def _seek_lands_at(index: Mp4Index, start: Fraction | None) -> Fraction | None:
    """ffmpeg seeks the picture to a keyframe, and every other track to that keyframe's time."""
    if start is None:
        return None
    before = start - BEFORE_S
    pictures = [track for track in index.tracks if track.kind == "vide" and track.count]
    return min([before, *(_keyframe_time(track, before) for track in pictures)]) - BEFORE_S / 2


def _keyframe_time(track: TrackIndex, time: Fraction) -> Fraction:
    return track.time_of(track.keyframe_before(track.sample_at(time)))
