"""The file that packets are copied to: one that keeps their times exactly, and all that a decoder may need."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer

MILLISECONDS = Fraction(1, 1000)
SILENT_RATE_HZ = 48_000
BACK_S = 1
"""So far back times may go from one packet to the next; beyond that the film begins a new count."""
IN_BLOCKS = ("adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha", "gsm_ms", "wma")
"""Codecs (by how their names begin) whose decoders must know how long a block is, and how many bits a second has: NUT does
not tell."""


class Unfit(Exception):
    """This track cannot be copied exactly; the sentence says why."""


class Excerpt:
    """A file at ``to`` with packets of ``stream``."""

    def __init__(self, stream: Any, demuxer: str, to: Path) -> None:
        self._stream, self._path = stream, to
        self._muxer = _muxer(stream, demuxer)
        self._skips = demuxer != "mpegts"
        # What the muxer is going to count in; AVI counts blocks from its start, and has no times at all.
        self._tick = {"nut": Fraction(1, stream.codec_context.sample_rate or 1), "avi": stream.time_base}.get(
            self._muxer, MILLISECONDS
        )
        self._file: OutputContainer | None = None
        self._track: Any = None
        self._packets = 0
        self._shift = 0
        self._first: int | None = None
        self._last: int | None = None
        self._digest = hashlib.blake2b()

    def __enter__(self) -> Excerpt:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def empty(self) -> bool:
        return self._first is None

    def add(self, packet: Any) -> None:
        """Raises `Unfit` where times leap back, or samples are to be decoded and not heard."""
        if packet.is_discard:
            raise Unfit("an edit list leaves sound out")
        time = self._ticks((packet.pts if packet.pts is not None else packet.dts) * packet.time_base)
        if self._last is not None and (self._last - time) * self._tick > BACK_S:
            raise Unfit("times leap back")
        if self._first is None:
            self._first = time
            self._begin(time)
        assert self._file is not None
        packet.time_base = self._tick
        packet.pts = packet.dts = time + self._shift
        if self._muxer == "nut":
            # Parsers let times waver. Muxers only care that decoding times rise, and NUT does not even keep them.
            packet.dts = self._first + self._shift - math.ceil(2 * BACK_S / self._tick) + self._packets
        packet.stream = self._track
        self._digest.update(packet)
        self._file.mux(packet)
        self._last = time
        self._packets += 1

    def add_silence(self, at: Fraction) -> None:
        """One silent sample at ``at``, where the track has nothing: a file without packets is none."""
        self._muxer, self._tick = "nut", Fraction(1, SILENT_RATE_HZ)
        with av.open(str(self._path), "w", format="nut") as file:
            track: Any = file.add_stream("pcm_s16le", rate=SILENT_RATE_HZ, layout="stereo")
            packet = av.Packet(bytes(4))
            self._shift = max(0, math.ceil(-at)) * SILENT_RATE_HZ
            packet.time_base = self._tick
            packet.pts = packet.dts = self._ticks(at) + self._shift
            packet.stream = track
            file.mux(packet)

    def check(self) -> None:
        """Read what was written, once it is. Raises `Unfit` where it is something else, as was seen of NUT."""
        if self.empty:
            return
        digest = hashlib.blake2b()
        with av.open(str(self._path), format=self._muxer) as written:
            for packet in written.demux():
                if packet.size:
                    digest.update(packet)
        if digest.digest() != self._digest.digest():
            raise Unfit("the copy does not hold what was written to it")

    def report(self) -> dict[str, Any]:
        """``shift``: how many seconds later times are in the file. Other times are the source's."""
        return {
            "muxer": self._muxer,
            "packets": self._packets,
            "shift": str(self._shift * self._tick),
            "first_us": self._us(self._first),
            "last_us": self._us(self._last),
        }

    def _us(self, time: int | None) -> int | None:
        return math.floor(time * self._tick * 1_000_000) if time is not None else None

    def _ticks(self, seconds: Fraction) -> int:
        """Rounded as libavutil does: halves away from zero."""
        ticks = Fraction(seconds / self._tick)
        return math.floor(ticks + Fraction(1, 2)) if ticks >= 0 else -math.floor(-ticks + Fraction(1, 2))

    def _begin(self, first: int) -> None:
        if self._muxer == "avi":
            self._shift = -first
        elif first * self._tick < 2 * BACK_S:  # none of the others has negative times
            self._shift = (2 * BACK_S + math.ceil(-first * self._tick)) * int(1 / self._tick)
        options = {"avoid_negative_ts": "disabled"}
        if self._muxer == "nut" and self._skips:
            # The version of the format that keeps which samples of a packet are not to be heard.
            options |= {"syncpoints": "timestamped", "strict": "experimental"}
        self._file = av.open(str(self._path), "w", format=self._muxer, options=options)
        self._track = self._file.add_stream_from_template(self._stream)


def _muxer(stream: Any, demuxer: str) -> str:
    """Where the container counts milliseconds: one that does too. Else NUT, which counts samples."""
    if stream.time_base == MILLISECONDS:
        if demuxer == "matroska" and stream.codec_context.name.endswith("vorbis") and stream.codec_context.delay:
            raise Unfit("the copy would leave out the beginning of its first packet, and the file does not")
        return {"flv": "flv", "asf": "asf"}.get(demuxer, "matroska")
    if stream.codec_context.name.startswith("mp2") and not stream.codec_context.sample_rate % 11_025:
        raise Unfit("NUT loses packets of a rate at which they differ in length")
    if stream.codec_context.name.startswith(IN_BLOCKS):
        if demuxer != "avi":
            raise Unfit("nothing but its own container keeps what its decoder needs")
        return "avi"
    return "nut"
