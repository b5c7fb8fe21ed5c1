"""Bit rates as manifests state them, measured from the segments themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.jobs import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class BitRates:
    """Bits per second, rounded up."""

    peak_bps: int
    average_bps: int

    def __add__(self, other: BitRates) -> BitRates:
        """Of two renditions played together: the sum of their peaks, which may fall together."""
        return BitRates(
            peak_bps=self.peak_bps + other.peak_bps,
            average_bps=self.average_bps + other.average_bps,
        )


NOTHING = BitRates(peak_bps=0, average_bps=0)


def measure(segments: Sequence[Segment], *, timescale: int, target_duration_s: int) -> BitRates:
    """Bit rates of ``segments``."""
    units = [(segment.size_bytes, segment.duration_ticks) for segment in segments]
    return measure_units(units, timescale=timescale, target_duration_s=target_duration_s)


def measure_iframes(segments: Sequence[Segment], *, timescale: int, target_duration_s: int) -> BitRates:
    """Bit rates of the I-frames of ``segments`` when only they are played, at normal speed."""
    units = [(iframe.size, iframe.duration_ticks) for segment in segments for iframe in segment.iframes]
    return measure_units(units, timescale=timescale, target_duration_s=target_duration_s)


def measure_units(units: Sequence[tuple[int, int]], *, timescale: int, target_duration_s: int) -> BitRates:
    """Bit rates of ``units``: (bytes, ticks) in order.

    RFC 8216bis section 4.1: the peak is the largest bit rate of any contiguous set of segments whose total duration is
    between 0.5 and 1.5 times the target duration, so a short last segment does not count alone.
    """
    total_bytes = sum(size for size, _ in units)
    total_ticks = sum(ticks for _, ticks in units)
    if total_ticks <= 0:
        return NOTHING
    target_ticks = target_duration_s * timescale
    peak_bytes, peak_ticks = total_bytes, total_ticks  # also where all of it is shorter than half a target duration
    for first in range(len(units)):
        run_bytes = run_ticks = 0
        for index in range(first, len(units)):
            run_bytes, run_ticks = run_bytes + units[index][0], run_ticks + units[index][1]
            if 2 * run_ticks > 3 * target_ticks:
                break
            # In whole numbers: long films have tens of thousands of segments, and are published often.
            if 2 * run_ticks >= target_ticks and run_bytes * peak_ticks > peak_bytes * run_ticks:
                peak_bytes, peak_ticks = run_bytes, run_ticks
    return BitRates(
        peak_bps=_bps(peak_bytes, peak_ticks, timescale), average_bps=_bps(total_bytes, total_ticks, timescale)
    )


def _bps(size_bytes: int, ticks: int, timescale: int) -> int:
    return -(-size_bytes * 8 * timescale // ticks)
