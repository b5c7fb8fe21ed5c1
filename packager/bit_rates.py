"""Bit rates as manifests state them, measured from the segments themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, compress
from operator import attrgetter, sub

from packager.presentation import Presentation
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


_FEW = 6
"""Kinds of durations up to which it is cheaper to go through all runs once for each. Segments have two or three."""

NOTHING = BitRates(peak_bps=0, average_bps=0)


def measure(segments: Sequence[Segment], *, timescale: int, target_duration_s: int) -> BitRates:
    """Bit rates of ``segments``."""
    units = list(map(attrgetter("size_bytes", "duration_ticks"), segments))
    return measure_units(units, timescale=timescale, target_duration_s=target_duration_s)


def measure_renditions(presentation: Presentation) -> dict[str, BitRates]:
    """Bit rates of every rendition by its name."""
    return {
        rendition.name: measure(
            rendition.segments, timescale=rendition.timescale, target_duration_s=presentation.target_duration_s
        )
        for rendition in presentation.renditions
    }


def measure_iframes(segments: Sequence[Segment], *, timescale: int, target_duration_s: int) -> BitRates:
    """Bit rates of the I-frames of ``segments`` when only they are played, at normal speed."""
    units = [(iframe.size, iframe.duration_ticks) for segment in segments for iframe in segment.iframes]
    return measure_units(units, timescale=timescale, target_duration_s=target_duration_s)


def measure_units(units: Sequence[tuple[int, int]], *, timescale: int, target_duration_s: int) -> BitRates:
    """Bit rates of ``units``: (bytes, ticks) in order.

    RFC 8216bis section 4.1: the peak is the largest bit rate of any contiguous set of segments whose total duration is
    between 0.5 and 1.5 times the target duration, so a short last segment does not count alone.
    """
    sizes = [size for size, _ in units]
    lengths = [ticks for _, ticks in units]
    total_bytes, total_ticks = sum(sizes), sum(lengths)
    if total_ticks <= 0:
        return NOTHING
    # In whole numbers, and run by run of one count: long films have tens of thousands of segments.
    most_bytes: dict[int, int] = {}  # of the runs that last as many ticks
    shortest, longest = target_duration_s * timescale, 3 * target_duration_s * timescale
    bytes_until, ticks_until = list(accumulate(sizes, initial=0)), list(accumulate(lengths, initial=0))
    for count in range(1, len(units) + 1):
        run_ticks = list(map(sub, ticks_until[count:], ticks_until))
        kinds = set(run_ticks)
        if 2 * min(kinds) > longest:
            break
        run_bytes = list(map(sub, bytes_until[count:], bytes_until))
        for ticks in kinds if len(kinds) <= _FEW else ():
            of_kind = compress(run_bytes, map(ticks.__eq__, run_ticks)) if len(kinds) > 1 else run_bytes
            most_bytes[ticks] = max(most_bytes.get(ticks, 0), max(of_kind))
        for ticks, size in zip(run_ticks, run_bytes, strict=True) if len(kinds) > _FEW else ():
            if most_bytes.get(ticks, -1) < size:
                most_bytes[ticks] = size
    fitting = [(size, ticks) for ticks, size in most_bytes.items() if shortest <= 2 * ticks <= longest]
    # Where all of it is shorter than half a target duration, the peak is the average.
    peaks = [_bps(size, ticks, timescale) for size, ticks in fitting]
    average = _bps(total_bytes, total_ticks, timescale)
    return BitRates(peak_bps=max(peaks, default=average), average_bps=average)


def _bps(size_bytes: int, ticks: int, timescale: int) -> int:
    return -(-size_bytes * 8 * timescale // ticks)
