"""Bit rates of what was read, by the same definition that our own manifests state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from packager.bit_rates import BitRates, measure_units
from packager.conformance.subject import Track

_MICROSECONDS = 1_000_000
TOLERANCE = Fraction(1, 10)
"""Apple's 10 %."""


def track_rates(track: Track, *, target_seconds: int) -> BitRates:
    units = [(piece.size_bytes, round(track.seconds(piece) * _MICROSECONDS)) for piece in track.pieces]
    return measure_units(units, timescale=_MICROSECONDS, target_duration_s=target_seconds)


def within_tenth(stated: int, measured: int) -> bool:
    """Whether ``measured`` is within 10 % of ``stated``."""
    return abs(measured - stated) <= stated * TOLERANCE


def underruns(track: Track, *, bandwidth: int, buffer_seconds: Fraction) -> Iterator[Fraction]:
    """Start times of segments that come too late for who starts anywhere with ``buffer_seconds`` buffered at ``bandwidth``.

    ISO/IEC 23009-1 section 5.3.5.2: that must never happen. One pass: what matters is how far the bytes run ahead of
    the line since the worst place to have started.
    """
    ahead = Fraction(0)
    time = Fraction(0)
    for piece in track.pieces:
        length = track.seconds(piece)
        # Seconds that this segment takes to arrive, against the seconds that it plays.
        takes = Fraction(piece.size_bytes * 8, max(1, bandwidth))
        ahead = max(Fraction(0), ahead) + takes
        # All of it is here when it is to start if it took no longer than the buffer, plus what played meanwhile.
        if ahead - length > buffer_seconds:
            yield time
        ahead -= length
        time += length


def total(values: Iterable[Fraction]) -> Fraction:
    return sum(values, Fraction(0))
