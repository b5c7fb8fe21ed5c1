"""Files of which only the beginning and the end are here: how much of the beginning playback needs to start, and where
the tracks end."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer

from .bare_ends import BARE, bare_end
from .fragments import fragment_ends
from .reading import all_packets
from .walk import Walk

EARLY_S = 16
"""So many seconds of every track are wanted whole."""
LATEST_S = 30
"""A track that has had nothing for so long, seen by the others, is not waited for."""
END_BYTES = 4 * 1024 * 1024
"""How much of the end is looked at; whoever cuts the copy leaves at least as much."""
MOST_TRIES = 1000
AHEAD_BYTES = 64 * 1024
"""Sound alone may be so dense that what tools read ahead of it is seconds of it."""
_SELF_SYNCHRONISING = frozenset({"mpegts", "mpeg"})

Open = Callable[[Any], InputContainer]


def early_bytes(container: InputContainer, tracks: list[dict[str, Any]], head_bytes: int) -> int | None:
    """How many bytes from the file's start hold the first `EARLY_S` seconds of all its tracks; None where these do not
    lie within ``head_bytes``."""
    waiting = {track["index"] for track in tracks if "sample" in track}
    first: float | None = None
    reached = 0
    try:
        for packet in all_packets(container):
            if packet.dts is None or packet.pos is None or packet.pos < 0 or packet.stream_index not in waiting:
                continue
            reached = max(reached, int(packet.pos) + int(packet.size))
            if reached > head_bytes:
                return None
            at = float(packet.dts * packet.time_base)
            first = at if first is None else first
            if at - first >= EARLY_S:
                waiting.discard(packet.stream_index)
            if not waiting or at - first >= LATEST_S:
                return reached if container.streams.video else min(reached + AHEAD_BYTES, head_bytes)
    except av.FFmpegError:
        return None
    return None


def look_at_end(path: Path, tracks: list[dict[str, Any]], container: InputContainer, opened: Open) -> None:
    """Where each video track ends (``tail``), from the last bytes of the file or the length that its header tells."""
    demuxer = container.format.name.partition(",")[0]
    ends: dict[int, dict[str, Any]] = {}
    if demuxer in BARE:
        _end_of_bare_sound(bare_end(path, container, opened, END_BYTES), tracks)
        return
    if demuxer in _SELF_SYNCHRONISING:
        ends = _ends_of_packets(path, container, opened)
    elif demuxer == "mov":
        ends = {
            stream.index: {"last": end, "last_duration": 0}
            for stream, end in _paired(container, fragment_ends(path, END_BYTES))
        }
    for track in tracks:
        if track["type"] not in ("video", "audio") or track["attached_picture"] or "sample" not in track:
            continue
        end = ends.get(track["index"]) or _told(container, container.streams[track["index"]])
        if end is not None:
            track["tail" if track["type"] == "video" else "scan"] = _with_start(end, track)


def _end_of_bare_sound(end: dict[str, Any] | None, tracks: list[dict[str, Any]]) -> None:
    for track in tracks:
        if track["type"] == "audio" and end is not None:
            track["scan"] = {**end, "first": track["start"] or 0}


def _with_start(end: dict[str, Any], track: dict[str, Any]) -> dict[str, Any]:
    """As a walk over the track would say it: its last picture is an interval before its end, where only that is known."""
    interval = track.get("head", {}).get("interval") or 0
    first = track["head"]["first"] if "head" in track else track["start"]
    if end["last_duration"] == 0:
        return {**end, "first": first, "last": end["last"] - interval, "last_duration": interval}
    return {**end, "first": first}


def _ends_of_packets(path: Path, container: InputContainer, opened: Open) -> dict[int, dict[str, Any]]:
    walks: dict[int, Walk] = {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - END_BYTES))
        last = io.BytesIO(file.read())
    with opened(last) as end:
        names = {stream.id: stream.index for stream in container.streams}
        for packet in _patiently(end):
            if packet.stream.id in names:
                walks.setdefault(names[packet.stream.id], Walk()).add(packet)
    return {
        index: {"last": walk.last_pts, "last_duration": walk.last_duration}
        for index, walk in walks.items()
        if walk.last_pts is not None
    }


def _patiently(container: InputContainer) -> Iterator[Any]:
    """All packets of a container that is entered in mid-stream: until it has found its tables it says "again"."""
    for _ in range(MOST_TRIES):
        try:
            yield from all_packets(container)
        except av.error.BlockingIOError:
            continue
        return


def _told(container: InputContainer, stream: Any) -> dict[str, Any] | None:
    if stream.duration:
        return {"last": (stream.start_time or 0) + stream.duration, "last_duration": 0}
    if container.duration and container.duration > 0:
        end_us = (container.start_time or 0) + container.duration
        return {"last": round(end_us / 1_000_000 / stream.time_base), "last_duration": 0}
    return None


def _paired(container: InputContainer, ends: dict[int, int]) -> list[tuple[Any, int]]:
    """``ends`` by track number, with the streams that have these numbers."""
    return [(stream, ends[stream.id]) for stream in container.streams if stream.id in ends]
