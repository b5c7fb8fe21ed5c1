"""Small files treated as large ones are: read in parts and as streams, from a store that is no folder."""

from __future__ import annotations

import pytest

from workers import sources
from workers.planning.reads import Reads
from workers.steps import inspect

END_BYTES = 4 * 1024
BEGINNING_PERCENTS = (5, 45)
"""The first is too short to hold what plays first of forty seconds, the second is not."""


def as_if_large(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, a file of ``size`` bytes counts as large."""
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    monkeypatch.setattr(sources, "END_BYTES", END_BYTES)
    beginnings = (Reads(first_bytes=size * percent // 100) for percent in BEGINNING_PERCENTS)
    monkeypatch.setattr(inspect, "BEGINNINGS", tuple(beginnings))
