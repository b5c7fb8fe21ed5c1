"""Looks into one file and prints what is there as JSON. A program of its own, for the sandbox: it imports nothing of
ours, decides nothing and refuses nothing; `workers.ffmpeg.reports` reads what it prints.

    python probe.py --demuxer mov --decoders h264,aac --scan-bytes 268435456 FILE

All times are integer ticks of the track's own ``time_base``. A file that cannot be opened is a report too (``error``),
not a failure: exit code 0. Anything else is a crash, and belongs to whoever runs this.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import struct
import sys
from array import array
from collections import Counter
from operator import sub
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
import av.filter
import av.logging
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData

SAMPLE_FRAMES = 8
"""Decoded pictures that prove that a track decodes, and that show rotation, interlacing and real frame spacing."""
SAMPLE_PACKETS = 3_000
SAMPLE_BYTES = 64 * 1024 * 1024
CADENCE_PACKETS = 1_500
"""How many packets show the spacing of the pictures where the file is not going to be scanned."""
TAIL_SECONDS = (15, 120)
"""How far before the end of an unscanned file its last pictures are looked for, nearest first."""
NO_INDEX = frozenset({"mpegts", "mpeg", "aac", "mp3"})
"""Containers that say nothing reliable of their length: they are read to the end, however long."""
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
LARGEST_HEADER_BYTES = 64 * 1024 * 1024


class Walk:
    """What a track's packets say: shown times, keyframes, where the last one ends."""

    def __init__(self) -> None:
        self.times = array("q")
        self.keyframes = array("q")
        self.packets = 0
        self.corrupt = 0
        self.last_pts: int | None = None
        self.last_duration = 0

    def add(self, packet: av.Packet[Any]) -> None:
        self.packets += 1
        self.corrupt += packet.is_corrupt
        if packet.pts is None or packet.is_discard:  # discarded packets lie before the edit list's start
            return
        self.times.append(packet.pts)
        if packet.is_keyframe:
            self.keyframes.append(packet.pts)
        if self.last_pts is None or packet.pts >= self.last_pts:
            self.last_pts, self.last_duration = packet.pts, packet.duration or 0

    def report(self) -> dict[str, Any]:
        # Two packets of one time are one picture: VP9 carries hidden reference frames that way.
        times = sorted(set(self.times))
        keys = sorted(set(self.keyframes))
        gaps = Counter(map(sub, times[1:], times))
        median = _median(gaps)
        # 5 %, and the one tick that rounding costs (milliseconds in Matroska) where a tick is small beside it.
        tolerance = max(1 if median >= 8 else 0, median // 20)
        near = {gap: n for gap, n in gaps.items() if abs(gap - median) <= tolerance}
        return {
            "packets": self.packets,
            "corrupt": self.corrupt,
            "pictures": len(times),
            "first": times[0] if times else None,
            "last": times[-1] if times else None,
            "last_duration": self.last_duration,
            "interval": median,
            "near_count": sum(near.values()),  # intervals about as long as the median, and their sum
            "near_ticks": sum(gap * n for gap, n in near.items()),
            "longest_interval": max(gaps, default=0),
            "keyframes": len(keys),
            "first_keyframe": keys[0] if keys else None,
            "longest_keyframe_interval": max(
                (later - earlier for earlier, later in zip(keys, [*keys[1:], times[-1]], strict=True)), default=0
            )
            if keys
            else None,
        }


def _median(counts: Counter[int]) -> int:
    half, seen = counts.total() / 2, 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= half:
            return value
    return 0


def probe(path: Path, *, demuxer: str, decoders: frozenset[str], scan_bytes: int) -> dict[str, Any]:
    """The whole report on ``path``. ``decoders``: those that may run. Files up to ``scan_bytes`` are read to the end."""
    report: dict[str, Any] = {"demuxer": demuxer, "size_bytes": path.stat().st_size, "tracks": [], "error": None}
    if demuxer == "mov":
        report["boxes"] = boxes(path)
    report["dolby_vision"] = dolby_vision(path, demuxer)

    def opened() -> InputContainer:
        options = {"protocol_whitelist": "file", "codec_whitelist": ",".join(sorted(decoders))}
        return av.open(str(path), mode="r", format=demuxer, options=options, metadata_errors="replace")

    try:
        with opened() as container:
            tracks = [describe(stream) for stream in container.streams]
            report["tracks"] = tracks
            report["duration_us"] = container.duration
            scanned = report["size_bytes"] <= scan_bytes or not has_index(container, report)
            sample(container, tracks, decoders, at_least_packets=0 if scanned else CADENCE_PACKETS)
            if not scanned:
                look_at_tail(container, tracks)
        if any(_may_have_fields(track) for track in tracks):
            # Anew, because a seek to the start does not find it everywhere.
            with opened() as container:
                look_for_fields(container, tracks, FIELD_PLACES if scan_bytes else FIELD_PLACES[:1])
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


def describe(stream: Any) -> dict[str, Any]:
    """What the container's header says of a track."""
    context: Any = getattr(stream, "codec_context", None)  # data tracks and unknown codecs have none
    track: dict[str, Any] = {
        "index": stream.index,
        "type": stream.type,
        "codec": context.codec.canonical_name if context else None,
        "decoder": context.name if context else None,
        "tag": _tag(context),
        "time_base": _ratio(stream.time_base),
        "start": stream.start_time,
        "duration": stream.duration,
        "frames": stream.frames,
        "language": stream.language,
        "title": stream.metadata.get("title"),
        "default": bool(stream.disposition & stream.disposition.default),
        "attached_picture": bool(stream.disposition & stream.disposition.attached_pic),
        "bit_rate": context.bit_rate if context else None,
        "encrypted": _tag(context) in {"encv", "enca"},
    }
    if context is None:  # a codec that nobody here knows
        return track
    if stream.type == "video":
        track |= {
            "width": context.width,
            "height": context.height,
            "sample_aspect": _ratio(stream.sample_aspect_ratio),
            "pixel_format": context.pix_fmt,
            "bit_depth": _bit_depth(context.format),
            "average_rate": _ratio(stream.average_rate),
            "nominal_rate": _ratio(stream.guessed_rate),
            "field_order": context.field_order,
            "transfer": context.color_trc,
            "primaries": context.color_primaries,
            "space": context.colorspace,
            "range": context.color_range,
        }
    if stream.type == "audio":
        track |= {"sample_rate": context.sample_rate, "channels": context.channels}
    return track


def _tag(context: Any) -> str | None:
    try:
        return context.codec_tag if context else None
    except UnicodeDecodeError:  # a number, not four letters
        return None


def _ratio(value: Any) -> str | None:
    return f"{value.numerator}/{value.denominator}" if value else None


def _bit_depth(format_: Any) -> int | None:
    return max((component.bits for component in format_.components), default=8) if format_ else None


def sample(
    container: InputContainer, tracks: list[dict[str, Any]], decoders: frozenset[str], at_least_packets: int
) -> None:
    """Decode the first pictures and the first sound of every track; look in the middle for what did not come.

    Reads ``at_least_packets`` of the start, for the spacing of its pictures (``head``).
    """
    wanted = [
        track
        for track in tracks
        if track["type"] in ("video", "audio") and not track["attached_picture"] and track["decoder"] in decoders
    ]
    for track in wanted:
        stream = container.streams[track["index"]]
        stream.codec_context.thread_count = 2
        track["sample"] = {"frames": 0, "errors": 0, "times": [], "interlaced": 0, "matrix": None}
    walks = _decode_some(container, wanted, at_least_packets)
    for track in tracks:
        if track["type"] == "video" and track["index"] in walks:
            track["head"] = walks[track["index"]].report()
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
    for packet in _packets(container):
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


def _packets(container: InputContainer) -> Any:
    """Packets until the file ends or cannot be read on; empty ones (flushes) left out."""
    return (packet for packet in container.demux() if packet.size)


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
    for frame in frames:
        if not found["frames"]:
            _describe_first(frame, track)
        found["frames"] += 1
        if frame.pts is not None:
            found["times"].append(frame.pts)
        if track["type"] == "video":
            found["interlaced"] += frame.interlaced_frame


def _describe_first(frame: Any, track: dict[str, Any]) -> None:
    """The decoder knows better than the header: real sizes, SBR's sample rate, the display matrix."""
    if track["type"] == "audio":
        track |= {"sample_rate": frame.sample_rate, "channels": frame.layout.nb_channels}
        return
    track |= {
        "width": frame.width,
        "height": frame.height,
        "pixel_format": frame.format.name,
        "bit_depth": _bit_depth(frame.format),
    }
    matrix = frame.side_data.get(SideData.DISPLAYMATRIX)
    if matrix is not None:
        track["sample"]["matrix"] = list(struct.unpack("=9i", bytes(matrix)))


def scan(container: InputContainer, tracks: list[dict[str, Any]]) -> str | None:
    """Read every packet, decode none. Fills ``scan`` of video and audio tracks; the error that ended it early, if any."""
    walks = {track["index"]: Walk() for track in tracks if track["type"] in ("video", "audio")}
    failure = None
    try:
        for packet in _packets(container):
            if packet.stream_index in walks:
                walks[packet.stream_index].add(packet)
    except av.FFmpegError as error:
        failure = f"{type(error).__name__}: {error.strerror}"
    for track in tracks:
        if track["index"] in walks:
            track["scan"] = walks[track["index"]].report()
    return failure


def look_for_fields(container: InputContainer, tracks: list[dict[str, Any]], places: tuple[float, ...]) -> None:
    """Whether pictures are woven from two fields, seen in the pictures themselves: flags lie in both directions.

    Fills ``fields`` of the tracks where it is in doubt: how many pictures are of which kind, by the idet filter.
    """
    for track in tracks:
        if not _may_have_fields(track):
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


def _may_have_fields(track: dict[str, Any]) -> bool:
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
    for packet in itertools.islice(container.demux(stream), FIELD_PACKETS):
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


def look_at_tail(container: InputContainer, tracks: list[dict[str, Any]]) -> None:
    """Where the video of a file that is too large to scan really ends. Fills ``tail`` of its video tracks."""
    videos = [track for track in tracks if track["type"] == "video" and not track["attached_picture"]]
    for seconds in TAIL_SECONDS:
        walks = {track["index"]: Walk() for track in videos}
        end = (container.start_time or 0) + (container.duration or 0)
        try:
            container.seek(max(end - seconds * 1_000_000, container.start_time or 0))
            for packet in _packets(container):
                if packet.stream_index in walks:
                    walks[packet.stream_index].add(packet)
        except av.FFmpegError:
            continue
        for track in videos:
            if walks[track["index"]].times:
                track["tail"] = walks[track["index"]].report()
        if all("tail" in track for track in videos):
            return


def boxes(path: Path) -> dict[str, Any]:
    """The top level of an ISO media file: box names in order, whether one reaches beyond the end of the file, and
    whether its tracks are protected (ffmpeg does not open some protected files at all)."""
    names: list[str] = []
    protected = overrun = False
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= size and len(names) < 1000:
            length, name = _box_header(file, at)
            names.append(name)
            overrun = overrun or length < 8 or at + length > size
            if name == "moov":
                file.seek(at)
                header = file.read(min(length, LARGEST_HEADER_BYTES))
                protected = b"sinf" in header and (b"encv" in header or b"enca" in header)
            if length < 8:
                break
            at += length
    return {"names": names[:20], "has_header": "moov" in names, "overrun": overrun, "protected": protected}


def dolby_vision(path: Path, demuxer: str) -> dict[str, int] | None:
    """Profile and base layer of Dolby Vision, from its configuration record in MP4 and Matroska headers."""
    with path.open("rb") as file:
        if demuxer == "mov":
            header = _movie_header(file, path.stat().st_size)
            found = re.search(rb"dv[cvw]C\x01[\x00-\x0f](?P<record>...)", header, re.DOTALL)
        elif demuxer == "matroska":
            # BlockAddIDExtraData of 24 bytes, behind a BlockAddIDType that spells dvcC or dvvC.
            found = re.search(rb"dv[cvw]C.{0,16}?\x41\xed\x98\x01.(?P<record>...)", file.read(1 << 20), re.DOTALL)
        else:
            return None
    if found is None:
        return None
    bits = int.from_bytes(found["record"], "big")  # profile 7, level 6, three flags, compatibility 4, reserved
    return {"profile": bits >> 17, "compatibility": bits >> 4 & 15}


def _movie_header(file: BinaryIO, size: int) -> bytes:
    at = 0
    while at + 8 <= size:
        length, name = _box_header(file, at)
        if name == "moov":
            file.seek(at)
            return file.read(min(length, LARGEST_HEADER_BYTES))
        if length < 8:
            break
        at += length
    return b""


def _box_header(file: BinaryIO, at: int) -> tuple[int, str]:
    """(length, name) of the box at ``at`` (ISO 14496-12, 4.2): length 0 means to the end, 1 that 64 bits follow."""
    file.seek(at)
    header = file.read(16)
    length, name = int.from_bytes(header[:4], "big"), header[4:8].decode("latin-1")
    if length == 1:
        length = int.from_bytes(header[8:16], "big")
    elif length == 0:
        length = file.seek(0, 2) - at
    return length, name


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demuxer", required=True)
    parser.add_argument("--decoders", required=True)
    parser.add_argument("--scan-bytes", type=int, required=True)
    parser.add_argument("file", type=Path)
    asked = parser.parse_args(argv)
    av.logging.set_level(None)
    found = probe(
        asked.file,
        demuxer=asked.demuxer,
        decoders=frozenset(asked.decoders.split(",")),
        scan_bytes=asked.scan_bytes,
    )
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
