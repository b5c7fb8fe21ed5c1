"""Whether pictures are woven from two fields: seen in the pictures."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import av
import av.error
import av.filter
from av.container import InputContainer

from .reading import packets_of

FIELD_FRAMES = 30
"""Pictures that are looked at for fields at each place: the filter compares each with its neighbours."""
FIELD_PLACES = (0.0, 0.35, 0.7)
"""Where in the film that is done: titles stand still and say nothing, and trailers are put before films."""
FIELD_PACKETS = 600
BROADCAST_LINES = frozenset({480, 486, 576, 1080, 1088})
FIELD_CODECS = frozenset(
    {"h264", "hevc", "mpeg2video", "mpeg4", "dvvideo", "vc1", "wmv3", "prores", "dnxhd", "mjpeg", "ffv1", "huffyuv",
     "ffvhuff", "utvideo", "rawvideo", "v210", "jpeg2000"}
)  # fmt: skip


def look_for_fields(container: InputContainer, tracks: list[dict[str, Any]], places: tuple[float, ...]) -> None:
    """Whether pictures are woven from two fields, seen in the pictures themselves: flags lie in both directions.

    Fills ``fields`` of the tracks where it is in doubt: how many pictures are of which kind, by the idet filter.
    """
    for track in tracks:
        if not may_have_fields(track):
            continue
        seen: Counter[str] = Counter()
        for place in places:
            try:
                if place:
                    container.seek((container.start_time or 0) + round((container.duration or 0) * place))
                seen += _fields_from_here(container, container.streams[track["index"]])
            except av.FFmpegError:
                continue  # nothing to be seen at this place
        track["fields"] = dict(seen)


def may_have_fields(track: dict[str, Any]) -> bool:
    if track["type"] != "video" or not track.get("sample", {}).get("frames") or track["codec"] not in FIELD_CODECS:
        return False
    flagged = track["sample"]["interlaced"] > 0 or track["field_order"] not in (0, 1)
    # What says of itself that it is progressive is believed where no broadcaster has ever put fields.
    return flagged or track["height"] in BROADCAST_LINES - ({1080, 1088} if track["field_order"] == 1 else set())


def _fields_from_here(container: InputContainer, stream: Any) -> Counter[str]:
    graph = av.filter.Graph()
    source = graph.add_buffer(template=stream)
    detector, sink = graph.add("idet"), graph.add("buffersink")
    source.link_to(detector)
    detector.link_to(sink)
    graph.configure()
    seen: Counter[str] = Counter()
    pushed = 0
    for packet in itertools.islice(packets_of(container, stream), FIELD_PACKETS):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            continue
        for frame in frames:
            source.push(frame)
            pushed += 1
            seen += _detected(sink)
        if pushed >= FIELD_FRAMES:
            break
    return seen


def _detected(sink: Any) -> Counter[str]:
    seen: Counter[str] = Counter()
    while True:
        try:
            frame = sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return seen
        seen[frame.metadata.get("lavfi.idet.multiple.current_frame", "undetermined")] += 1
