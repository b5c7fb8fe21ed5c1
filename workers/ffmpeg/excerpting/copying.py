"""Copying packets: opening, seeking, reading on to the end of what is wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from .landing import LATE_S, TooLate, from_keyframe, packets_of, sought_us, time_of
from .remote import RemoteFile
from .splicing import SEARCHED, spliced
from .writing import Excerpt, Unfit

BUFFER_BYTES = 64 * 1024
BEFORE_S = (3, 12, LATE_S)
"""So much earlier a file is read on in where libavformat does not seek, until a keyframe lies in between."""


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


def excerpt(file: RemoteFile, wanted: Wanted, to: Path) -> dict[str, Any]:
    """Copy the packets of ``wanted`` to a file at ``to``; what was copied, for whoever reads it."""
    if wanted.seek_us is None or wanted.demuxer not in SEARCHED:
        with opened(file, wanted) as container:
            file.opened()
            stream = _track(container, wanted)
            if wanted.seek_us is not None:
                container.seek(sought_us(container, wanted.seek_us))
            return {**_copied(packets_of(container), stream, wanted, to), "searched": False}
    sought = Fraction(wanted.seek_us, 1_000_000)
    for before_s in BEFORE_S:
        found = spliced(file, wanted.demuxer, sought - before_s)
        with opened(found.file if found else file, wanted) as container:
            stream = _track(container, wanted)
            goal = Fraction(sought_us(container, wanted.seek_us), 1_000_000)
            packets = from_keyframe(container, stream, goal, found.time if found else None)
            try:
                return {**_copied(packets, stream, wanted, to), "searched": True}
            except TooLate:
                continue
    raise Unfit("keyframes are too far apart")


def _track(container: InputContainer, wanted: Wanted) -> Any:
    if wanted.index >= len(container.streams):
        raise Unfit("there is no such track")
    stream = container.streams[wanted.index]
    if stream.type != "audio" or stream.time_base is None:
        raise Unfit("this track is no sound")
    return stream


def _copied(packets: Iterable[Any], stream: Any, wanted: Wanted, to: Path) -> dict[str, Any]:
    until = Fraction(wanted.until_us, 1_000_000)
    landed: Fraction | None = None
    with Excerpt(stream, wanted.demuxer, to) as excerpt:
        for packet in packets:
            if not packet.size:
                continue
            ours, at = packet.stream_index == wanted.index, time_of(packet)
            if at is None:
                if ours:
                    raise Unfit("not every packet has a time")
                continue
            landed = at if landed is None else landed
            if at >= until + (0 if ours else LATE_S):
                break
            if ours:
                excerpt.add(packet)
        if excerpt.empty:
            excerpt.add_silence(until)
    excerpt.check()
    return {**excerpt.report(), "landed_us": math.floor(landed * 1_000_000) if landed is not None else None}
