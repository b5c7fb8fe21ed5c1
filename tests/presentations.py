"""Presentations with every field filled in: a test names only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from packager.presentation import AudioRendition, Presentation, Storyboard, VideoRendition
from storage.jobs import IFrame, Segment
from storage.media.time import audio_frames_until, audio_segment_frames

PUBLISHED_AT = datetime(2026, 1, 2, 3, 5, 6, tzinfo=UTC)
AVAILABLE_FROM = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

TIMESCALE, FRAME_TICKS, GOP_FRAMES, SEGMENT_FRAMES = 12_800, 512, 50, 100


def video_segments(count: int = 3, *, last_frames: int = 60, rate_kbps: int = 500) -> tuple[Segment, ...]:
    """Segments of 4 s at 25 frames per second, the last of them shorter."""
    segments = []
    for number in range(count):
        frames = last_frames if number == count - 1 else SEGMENT_FRAMES
        gops = [min(GOP_FRAMES, frames - start) for start in range(0, frames, GOP_FRAMES)]
        size_bytes = rate_kbps * 5 * frames + number
        segments.append(
            Segment(
                number=number,
                name=f"{number}-{number:012x}.m4s",
                start_ticks=number * SEGMENT_FRAMES * FRAME_TICKS,
                duration_ticks=frames * FRAME_TICKS,
                size_bytes=size_bytes,
                iframes=tuple(
                    IFrame(offset=24 + index * size_bytes // 2, size=2_000 + index, duration_ticks=gop * FRAME_TICKS)
                    for index, gop in enumerate(gops)
                ),
            )
        )
    return tuple(segments)


def audio_segments(video: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """AAC segments that cover ``video``."""
    duration = Fraction(video[-1].start_ticks + video[-1].duration_ticks, TIMESCALE)
    seconds = Fraction(SEGMENT_FRAMES * FRAME_TICKS, TIMESCALE)
    total = audio_frames_until(duration)
    ranges = [audio_segment_frames(number, seconds, total) for number in range(len(video))]
    return tuple(
        Segment(
            number=number,
            name=f"{number}-a{number:011x}.m4s",
            start_ticks=frames.start * 1024,
            duration_ticks=len(frames) * 1024,
            size_bytes=len(frames) * 341,
        )
        for number, frames in enumerate(ranges)
    )


def a_video_rendition(name: str = "360p", **changes: Any) -> VideoRendition:
    values: dict[str, Any] = {
        "name": name,
        "codecs": "avc1.64001e",
        "width": 640,
        "height": 360,
        "frame_rate": Fraction(25),
        "timescale": TIMESCALE,
        "init_name": "init-0123456789ab.mp4",
        "segments": video_segments(),
    }
    return VideoRendition(**values | changes)


def a_large_rendition(**changes: Any) -> VideoRendition:
    values = {"codecs": "avc1.640028", "width": 1920, "height": 1080, "segments": video_segments(rate_kbps=4_000)}
    return a_video_rendition("1080p", **values | changes)


def a_sound_rendition(name: str = "audio-en", **changes: Any) -> AudioRendition:
    values: dict[str, Any] = {
        "name": name,
        "codecs": "mp4a.40.2",
        "language": "en",
        "label": "English",
        "channels": 2,
        "sample_rate_hz": 48_000,
        "default": True,
        "timescale": 48_000,
        "init_name": "init-ba9876543210.mp4",
        "segments": audio_segments(video_segments()),
    }
    return AudioRendition(**values | changes)


def a_storyboard(**changes: Any) -> Storyboard:
    values: dict[str, Any] = {
        "tiles": ("storyboard/0-aabbccddeeff.jpg", "storyboard/1-aabbccddeeff.jpg"),
        "tile_sizes_bytes": (9_000, 3_000),
        "columns": 2,
        "rows": 1,
        "width": 160,
        "height": 90,
        "interval": Fraction(4),
        "count": 3,
    }
    return Storyboard(**values | changes)


def a_presentation(**changes: Any) -> Presentation:
    values: dict[str, Any] = {
        "video": (a_video_rendition(), a_large_rendition()),
        "audio": (a_sound_rendition(),),
        "storyboard": a_storyboard(),
        "complete": True,
        "target_duration_s": 4,
        "segment_duration": Fraction(4),
        "duration": Fraction(52, 5),
        "available_from": AVAILABLE_FROM,
    }
    return Presentation(**values | changes)
