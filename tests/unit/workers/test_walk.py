"""What the times of packets say of pictures, some of which have none."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from workers.ffmpeg.probing.walk import Walk

TICKS = 3600
A_STREAM = SimpleNamespace(
    type="video", container=SimpleNamespace(format=SimpleNamespace(name="mpegts")), codec_context=SimpleNamespace()
)


@dataclass
class Packet:
    pts: int | None
    is_keyframe: bool = False
    dts: int | None = None
    duration: int = 0
    is_corrupt: bool = False
    is_discard: bool = False
    stream: Any = field(default_factory=lambda: A_STREAM)


def report_of(numbers: list[int], timed: set[int]) -> dict[str, Any]:
    """Of pictures in the order in which they are decoded, of which those in ``timed`` have times."""
    walk = Walk()
    for number in numbers:
        walk.add(Packet(pts=number * TICKS if number in timed else None))
    return walk.report()


def reordered(count: int) -> list[int]:
    """Two B-frames before each P-frame: 0 3 1 2 6 4 5 …"""
    return [0] + [number for anchor in range(3, count, 3) for number in (anchor, anchor - 2, anchor - 1)]


IN_ORDER = list(range(100))


@pytest.mark.parametrize(
    ("numbers", "timed"),
    [
        pytest.param(IN_ORDER, set(range(100)), id="all have times"),
        pytest.param(IN_ORDER, set(range(0, 100, 25)), id="every 25th, and none at the end"),
        pytest.param(reordered(100), set(range(100)) - {99}, id="reordered, all but the last to be shown"),
        pytest.param(reordered(100), set(range(0, 100, 3)), id="reordered, none of the B-frames"),
        pytest.param(reordered(100), {0, 1, 2, *range(5, 100, 3)}, id="reordered, every third"),
    ],
)
def test_pictures_without_times_lie_one_after_the_other(numbers: list[int], timed: set[int]) -> None:
    found = report_of(numbers, timed)
    assert (found["pictures"], found["packets"]) == (100, 100)
    assert (found["first"], found["last"], found["interval"]) == (0, 99 * TICKS, TICKS)
    assert found["near_count"] == 99, "at one rate"
    assert found["untimed"] == 100 - len(timed)


@pytest.mark.parametrize("timed", [set[int](), {7}])
def test_of_pictures_that_nearly_all_have_no_times_nothing_is_made_up(timed: set[int]) -> None:
    assert report_of(IN_ORDER, timed)["pictures"] == len(timed)
