"""Bit rates are measured as RFC 8216bis section 4.1 says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packager.bit_rates import BitRates, Measured, measure, measure_iframes, measure_more, measure_units
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


@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from((1, 2, 3, 4, 7))), min_size=1, max_size=30),
    st.integers(0, 30),
    st.booleans(),
)
def test_measuring_on_is_measuring_all_and_both_are_what_the_definition_says(
    units: list[tuple[int, int]], cut: int, alike: bool
) -> None:
    if alike:
        units = [(size, 2) for size, _ in units[:-1]] + units[-1:]
    whole = measure_units(units, timescale=2, target_duration_s=2)
    parts = Measured()
    for part in (units[:cut], units[cut:]):
        sizes, lengths = [size for size, _ in part], [ticks for _, ticks in part]
        parts = measure_more(parts, sizes, lengths, timescale=2, target_duration_s=2)
    assert parts.rates(2) == whole
    runs = [units[start:stop] for start in range(len(units)) for stop in range(start + 1, len(units) + 1)]
    fitting = [run for run in runs if 2 <= sum(ticks for _, ticks in run) <= 6]
    rates = [-(-sum(size for size, _ in run) * 16 // sum(ticks for _, ticks in run)) for run in fitting]
    assert whole.peak_bps == max(rates, default=whole.average_bps)
