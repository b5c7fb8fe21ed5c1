"""Reading packets without decoding them: all of a file, or its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import av
from av.container import InputContainer

from .walk import Walk

TAIL_SECONDS = (15, 120)
"""How far before the end of an unscanned file its last pictures are looked for, nearest first."""


def all_packets(container: InputContainer) -> Iterator[Any]:
    """Packets until the file ends or cannot be read on; empty ones (flushes) left out."""
    return (packet for packet in packets_of(container) if packet.size)


def packets_of(container: InputContainer, *streams: Any) -> Iterator[Any]:
    """Packets of ``streams`` (none named: of all), and at the file's end an empty one of each. A track that first comes up in
    mid-file is left out: PyAV has no place for it, and stumbles over that at the end."""
    with suppress(IndexError):
        yield from container.demux(*streams)


def scan(container: InputContainer, tracks: list[dict[str, Any]]) -> str | None:
    """Read every packet, decode none. Fills ``scan`` of video and audio tracks; the error that ended it early, if any."""
    walks = {track["index"]: Walk() for track in tracks if track["type"] in ("video", "audio")}
    failure = None
    try:
        for packet in all_packets(container):
            if packet.stream_index in walks:
                walks[packet.stream_index].add(packet)
    except av.FFmpegError as error:
        failure = f"{type(error).__name__}: {error.strerror}"
    for track in tracks:
        if track["index"] in walks:
            track["scan"] = walks[track["index"]].report()
    return failure


def look_at_tail(container: InputContainer, tracks: list[dict[str, Any]]) -> None:
    """Where the video of a file that is too large to scan really ends. Fills ``tail`` of its video tracks."""
    videos = [track for track in tracks if track["type"] == "video" and not track["attached_picture"]]
    for seconds in TAIL_SECONDS:
        walks = {track["index"]: Walk() for track in videos}
        end = (container.start_time or 0) + (container.duration or 0)
        try:
            container.seek(max(end - seconds * 1_000_000, container.start_time or 0))
            for packet in all_packets(container):
                if packet.stream_index in walks:
                    walks[packet.stream_index].add(packet)
        except av.FFmpegError:
            continue
        for track in videos:
            if walks[track["index"]].times:
                track["tail"] = walks[track["index"]].report()
        if all("tail" in track for track in videos):
            return
