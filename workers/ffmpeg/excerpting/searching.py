"""Finding a time in a file whose container says nowhere where it lies: by halves, over marks that carry their times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from .writing import Unfit

BACK_S = 10
"""Tracks are interleaved: of two marks the later may be so much earlier."""


@dataclass(frozen=True)
class Mark:
    """At byte ``place`` reading can begin; what comes there is of ``time``, in seconds."""

    place: int
    time: Fraction


Find = Callable[[int, int], "Mark | None"]
"""``find(start, stop)``: the first mark in ``[start, stop)``."""


def latest_mark(find: Find, first: Mark, size: int, time: Fraction, near_bytes: int) -> Mark:
    """A mark at or before ``time``, at most about ``near_bytes`` before the last such; ``first`` if that is later.

    Raises `Unfit` where times do not rise with places."""
    below, above = first, size
    while above - below.place > near_bytes:
        middle = (below.place + 1 + above) // 2
        mark = find(middle, above)
        if mark is not None and mark.time < below.time - BACK_S:
            raise Unfit("times do not rise with their places in the file")
        if mark is not None and mark.time <= time:
            below = mark
        else:
            above = middle
    return below
