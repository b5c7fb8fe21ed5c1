"""One look into a file, from its header to its last packet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer

from .beginning import early_bytes, look_at_end
from .boxes import boxes, dolby_vision
from .describing import describe, describe_screen
from .fields import FIELD_PLACES, look_for_fields, may_have_fields
from .reading import look_at_tail, scan
from .sampling import CADENCE_PACKETS, sample

NO_INDEX = frozenset({"mpegts", "mpeg", "aac", "mp3"})
"""Containers that say nothing reliable of their length: they are read to the end, however long."""


def probe(
    path: Path, *, demuxer: str, decoders: frozenset[str], scan_bytes: int, head_bytes: int | None = None
) -> dict[str, Any]:
    """The whole report on ``path``. ``decoders``: those that may run. Files up to ``scan_bytes`` are read to the end.
    ``head_bytes``: so many bytes of the file are here, and its end, but nothing in between; nothing is scanned then."""
    report: dict[str, Any] = {"demuxer": demuxer, "size_bytes": path.stat().st_size, "tracks": [], "error": None}
    if demuxer == "mov":
        report["boxes"] = boxes(path)
    report["dolby_vision"] = dolby_vision(path, demuxer)

    def opened(file: Any = str(path)) -> InputContainer:
        options = {"protocol_whitelist": "file", "codec_whitelist": ",".join(sorted(decoders))}
        container: InputContainer = av.open(file, mode="r", format=demuxer, options=options, metadata_errors="replace")
        return container

    try:
        with opened() as container:
            tracks = [describe(stream) for stream in container.streams]
            if demuxer == "gif":
                describe_screen(path, tracks)
            report["tracks"] = tracks
            report["duration_us"] = container.duration
            scanned = head_bytes is None and (report["size_bytes"] <= scan_bytes or not has_index(container, report))
            sample(container, tracks, decoders, at_least_packets=0 if scanned else CADENCE_PACKETS)
            if head_bytes is not None:
                look_at_end(path, tracks, container, opened)
            elif not scanned:
                look_at_tail(container, tracks)
        if any(may_have_fields(track) for track in tracks):
            # Anew, because a seek to the start does not find it everywhere.
            with opened() as container:
                look_for_fields(container, tracks, FIELD_PLACES if scan_bytes else FIELD_PLACES[:1])
        if head_bytes is not None:
            with opened() as container:
                report["early_bytes"] = early_bytes(container, tracks, head_bytes)
        if scanned:
            with opened() as container:
                report["scan_error"] = scan(container, tracks)
        report["scanned"] = scanned
    except av.FFmpegError as error:
        report["error"] = f"{type(error).__name__}: {error.strerror}"
    return report


def has_index(container: InputContainer, report: dict[str, Any]) -> bool:
    """Whether the container's own numbers can be trusted for lengths: an MP4 in fragments or cut short has none."""
    if report["demuxer"] in NO_INDEX or not container.duration or container.duration < 0:
        return False
    if report["demuxer"] != "mov":
        return True
    return not report["boxes"]["overrun"] and all(
        track["frames"] > 0 for track in report["tracks"] if track["type"] == "video"
    )
