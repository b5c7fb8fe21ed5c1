"""Bit rates as manifests state them, measured from the segments themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import add, attrgetter

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is known of the rates of the first units of something: as much as it takes to go on from there. ``tail``: the
    last (bytes, ticks), which may be in one run with units to come. ``peak_bps`` None: no run was long enough yet."""

    total_bytes: int = 0
    total_ticks: int = 0
    peak_bps: int | None = None
    tail: tuple[tuple[int, int], ...] = ()

    def rates(self, timescale: int) -> BitRates:
        if self.total_ticks <= 0:
            return NOTHING
        average = _bps(self.total_bytes, self.total_ticks, timescale)
        # Where all of it is shorter than half a target duration, the peak is the average.
        return BitRates(peak_bps=average if self.peak_bps is None else self.peak_bps, average_bps=average)


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
    sizes, lengths = [size for size, _ in units], [ticks for _, ticks in units]
    measured = measure_more(Measured(), sizes, lengths, timescale=timescale, target_duration_s=target_duration_s)
    return measured.rates(timescale)


def measure_more(
    before: Measured, sizes: Sequence[int], lengths: Sequence[int], *, timescale: int, target_duration_s: int
) -> Measured:
    """``before`` and units of ``sizes`` bytes and ``lengths`` ticks after it. Costs as much as the new units do."""
    own_sizes = [*(size for size, _ in before.tail), *sizes]
    own_lengths = [*(ticks for _, ticks in before.tail), *lengths]
    peak = _peak(own_sizes, own_lengths, timescale, target_duration_s)
    longest = 3 * target_duration_s * timescale  # twice what a run may last
    kept, ticks = 0, 0
    while kept < len(own_lengths) and 2 * ticks <= longest:
        kept += 1
        ticks += own_lengths[-kept]
    tail = zip(own_sizes[-kept:], own_lengths[-kept:], strict=True) if kept else ()
    return Measured(
        total_bytes=before.total_bytes + sum(sizes),
        total_ticks=before.total_ticks + sum(lengths),
        peak_bps=max((each for each in (before.peak_bps, peak) if each is not None), default=None),
        tail=tuple(tail),
    )


def _peak(sizes: Sequence[int], lengths: Sequence[int], timescale: int, target_duration_s: int) -> int | None:
    """In whole numbers, and run by run of one count: long films have tens of thousands of segments."""
    shortest, longest = target_duration_s * timescale, 3 * target_duration_s * timescale
    alike = len(set(lengths[:-1])) == 1
    most_bytes = (_most_of_alike if alike else _most_bytes)(sizes, lengths, shortest, longest)
    peaks = [_bps(size, ticks, timescale) for ticks, size in most_bytes.items() if shortest <= 2 * ticks <= longest]
    return max(peaks, default=None)


def _most_of_alike(sizes: Sequence[int], lengths: Sequence[int], shortest: int, longest: int) -> dict[int, int]:
    """Of units that last equally long, but for the last one: the most bytes of runs by what these last."""
    most_bytes: dict[int, int] = {}
    run_bytes = list(sizes)
    for count in range(1, len(sizes) + 1):
        ticks = count * lengths[0]
        to_the_end = ticks - lengths[0] + lengths[-1]
        if 2 * min(ticks, to_the_end) > longest:
            break
        if count > 1:
            run_bytes = list(map(add, run_bytes, sizes[count - 1 :]))
        most_bytes[to_the_end] = max(most_bytes.get(to_the_end, 0), run_bytes[-1])
        if count < len(sizes) and shortest <= 2 * ticks <= longest:
            most_bytes[ticks] = max(most_bytes.get(ticks, 0), max(run_bytes[:-1]))
    return most_bytes


def _most_bytes(sizes: Sequence[int], lengths: Sequence[int], shortest: int, longest: int) -> dict[int, int]:
    """Of any units: the most bytes of runs by what these last."""
    most_bytes: dict[int, int] = {}
    run_bytes, run_ticks = list(sizes), list(lengths)
    for count in range(1, len(sizes) + 1):
        if count > 1:  # every run, and the unit after it
            run_bytes = list(map(add, run_bytes, sizes[count - 1 :]))
            run_ticks = list(map(add, run_ticks, lengths[count - 1 :]))
        kinds = set(run_ticks)
        if 2 * min(kinds) > longest:
            break
        fitting = [ticks for ticks in kinds if shortest <= 2 * ticks <= longest]
        if len(kinds) > _FEW:
            for ticks, size in zip(run_ticks, run_bytes, strict=True):
                if most_bytes.get(ticks, -1) < size:
                    most_bytes[ticks] = size
        else:
            for ticks in fitting:
                of_kind = compress(run_bytes, map(ticks.__eq__, run_ticks)) if len(kinds) > 1 else run_bytes
                most_bytes[ticks] = max(most_bytes.get(ticks, 0), max(of_kind))
    return most_bytes


def _bps(size_bytes: int, ticks: int, timescale: int) -> int:
    return -(-size_bytes * 8 * timescale // ticks)
