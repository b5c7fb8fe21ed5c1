"""Reading what the ffmpeg program is going to read of some time of a film. Nothing is written: whoever answers keeps what
was asked for."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from .copying import Wanted, opened
from .landing import LATE_S, packets_of, shown, sought_us, time_of
from .remote import RemoteFile
from .writing import Unfit

AFTER_S = 2
"""So much at least comes after what is wanted: tracks are interleaved, and pictures decoded in another order than shown."""


def rehearse(file: RemoteFile, wanted: Wanted, *, more: int, keyframes_only: bool, furthest_us: int) -> dict[str, Any]:
    """Read as `opened` and a seek do, to ``wanted.until_us`` and ``more`` packets (keyframes) of the track. Says of it, in
    microseconds: ``shown_us``, when what is read before that time is shown, and ``keyframe_us``, when the first keyframe is.

    Raises `Unfit` where the seek lands more than ``furthest_us`` before what was sought."""
    until = Fraction(wanted.until_us, 1_000_000)
    earliest = Fraction(wanted.seek_us - furthest_us, 1_000_000) if wanted.seek_us is not None else None
    times: list[Fraction] = []
    keyframe: Fraction | None = None
    landed, beyond = False, 0
    with opened(file, wanted) as container:
        file.opened()
        if wanted.index >= len(container.streams):
            raise Unfit("there is no such track")
        if wanted.seek_us is not None:
            container.seek(sought_us(container, wanted.seek_us))
        for packet in packets_of(container):
            if not landed:
                file.landed()
            at, ours = time_of(packet), packet.stream_index == wanted.index
            if not landed and earliest is not None and at is not None and at < earliest:
                raise Unfit("the place that was sought is much later")
            landed = True
            if not packet.size or at is None:
                continue
            if not ours:
                if at >= until + LATE_S:
                    break
                continue
            if packet.is_keyframe and keyframe is None:
                keyframe = shown(packet) or at
            if keyframes_only and not packet.is_keyframe:
                continue
            time = shown(packet) or at
            if time < until:
                times.append(time)
            else:
                beyond += 1
                if at >= until + AFTER_S and beyond >= more:
                    break
    return {"shown_us": [_us(time) for time in times], "keyframe_us": None if keyframe is None else _us(keyframe)}


def _us(time: Fraction) -> int:
    return math.floor(time * 1_000_000)
