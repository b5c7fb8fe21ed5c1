"""Filter graphs, by way of ffmpeg-python: the only module that knows it. Pure: nothing is run.

The heart is the frame grid. Output frame ``n`` is shown at ``n / frame_rate`` from time zero, and which source picture it
shows depends on nothing but absolute times, never on where decoding began. So chunks that are encoded apart show exactly
what one run over the whole film would show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from storage.media.colour import HDR_TRANSFERS
from storage.media.encoders import Encoder
from storage.media.ladder import Chunk, Rung
from storage.media.source import FieldOrder, VideoTrack
from workers.ffmpeg.inputs import GLOBAL, Options, located

Stream = Any  # ffmpeg-python has no types

# 2^11 · 3^2 · 5^4: a multiple of the usual clocks (1000, 90000, 12800, 15360, 48000 …), so that nothing is rounded.
_CLOCKS = 11_520_000
_MAX_TIMEBASE = 2_000_000_000  # ffmpeg holds both sides of a time base in 32 bits

_SDR_TRANSFERS = frozenset({"bt709", "smpte170m", "bt470m", "bt470bg", "smpte240m", "iec61966-2-1", "iec61966-2-4"})
_YUV_SPACES = frozenset({"bt709", "smpte170m", "bt470bg", "fcc", "smpte240m", "bt2020nc"})


def opened(path: Path, options: Options, track_index: int) -> Stream:
    """Track ``track_index`` of the file at ``path``."""
    return ffmpeg.input(located(path), **options)[str(track_index)]


def written(stream: Stream, path: Path, options: Options) -> Stream:
    """``stream``, encoded to the file at ``path``."""
    return ffmpeg.output(stream, located(path), **options)


def piped(stream: Stream, options: Options) -> Stream:
    """``stream``, encoded to standard output."""
    return ffmpeg.output(stream, "pipe:1", **options)


def arguments(program: str, outputs: Sequence[Stream], *, threads: int, device: Sequence[str] = ()) -> list[str]:
    """The argument list that makes ``outputs``, all in one run, with ``threads`` for its filters, and ``device`` opened."""
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    return [program, *GLOBAL, *device, "-filter_complex_threads", str(threads), *ffmpeg.get_args(merged)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where the frames of a chunk lie: run-up frames ``[-lead, 0)`` are decoded and dropped.

    ``timebase``: units per second in which both the source's times and the frames are whole (or rounded once, in the
    same way for every chunk). ``offset``: time of the first run-up frame, in these units."""

    frame_rate: Fraction
    timebase: int
    offset: int
    lead: int
    count: int

    @property
    def total(self) -> int:
        return self.lead + self.count


def chunk_grid(chunk: Chunk, *, frame_rate: Fraction, zero: Fraction, lead: int) -> Grid:
    """The grid of ``chunk``; ``zero``: time zero on the source's clock; ``lead``: run-up in frames."""
    if not 0 <= lead <= chunk.frames.start:
        raise ValueError(f"a run-up of {lead} frames does not fit before frame {chunk.frames.start}")
    timebase = grid_timebase(frame_rate)
    frame_units = timebase / frame_rate  # whole: the numerator divides the time base
    offset = round(zero * timebase) + (chunk.frames.start - lead) * int(frame_units)
    return Grid(frame_rate=frame_rate, timebase=timebase, offset=offset, lead=lead, count=len(chunk.frames))


def grid_timebase(frame_rate: Fraction) -> int:
    """Units per second in which a frame is a whole number of units, as fine as fits."""
    step = math.lcm(frame_rate.numerator, _CLOCKS)
    if step > _MAX_TIMEBASE:
        step = frame_rate.numerator
    return max(1, _MAX_TIMEBASE // step) * step


def on_grid(video: Stream, grid: Grid) -> Stream:
    """Exactly ``grid.count`` frames with times 0, 1, 2 … in frames."""
    return (
        # Rounding to the common time base comes first, on absolute times; what follows is exact.
        video.filter("settb", f"1/{grid.timebase}")
        .filter("setpts", f"PTS-({grid.offset})")
        # From the first run-up frame on; a video that starts late is led in by its first picture, and a last picture
        # that is shorter than a frame counts too.
        .filter("fps", _ratio(grid.frame_rate), start_time=0, round="near", eof_action="pass")
        # A video that ends early, or has nothing left to decode, stands still.
        .filter("tpad", stop=grid.total, stop_mode="clone")
        .filter("trim", start_pts=grid.lead, end_pts=grid.total)
        .filter("setpts", f"PTS-{grid.lead}")
    )


def deinterlaced(video: Stream, track: VideoTrack) -> Stream:
    """One picture per frame, where the facts say that the source is interlaced: flags in the stream often lie."""
    if track.field_order is not FieldOrder.INTERLACED:
        return video
    return video.filter("bwdif", mode="send_frame", parity="auto", deint="all")


def tone_mapped(video: Stream, track: VideoTrack, size: tuple[int, int], filters: frozenset[str]) -> Stream:
    """Standard dynamic range in bt709, where the source is HDR and this ffmpeg can. ``size``: the largest one needed,
    because tone mapping works in floats and is slow."""
    if track.own_colours:
        width, height = size
        return video.filter(
            "libplacebo",
            w=width,
            h=height,
            apply_dolbyvision=1,
            tonemapping="bt.2390",
            colorspace="bt709",
            color_primaries="bt709",
            color_trc="bt709",
            range="tv",
            format="yuv420p",
        )
    if not is_tone_mapped(track, filters):
        return video
    return (
        video.filter("scale", *size)
        .filter(
            "zscale",
            transfer="linear",
            npl=100,
            transferin=track.color_transfer,
            primariesin="2020",
            matrixin="2020_ncl",
        )
        .filter("format", "gbrpf32le")
        .filter("zscale", primaries="709")
        .filter("tonemap", "hable", desat=0)
        .filter("zscale", transfer="709", matrix="709", range="tv")
        .filter("format", "yuv420p")
    )


def is_tone_mapped(track: VideoTrack, filters: frozenset[str]) -> bool:
    """Whether `tone_mapped` will do something."""
    return track.own_colours or (track.color_transfer in HDR_TRANSFERS and {"zscale", "tonemap"} <= filters)


def tagged(video: Stream, track: VideoTrack, filters: frozenset[str]) -> Stream:
    """Every rung says the same about its colours. Untagged pictures are guessed by their size, and a 1080p film that is
    scaled to 360p would change its colours at a rung switch."""
    space, transfer, primaries = output_colour(track, filters)
    if is_rgb(track):
        video = video.filter("scale", out_color_matrix="bt709", out_range="tv").filter("format", "yuv444p")
    return video.filter("setparams", colorspace=space, color_trc=transfer, color_primaries=primaries)


def output_colour(track: VideoTrack, filters: frozenset[str]) -> tuple[str, str, str]:
    """(matrix, transfer, primaries) of what comes out: the source's own where it names them, else the convention."""
    if is_rgb(track) or is_tone_mapped(track, filters):
        return ("bt709", "bt709", "bt709")
    # ITU-R BT.601 for standard definition, BT.709 above: what every player assumes of untagged pictures.
    usual = "bt709" if max(track.width, track.height) > 1024 or min(track.width, track.height) > 576 else "smpte170m"
    space = track.color_space if track.color_space in _YUV_SPACES else usual
    known = _SDR_TRANSFERS | HDR_TRANSFERS | {"bt2020-10", "bt2020-12"}
    fallback = "bt709" if space in ("bt709", "bt2020nc") else "smpte170m"
    transfer = track.color_transfer if track.color_transfer in known else fallback
    return (
        space or usual,
        transfer or fallback,
        track.color_primaries or ("bt2020" if space == "bt2020nc" else fallback),
    )


def is_rgb(track: VideoTrack) -> bool:
    return track.pixel_format.startswith(
        ("rgb", "bgr", "gbr", "argb", "abgr", "pal8", "0rgb", "0bgr", "x2rgb", "x2bgr")
    )


def scaled(video: Stream, width: int, height: int) -> Stream:
    """8-bit 4:2:0 of ``width`` x ``height`` square pixels, in studio range."""
    return (
        video.filter("scale", width, height, flags="bicubic", out_range="tv")
        .filter("format", "yuv420p")
        .filter("setsar", 1)
    )


def in_all_sizes(video: Stream, rungs: Sequence[Rung]) -> dict[str, Stream]:
    """``video`` scaled to each of ``rungs``, by name. Small ones are made of larger ones, see `scaled_from`: reading a
    large picture once more for every rung costs as much as a tenth of encoding them."""
    parents = scaled_from(rungs)
    users = [parents[rung.name] for rung in rungs]
    copies = iter(_copies(video, users.count(None)))
    spare: dict[str | None, list[Stream]] = {}
    made: dict[str, Stream] = {}
    for rung in sorted(rungs, key=_short_side, reverse=True):
        parent = parents[rung.name]
        picture = scaled(next(copies) if parent is None else spare[parent].pop(0), rung.width, rung.height)
        made[rung.name], *spare[rung.name] = _copies(picture, 1 + users.count(rung.name))
    return made


def scaled_from(rungs: Sequence[Rung]) -> dict[str, str | None]:
    """What each of ``rungs`` is scaled from: the smallest one whose short side is at least twice as long, else the source
    (None). At that distance nothing is seen of a picture having been scaled twice."""
    found: dict[str, str | None] = {}
    for rung in rungs:
        larger = [one for one in rungs if _short_side(one) >= 2 * _short_side(rung)]
        found[rung.name] = min(larger, key=_short_side).name if larger else None
    return found


def _short_side(rung: Rung) -> int:
    return min(rung.width, rung.height)


def _copies(video: Stream, count: int) -> list[Stream]:
    """``video``, ``count`` times: a stream is read once."""
    if count == 1:
        return [video]
    split = video.filter_multi_output("split", count)
    return [split[number] for number in range(count)]


def for_encoder(video: Stream, encoder: Encoder) -> Stream:
    """Pictures as ``encoder`` takes them."""
    match encoder:
        case Encoder.VAAPI:
            return video.filter("format", "nv12").filter("hwupload")
        case Encoder.QSV:
            return video.filter("format", "nv12")
        case _:
            return video


def as_jpeg(video: Stream, width: int, height: int) -> Stream:
    """``width`` x ``height`` square pixels as JPEG wants them: the BT.601 matrix in full range (JFIF 1.02)."""
    return (
        video.filter("scale", width, height, flags="bicubic", out_color_matrix="bt601", out_range="pc")
        .filter("format", "yuv420p")
        .filter("setsar", 1)
    )


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
