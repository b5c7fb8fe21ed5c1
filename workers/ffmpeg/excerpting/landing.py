"""Where the ffmpeg program would begin to read after a seek: what a decoder makes of its first packets depends on which they
are, and some codecs carry noise on from packet to packet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

from av.container import InputContainer

LATE_S = 30
"""Sound may stand so far behind pictures of the same time; whoever waits for longer waits for what is not there."""
_SEEK_TO_SHOWN_TIMES = 0x4000000
"""``AVFMT_SEEK_TO_PTS``: other formats' seeks go by decoding times."""
_BEFORE_REORDERED_US = 3 * 1_000_000 // 23
"""How much earlier the program seeks for those where pictures are reordered (``ffmpeg_demux.c``)."""
_BY_TIME = frozenset({"matroska"})
"""Its blocks tell when they are shown. After a seek it leaves out what is earlier than the keyframe; others leave out what
stands before it in the file."""


class TooLate(Exception):
    """No keyframe came before the time that was sought."""


def sought_us(container: InputContainer, seek_us: int) -> int:
    """The time that the program asks libavformat for."""
    reordered = any(getattr(each.codec_context, "has_b_frames", False) for each in container.streams.video)
    return seek_us - (_BEFORE_REORDERED_US if reordered and not container.format.flags & _SEEK_TO_SHOWN_TIMES else 0)


def time_of(packet: Any) -> Fraction | None:
    """When ``packet`` is decoded, or else shown, in seconds."""
    ticks = packet.dts if packet.dts is not None else packet.pts
    return ticks * packet.time_base if ticks is not None and packet.time_base is not None else None


def packets_of(container: InputContainer) -> Iterator[Any]:
    """All packets. A track that first comes up in mid-file is left out: PyAV has no place for it, and stumbles over that at
    the end."""
    with suppress(IndexError):
        yield from container.demux()


def shown(packet: Any) -> Fraction | None:
    """When ``packet`` is shown, in seconds."""
    return packet.pts * packet.time_base if packet.pts is not None and packet.time_base is not None else None


def from_keyframe(container: InputContainer, stream: Any, sought: Fraction, since: Fraction | None) -> Iterator[Any]:
    """Packets as they come after a seek to ``sought`` in a format without an index, where the seek is a walk to the last
    keyframe before it. ``since``: earlier ones belong to the beginning of the file, which was left in for its headers.

    Raises `TooLate` if there was no keyframe in between."""
    guide = next((each.index for each in container.streams.video), stream.index)
    by_time = container.format.name.partition(",")[0] in _BY_TIME
    packets = packets_of(container)
    waiting: list[Any] = []
    keyframe: Fraction | None = None
    for packet in packets:
        at = shown(packet) if by_time else time_of(packet)
        if at is None or (since is not None and at < since):
            continue
        if at > sought and (packet.stream_index == guide or at > sought + LATE_S):
            waiting.append(packet)
            break
        if packet.stream_index == guide and packet.is_keyframe:
            keyframe = at
            if not by_time:
                waiting.clear()
        if packet.stream_index == stream.index:
            waiting.append(packet)
    if keyframe is None and since is not None:
        raise TooLate
    for packet in waiting:
        if not by_time or keyframe is None or (shown(packet) or keyframe) >= keyframe:
            yield packet
    yield from packets
