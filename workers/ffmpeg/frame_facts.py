"""What the count of a file's frames says of its sound, put into the probe's report in place of a walk over all packets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from storage.errors import DamagedSource
from workers.frames import SoundFrames


def with_frames(report: Mapping[str, Any], frames: SoundFrames) -> dict[str, Any]:
    """``report`` of a copy that holds the beginning of a file of MP3 or AAC, with ``scan`` of its sound from ``frames``.

    Raises `DamagedSource` where the demuxer counts other frames than we do."""
    tracks = [dict(track) for track in report["tracks"]]
    for track in tracks:
        if track["type"] != "audio":
            continue
        ticks = frames.frame_s / Fraction(track["time_base"])
        if ticks.denominator != 1 or track.get("packet_duration") != ticks:
            raise DamagedSource("This file's sound is counted in another way than its frames.")
        track["scan"] = {"first": 0, "last": (frames.count - 1) * int(ticks), "last_duration": int(ticks)}
    return {**report, "tracks": tracks}
