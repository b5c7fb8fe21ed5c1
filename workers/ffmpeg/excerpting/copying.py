"""Copying packets: opening, seeking, reading on to the end of what is wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from .writing import Excerpt, Unfit

BUFFER_BYTES = 64 * 1024
LATE_S = 30
"""Sound may stand so far behind pictures of the same time; whoever waits for longer waits for sound that is not there."""
SEEK_TO_SHOWN_TIMES = 0x4000000
"""``AVFMT_SEEK_TO_PTS``: other formats' seeks go by decoding times."""
BEFORE_REORDERED_US = 3 * 1_000_000 // 23
"""How much earlier the ffmpeg program seeks for them where pictures are reordered (``ffmpeg_demux.c``)."""


@dataclass(frozen=True)
class Wanted:
    """Track ``index`` from the packet where a seek to ``seek_us`` (None: the beginning) lands, to ``until_us``."""

    demuxer: str
    decoders: str
    index: int
    seek_us: int | None
    until_us: int


def opened(file: Any, wanted: Wanted) -> InputContainer:
    """The container, with the facts of its tracks looked for as the ffmpeg program does."""
    options = {"protocol_whitelist": "file", "codec_whitelist": wanted.decoders, "max_streams": "128"}
    if wanted.demuxer == "mpegts":
        options["scan_all_pmts"] = "1"
    container: InputContainer = av.open(
        file, mode="r", format=wanted.demuxer, options=options, metadata_errors="replace", buffer_size=BUFFER_BYTES
    )
    return container


def copied(container: InputContainer, wanted: Wanted, to: Path, *, seeks: bool = True) -> dict[str, Any]:
    """Copy the packets of ``wanted`` to a file at ``to``; what was copied, for whoever reads it. ``seeks``: libavformat
    finds the place; else the file jumps there by itself."""
    if wanted.index >= len(container.streams):
        raise Unfit("there is no such track")
    stream = container.streams[wanted.index]
    if stream.type != "audio" or stream.time_base is None:
        raise Unfit("this track is no sound")
    if wanted.seek_us is not None and seeks:
        container.seek(_sought(container, wanted.seek_us))
    with Excerpt(stream, wanted.demuxer, to) as excerpt:
        landed_us = _copy(container, stream, wanted, excerpt, from_us=None if seeks else wanted.seek_us)
        if excerpt.empty:
            excerpt.add_silence(Fraction(wanted.until_us, 1_000_000))
    return {**excerpt.report(), "landed_us": landed_us}


def _sought(container: InputContainer, seek_us: int) -> int:
    reordered = any(getattr(each.codec_context, "has_b_frames", False) for each in container.streams.video)
    return seek_us - (BEFORE_REORDERED_US if reordered and not container.format.flags & SEEK_TO_SHOWN_TIMES else 0)


def _copy(container: InputContainer, stream: Any, wanted: Wanted, excerpt: Excerpt, from_us: int | None) -> int | None:
    """The time of the first packet of any track from ``from_us`` on."""
    until = Fraction(wanted.until_us, 1_000_000)
    landed = None
    for packet in container.demux():
        if not packet.size:
            continue
        decoded = packet.dts if packet.dts is not None else packet.pts
        if decoded is None or packet.time_base is None:
            if packet.stream_index == wanted.index:
                raise Unfit("not every packet has a time")
            continue
        at = decoded * packet.time_base
        if from_us is not None and at * 1_000_000 < from_us:
            continue
        landed = at if landed is None else landed
        if at >= until + (LATE_S if packet.stream_index != wanted.index else 0):
            break
        if packet.stream_index == wanted.index:
            excerpt.add(packet)
    return math.floor(landed * 1_000_000) if landed is not None else None
