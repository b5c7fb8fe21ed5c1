"""Where the sound ends of files that are nothing but sound, by their last bytes: what their header says of it, somebody may have
written who did not know yet, or of a file that was longer then."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from .reading import all_packets
from .walk import Walk

PCM = "pcm_"
FLAC = "flac"
_SAMPLES = frozenset({"wav", "w64", "aiff"})
BARE = _SAMPLES | {FLAC}
"""Demuxers of such files; where a time lies in the others is known by arithmetic, as long as samples are all they hold."""
LOOKED_AT_S = 2
FEWEST_FRAMES = 16


def bare_end(
    path: Path, container: InputContainer, opened: Callable[[Any], InputContainer], end_bytes: int
) -> dict[str, Any] | None:
    """The end of the one track of sound in ``container``, from the last ``end_bytes`` of the file at ``path``; None where that is
    not where the header says."""
    stream = next((each for each in container.streams.audio), None)
    if stream is None:
        return None
    try:
        if container.format.name in _SAMPLES:
            walk = _walk_samples(container, stream, end_bytes)
        else:
            with path.open("rb") as file:
                walk = _walk_flac(file, container, opened, end_bytes)
    except av.FFmpegError:
        return None
    if walk is None or walk.last_pts is None:
        return None
    told, end = (stream.start_time or 0) + (stream.duration or 0), walk.last_pts + walk.last_duration
    if stream.duration and told != end:
        return None
    return {"last": walk.last_pts, "last_duration": walk.last_duration, "corrupt": walk.corrupt}


def _walk_samples(container: InputContainer, stream: Any, end_bytes: int) -> Walk | None:
    context = stream.codec_context
    if not context.name.startswith(PCM) or not stream.duration:
        return None
    bytes_per_s = context.bit_rate // 8
    if not bytes_per_s or LOOKED_AT_S * bytes_per_s > end_bytes:
        return None
    last_us = round(stream.duration * stream.time_base * 1_000_000) - LOOKED_AT_S * 1_000_000
    container.seek(max(0, last_us))
    return _walk(container, stream.index)


def _walk_flac(
    file: io.BufferedReader, container: InputContainer, opened: Callable[[Any], InputContainer], end_bytes: int
) -> Walk | None:
    """Its frames say which samples they are: so they can be read right behind the headers."""
    container.seek(0)
    first = next((packet.pos for packet in all_packets(container) if packet.pos and packet.pos > 0), None)
    if first is None:
        return None
    head = file.read(first)
    file.seek(max(first, file.seek(0, io.SEEK_END) - end_bytes))
    with opened(io.BytesIO(head + file.read())) as end:
        walk = _walk(end, end.streams.audio[0].index)
    # Of a few frames nobody knows which are some: they are looked for by what they begin with.
    return walk if len(walk.times) >= FEWEST_FRAMES and walk.times[0] > 0 else None


def _walk(container: InputContainer, index: int) -> Walk:
    walk = Walk()
    for packet in all_packets(container):
        if packet.stream_index == index:
            walk.add(packet)
    return walk
