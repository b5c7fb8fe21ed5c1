"""Films for tests: pictures that say which one they are, at times that the test decides, and reading them back."""

from __future__ import annotations

import io
import math
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

WIDTH, HEIGHT = 160, 96
_BITS = 16
_COLUMN = WIDTH // _BITS
SOUND_RATE_HZ = 44_100


def numbered_picture(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> av.VideoFrame:
    """A picture whose columns are the bits of ``number``, white for one."""
    width, height = size
    frame = av.VideoFrame(width, height, "yuv420p")
    row = b"".join(
        (b"\xeb" if number >> bit & 1 else b"\x10") * (width // _BITS) for bit in reversed(range(_BITS))
    ).ljust(width, b"\x10")
    for plane, content in zip(frame.planes, (row, b"\x80" * (width // 2), b"\x80" * (width // 2)), strict=True):
        padded = content.ljust(plane.line_size, b"\0")
        plane.update(padded * plane.height)
    return frame


def picture_number(frame: av.VideoFrame) -> int:
    """The number that `numbered_picture` put into a picture, after any encoding and scaling."""
    plane = frame.planes[0]
    row = bytes(plane)[plane.line_size * (frame.height // 2) :][: frame.width]
    column = frame.width // _BITS
    middles = [row[column * at + column // 2] for at in range(_BITS)]
    return sum((level > 0x80) << bit for level, bit in zip(middles, reversed(range(_BITS)), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Times of the pictures in seconds, the first one numbered ``first_number``."""

    times: Sequence[Fraction]
    clock_hz: int = 90_000
    keyframe_every: int = 25
    b_frames: int = 0
    open_gop: bool = False
    size: tuple[int, int] = (WIDTH, HEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """``level(t)``: the sound at ``t`` seconds after ``start``, in both channels."""

    seconds: Fraction
    start: Fraction = Fraction(0)
    rate_hz: int = SOUND_RATE_HZ
    codec: str = "aac"
    lowest_hz: float = 200.0
    highest_hz: float = 2_000.0

    def level(self, at: float) -> float:
        """A sine that glides from the lowest to the highest frequency: every moment is unlike every other."""
        glide = (self.highest_hz - self.lowest_hz) / float(self.seconds)
        return 0.5 * math.sin(2 * math.pi * (self.lowest_hz * at + glide * at * at / 2))


def make_film(path: Path, pictures: Pictures | None, sound: Sound | None = None, *, container: str) -> Path:
    """Write a film to ``path``. ``container``: the name of an ffmpeg muxer."""
    options = {"mp4": {"movflags": "+faststart"}, "mpegts": {"mpegts_copyts": "1"}}.get(container, {})
    if container != "flv":  # which has no negative times
        options |= {"avoid_negative_ts": "disabled"}
    with av.open(str(path), "w", format=container, options=options) as film:
        tracks: list[tuple[Any, Any]] = []
        if pictures:
            tracks.append((_video_stream(film, pictures), iter(_frames(pictures))))
        if sound:
            tracks.append((_audio_stream(film, sound), iter(_samples(sound))))
        _interleave(film, tracks)
    return path


def _video_stream(film: Any, pictures: Pictures) -> Any:
    stream = film.add_stream("libx264", rate=30)
    stream.width, stream.height = pictures.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, pictures.clock_hz)
    stream.time_base = Fraction(1, pictures.clock_hz)
    stream.options = {
        "preset": "ultrafast",
        "crf": "20",
        "bf": str(pictures.b_frames),
        "g": str(pictures.keyframe_every),
        "sc_threshold": "0",
        "b_strategy": "0",
    }
    if pictures.open_gop:
        stream.options = {**stream.options, "x264-params": "open-gop=1"}
    return stream


def _frames(pictures: Pictures) -> Iterable[tuple[Fraction, Any]]:
    for number, time in enumerate(pictures.times):
        frame = numbered_picture(number, pictures.size)
        frame.time_base = Fraction(1, pictures.clock_hz)
        frame.pts = round(time * pictures.clock_hz)
        yield time, frame


def _audio_stream(film: Any, sound: Sound) -> Any:
    return film.add_stream(sound.codec, rate=sound.rate_hz, layout="stereo")


def _samples(sound: Sound) -> Iterable[tuple[Fraction, Any]]:
    total, step = int(sound.seconds * sound.rate_hz), 1024
    for first in range(0, total, step):
        count = min(step, total - first)
        levels = array("f", (sound.level((first + at) / sound.rate_hz) for at in range(count)))
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=count)
        for plane in frame.planes:
            plane.update(levels.tobytes().ljust(plane.buffer_size, b"\0"))
        frame.sample_rate = sound.rate_hz
        frame.time_base = Fraction(1, sound.rate_hz)
        frame.pts = round(sound.start * sound.rate_hz) + first
        yield sound.start + Fraction(first, sound.rate_hz), frame


def _interleave(film: Any, tracks: list[tuple[Any, Any]]) -> None:
    waiting = [(next(frames), stream, frames) for stream, frames in tracks]
    while waiting:
        waiting.sort(key=lambda entry: entry[0][0])
        (_, frame), stream, frames = waiting.pop(0)
        film.mux(stream.encode(frame))
        following = next(frames, None)
        if following is not None:
            waiting.append((following, stream, frames))
    for stream, _ in tracks:
        film.mux(stream.encode(None))


def drop_times(path: Path) -> None:
    """Of every two pictures of three, except the first ones (H.222.0, 2.4.3.7: what the flags do not announce is stuffing)."""
    data = bytearray(path.read_bytes())
    pictures = [found.start() for found in re.finditer(rb"\x00\x00\x01\xe0..[\x80-\xbf][\x80\xc0]", data, re.DOTALL)]
    for number, at in enumerate(pictures):
        if number > 2 and number % 3:
            data[at + 7] &= 0x3F
    path.write_bytes(data)


def numbers_shown(data: bytes) -> list[int]:
    """The numbers of all pictures of a film, in the order in which they are shown."""
    with av.open(io.BytesIO(data)) as film:
        return [picture_number(frame) for frame in film.decode(video=0)]


def samples_heard(data: bytes) -> array[float]:
    """The first channel of a film's sound."""
    heard: array[float] = array("f")
    with av.open(io.BytesIO(data)) as film:
        for frame in film.decode(audio=0):
            heard.frombytes(bytes(frame.planes[0])[: 4 * frame.samples])
    return heard
