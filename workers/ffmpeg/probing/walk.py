"""What the packets of a track say, without decoding them."""

from __future__ import annotations

from array import array
from collections import Counter
from operator import sub
from typing import Any

import av


class Walk:
    """What a track's packets say: shown times, keyframes, where the last one ends."""

    def __init__(self) -> None:
        self.times = array("q")
        self.keyframes = array("q")
        self.packets = 0
        self.corrupt = 0
        self.last_pts: int | None = None
        self.last_duration = 0

    def add(self, packet: av.Packet[Any]) -> None:
        self.packets += 1
        self.corrupt += packet.is_corrupt
        if packet.pts is None or packet.is_discard:  # discarded packets lie before the edit list's start
            return
        self.times.append(packet.pts)
        if packet.is_keyframe:
            self.keyframes.append(packet.pts)
        if self.last_pts is None or packet.pts >= self.last_pts:
            self.last_pts, self.last_duration = packet.pts, packet.duration or 0

    def report(self) -> dict[str, Any]:
        # Two packets of one time are one picture: VP9 carries hidden reference frames that way.
        times = sorted(set(self.times))
        keys = sorted(set(self.keyframes))
        gaps = Counter(map(sub, times[1:], times))
        median = _median(gaps)
        # 5 %, and the one tick that rounding costs (milliseconds in Matroska) where a tick is small beside it.
        tolerance = max(1 if median >= 8 else 0, median // 20)
        near = {gap: n for gap, n in gaps.items() if abs(gap - median) <= tolerance}
        return {
            "packets": self.packets,
            "corrupt": self.corrupt,
            "pictures": len(times),
            "first": times[0] if times else None,
            "last": times[-1] if times else None,
            "last_duration": self.last_duration,
            "interval": median,
            "near_count": sum(near.values()),  # intervals about as long as the median, and their sum
            "near_ticks": sum(gap * n for gap, n in near.items()),
            "longest_interval": max(gaps, default=0),
            "keyframes": len(keys),
            "first_keyframe": keys[0] if keys else None,
            "longest_keyframe_interval": max(
                (later - earlier for earlier, later in zip(keys, [*keys[1:], times[-1]], strict=True)), default=0
            )
            if keys
            else None,
        }


def _median(counts: Counter[int]) -> int:
    half, seen = counts.total() / 2, 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= half:
            return value
    return 0
