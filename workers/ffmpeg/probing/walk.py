"""What the packets of a track say, without decoding them."""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import pairwise
from operator import sub
from typing import Any

import av

REORDERED = frozenset({"h264", "hevc"})
MOST_REORDERED = 16
"""So many pictures at most are shown before one that is decoded before them (ITU-T H.264, A.3.1). `reports.timing` has the same
number: this program runs in a cage, with nothing of ours around it."""


class Walk:
    """What a track's packets say: shown times, keyframes, where the last one ends."""

    def __init__(self) -> None:
        self.times = array("q")
        self.keyframes = array("q")
        self.packets = 0
        self.corrupt = 0
        self.last_pts: int | None = None
        self.last_duration = 0
        self._untimed = 0  # packets without a time of their own
        self._untimed_at_end = 0
        self._decoded: bool | None = None

    def add(self, packet: av.Packet[Any]) -> None:
        self.packets += 1
        self.corrupt += packet.is_corrupt
        if packet.is_discard:  # discarded packets lie before the edit list's start
            return
        if self._decoded is None:
            self._decoded = knows_no_shown_times(packet.stream)
        time = packet.dts if self._decoded else packet.pts
        if time is None:
            self._untimed += 1
            self._untimed_at_end += 1
            return
        self._untimed_at_end = 0
        self.times.append(time)
        if packet.is_keyframe:
            self.keyframes.append(time)
        if self.last_pts is None or time >= self.last_pts:
            self.last_pts, self.last_duration = time, packet.duration or 0

    def report(self) -> dict[str, Any]:
        # Two packets of one time are one picture: VP9 carries hidden reference frames that way.
        times = self._with_untimed(sorted(set(self.times)))
        keys = sorted(set(self.keyframes))
        gaps = Counter(map(sub, times[1:], times))
        median = _median(gaps)
        # 5 %, and the one tick that rounding costs (milliseconds in Matroska) where a tick is small beside it.
        tolerance = max(1 if median >= 8 else 0, median // 20)
        near = {gap: n for gap, n in gaps.items() if abs(gap - median) <= tolerance}
        return {
            "packets": self.packets,
            "untimed": self._untimed,
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

    def _with_untimed(self, times: list[int]) -> list[int]:
        """``times`` and those of pictures that have none of their own, as players make them up: one picture after the other.
        A transport stream need not tell the time of each."""
        if not self._untimed or len(times) < 2:
            return times
        between = self._untimed - self._untimed_at_end
        step = (times[-1] - times[0]) / (len(times) + between - 1)
        rooms = [max(0, round((later - earlier) / step) - 1) for earlier, later in pairwise(times)]
        # Reordered ones that end the file are shown before others, and some of these are not the last in the file.
        at_end = self._untimed - sum(rooms)
        if at_end < 0 or abs(at_end - self._untimed_at_end) > MOST_REORDERED:
            at_end = self._untimed_at_end
        left, found = self._untimed - at_end, []
        for (earlier, later), room in zip(pairwise(times), rooms, strict=True):
            here = min(left, room)
            found += [earlier + (later - earlier) * number // (here + 1) for number in range(here + 1)]
            left -= here
        step = (times[-1] - times[0]) / len(found)
        return [*found, *(times[-1] + round(step * number) for number in range(at_end + 1))]


def knows_no_shown_times(stream: Any) -> bool:
    """AVI tells when packets are decoded. For codecs that reorder pictures some versions of libavformat make up when they
    are shown, and others do not: then pictures are shown one after the other at those times."""
    return (
        stream.type == "video"
        and stream.container.format.name == "avi"
        and getattr(stream.codec_context, "name", None) in REORDERED
    )


def _median(counts: Counter[int]) -> int:
    half, seen = counts.total() / 2, 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= half:
            return value
    return 0
