"""The first pictures and the first sound of every track, decoded: they prove that a track decodes."""

from __future__ import annotations

from typing import Any

import av
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData

from .captions import channels_in
from .describing import describe_first
from .reading import all_packets
from .walk import Walk, knows_no_shown_times

SAMPLE_FRAMES = 8
"""Decoded pictures that prove that a track decodes, and that show rotation, interlacing and real frame spacing."""
SAMPLE_PACKETS = 3_000
SAMPLE_BYTES = 64 * 1024 * 1024
CADENCE_PACKETS = 1_500
"""How many packets show the spacing of the pictures where the file is not going to be scanned."""


def sample(
    container: InputContainer, tracks: list[dict[str, Any]], decoders: frozenset[str], at_least_packets: int
) -> None:
    """Decode the first pictures and the first sound of every track; look in the middle for what did not come.

    Reads ``at_least_packets`` of the start, for the spacing of its pictures (``head``), if it has any.
    """
    wanted = [
        track
        for track in tracks
        if track["type"] in ("video", "audio") and not track["attached_picture"] and track["decoder"] in decoders
    ]
    for track in wanted:
        stream = container.streams[track["index"]]
        stream.codec_context.thread_count = 2
        track["sample"] = {"frames": 0, "errors": 0, "times": [], "interlaced": 0, "matrix": None, "captions": []}
    pictures = any(track["type"] == "video" for track in wanted)
    walks = _decode_some(container, wanted, at_least_packets if pictures else 0)
    for track in tracks:
        if track["type"] == "video" and track["index"] in walks:
            track["head"] = walks[track["index"]].report()
        elif track["index"] in walks:
            track["packet_duration"] = walks[track["index"]].last_duration
    missing = [track for track in wanted if not track["sample"]["frames"] and not track["encrypted"]]
    if missing and container.duration and container.duration > 0:
        try:
            container.seek((container.start_time or 0) + container.duration // 2)
        except av.FFmpegError:
            return  # not seekable: what the start gave is all there is
        for track in missing:
            track["sample"]["from_middle"] = True
        _decode_some(container, missing, 0)


def _decode_some(container: InputContainer, wanted: list[dict[str, Any]], at_least_packets: int) -> dict[int, Walk]:
    walks = {track["index"]: Walk() for track in wanted}
    open_tracks = {track["index"]: track for track in wanted}
    packets = size = 0
    for packet in all_packets(container):
        enough = not open_tracks and packets >= at_least_packets
        if enough or packets > SAMPLE_PACKETS or size > SAMPLE_BYTES:
            return walks
        packets, size = packets + 1, size + packet.size
        if packet.stream_index not in walks:
            continue
        walks[packet.stream_index].add(packet)
        track = open_tracks.get(packet.stream_index)
        if track is not None and _decoded_enough(packet, track):
            del open_tracks[packet.stream_index]
    for track in open_tracks.values():
        _decode(container.streams[track["index"]], None, track)  # what the decoder still holds back
    return walks


def _decoded_enough(packet: av.Packet[Any], track: dict[str, Any]) -> bool:
    if packet.has_sidedata("encryption_info") or packet.has_sidedata("encryption_init_info"):
        track["encrypted"] = True
    if track["encrypted"]:
        return True
    _decode(packet.stream, packet, track)
    return bool(track["sample"]["frames"] >= (SAMPLE_FRAMES if track["type"] == "video" else 1))


def _decode(stream: Any, packet: av.Packet[Any] | None, track: dict[str, Any]) -> None:
    found = track["sample"]
    try:
        frames = stream.decode(packet)
    except (av.FFmpegError, EOFError):
        found["errors"] += 1
        return
    decoded = found["by_decoding"] = knows_no_shown_times(stream)
    for frame in frames:
        if not found["frames"]:
            describe_first(frame, track)
        found["frames"] += 1
        time = frame.dts if decoded else frame.pts
        if time is not None:
            found["times"].append(time)
        if track["type"] == "video":
            found["interlaced"] += frame.interlaced_frame
            data = frame.side_data.get(SideData.A53_CC)
            if data is not None:
                found["captions"] = sorted({*found["captions"], *channels_in(bytes(data))})
