"""Bit rates are measured as RFC 8216bis section 4.1 says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from packager.bit_rates import BitRates, measure, measure_iframes
from storage.jobs import Segment
from tests.presentations import video_segments


def segments(*units: tuple[int, int]) -> tuple[Segment, ...]:
    """``units``: (bytes, milliseconds)."""
    return tuple(
        Segment(number=n, name=f"{n}.m4s", start_ticks=0, duration_ticks=ms, size_bytes=size)
        for n, (size, ms) in enumerate(units)
    )


@pytest.mark.parametrize(
    ("units", "peak", "average"),
    [
        pytest.param([(1000, 4000)] * 3, 2000, 2000, id="constant"),
        pytest.param([(1000, 4000), (2000, 4000)], 4000, 3000, id="the larger segment"),
        pytest.param([(1000, 4000), (1000, 1000)], 3200, 3200, id="a short tail counts with what is before it"),
        pytest.param([(1000, 4000), (1000, 2000)], 4000, 2667, id="a tail of half a target duration counts alone"),
        pytest.param([(1000, 1000)], 8000, 8000, id="all shorter than half a target duration"),
        pytest.param([(900, 2000), (1100, 2000), (900, 2000)], 4400, 3867, id="runs of several segments"),
        pytest.param([], 0, 0, id="nothing"),
    ],
)
def test_peak_and_average(units: list[tuple[int, int]], peak: int, average: int) -> None:
    rates = measure(segments(*units), timescale=1000, target_duration_s=4)
    assert rates == BitRates(peak_bps=peak, average_bps=average)


def test_iframes_are_measured_over_the_time_they_are_shown() -> None:
    (segment,) = video_segments(1, last_frames=100)
    shown = tuple(replace(iframe, size=1000) for iframe in segment.iframes)  # one each 2 s
    rates = measure_iframes([replace(segment, iframes=shown)], timescale=12_800, target_duration_s=4)
    assert rates == BitRates(peak_bps=4000, average_bps=4000)


def test_renditions_played_together_add_up() -> None:
    sum_of_both = BitRates(peak_bps=10, average_bps=5) + BitRates(peak_bps=3, average_bps=2)
    assert sum_of_both == BitRates(peak_bps=13, average_bps=7)
