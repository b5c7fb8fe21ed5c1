"""Exact media time: frame rates, timescales and the ranges that count in frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

COMMON_FRAME_RATES: tuple[Fraction, ...] = tuple(
    rate for base in (24, 25, 30, 50, 60) for rate in (Fraction(base * 1000, 1001), Fraction(base))
)
MAX_FRAME_RATE = Fraction(60)
AAC_FRAME_SAMPLES = 1024
AUDIO_RATE_HZ = 48_000


def snap_frame_rate(measured: Fraction) -> Fraction:
    """The output frame rate for a source measured at ``measured`` frames per second.

    Snaps to 24, 25, 30, 50, 60 and their /1001 where one of them is within 0.5 %, caps at 60, and otherwise keeps
    the measured average with a denominator small enough that a timescale still fits in 32 bits.
    """
    if measured <= 0:
        raise ValueError(f"a frame rate is positive, not {measured}")
    nearest = min(COMMON_FRAME_RATES, key=lambda rate: abs(rate - measured))
    if abs(nearest - measured) / measured <= Fraction(5, 1000):
        return nearest
    if measured > MAX_FRAME_RATE:
        return MAX_FRAME_RATE
    return max(measured.limit_denominator(1001), Fraction(1, 10))


def video_timescale(frame_rate: Fraction) -> tuple[int, int]:
    """(timescale, ticks per frame): the frame rate's own numerator, doubled until it is at least 10,000."""
    timescale, ticks = frame_rate.numerator, frame_rate.denominator
    while timescale < 10_000:
        timescale, ticks = timescale * 2, ticks * 2
    return timescale, ticks


@dataclass(frozen=True, slots=True, order=True)
class FrameRange:
    """Half-open range of output frames ``[start, stop)``."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"not a range of frames: [{self.start}, {self.stop})")

    def __len__(self) -> int:
        return self.stop - self.start


def audio_frames_until(seconds: Fraction) -> int:
    """Number of AAC frames at 48 kHz that cover ``[0, seconds)``: the last one may reach beyond."""
    return -(-(seconds * AUDIO_RATE_HZ).__ceil__() // AAC_FRAME_SAMPLES)


def audio_segment_frames(number: int, segment_seconds: Fraction, total_frames: int) -> FrameRange:
    """AAC frames of audio segment ``number``: it starts with the first frame at or after the video segment's start."""
    first = min(audio_frames_until(number * segment_seconds), total_frames)
    return FrameRange(first, min(audio_frames_until((number + 1) * segment_seconds), total_frames))
