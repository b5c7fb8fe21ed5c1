"""Exact media time: frame rates, timescales and frame ranges."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.media.time import (
    AAC_FRAME_SAMPLES,
    AUDIO_RATE_HZ,
    COMMON_FRAME_RATES,
    MAX_FRAME_RATE,
    FrameRange,
    audio_frames_until,
    audio_segment_frames,
    snap_frame_rate,
    video_timescale,
)

RATES = st.fractions(Fraction(1, 2), Fraction(500), max_denominator=100_000)
SECONDS = st.fractions(0, 50_000, max_denominator=100_000)


@pytest.mark.parametrize(
    ("measured", "snapped"),
    [
        ("24", "24"),
        ("24000/1001", "24000/1001"),
        ("23.98", "24000/1001"),
        ("23.976", "24000/1001"),
        ("24.1", "24"),
        ("25.12", "25"),
        ("25.2", "126/5"),  # 0.8 % away: a rate of its own
        ("29.97", "30000/1001"),
        ("30.1", "30"),
        ("59.94", "60000/1001"),
        ("60.2", "60"),
        ("90000/1", "60"),
        ("120", "60"),
        ("12.5", "25/2"),
        ("15", "15"),
        ("0.001", "1/10"),
    ],
)
def test_a_frame_rate_snaps_to_a_common_one_that_is_near(measured: str, snapped: str) -> None:
    assert snap_frame_rate(Fraction(measured)) == Fraction(snapped)


@pytest.mark.parametrize("measured", [Fraction(0), Fraction(-25)])
def test_a_frame_rate_is_positive(measured: Fraction) -> None:
    with pytest.raises(ValueError, match="positive"):
        snap_frame_rate(measured)


@given(RATES)
def test_a_snapped_rate_is_capped_and_snaps_to_itself(measured: Fraction) -> None:
    snapped = snap_frame_rate(measured)
    assert 0 < snapped <= MAX_FRAME_RATE
    assert snap_frame_rate(snapped) == snapped


@given(RATES)
def test_a_timescale_holds_frames_exactly_and_fits_32_bits(measured: Fraction) -> None:
    rate = snap_frame_rate(measured)
    timescale, ticks = video_timescale(rate)
    assert Fraction(timescale, ticks) == rate
    assert 10_000 <= timescale < 2**32


@pytest.mark.parametrize("rate", COMMON_FRAME_RATES)
def test_a_common_rate_keeps_its_frame_duration_short(rate: Fraction) -> None:
    timescale, ticks = video_timescale(rate)
    assert timescale < 100_000
    assert ticks * rate == timescale


def test_a_range_of_frames_is_half_open() -> None:
    assert len(FrameRange(10, 25)) == 15


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5)])
def test_an_empty_range_is_none(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="not a range of frames"):
        FrameRange(start, stop)


@given(SECONDS)
def test_audio_frames_cover_the_time_and_no_frame_more(seconds: Fraction) -> None:
    frames = audio_frames_until(seconds)
    covered = Fraction(frames * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ)
    assert covered >= seconds
    # One sample of slack: time is rounded up to whole samples first.
    assert frames == 0 or covered - Fraction(AAC_FRAME_SAMPLES, AUDIO_RATE_HZ) < seconds


@given(st.fractions(Fraction(1, 2), Fraction(12), max_denominator=60_000), st.integers(1, 400))
def test_audio_segments_tile_the_sound_and_start_at_or_after_the_picture(segment: Fraction, count: int) -> None:
    total = audio_frames_until(segment * count)
    ranges = [audio_segment_frames(number, segment, total) for number in range(count)]
    assert ranges[0].start == 0
    assert ranges[-1].stop == total
    assert all(one.stop == other.start for one, other in pairwise(ranges))
    for number, each in enumerate(ranges):
        late = Fraction(each.start * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ) - number * segment
        assert 0 <= late < Fraction(AAC_FRAME_SAMPLES + 1, AUDIO_RATE_HZ)
