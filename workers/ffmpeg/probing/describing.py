"""Tracks as the container's header tells of them, and as the first decoded picture or sound corrects it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from av.sidedata.sidedata import Type as SideData


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
        "forced": bool(stream.disposition & stream.disposition.forced),
        "for_deaf": bool(stream.disposition & (stream.disposition.hearing_impaired | stream.disposition.captions)),
        "describes_video": bool(
            stream.disposition & (stream.disposition.visual_impaired | stream.disposition.descriptions)
        ),
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


def describe_screen(path: Path, tracks: list[dict[str, Any]]) -> None:
    """Of a GIF whose pictures libavformat finds too large it tells no size: that of its screen (GIF89a, 18)."""
    with path.open("rb") as file:
        head = file.read(10)
    for track in tracks:
        if not track.get("width") and len(head) == 10:
            track["width"], track["height"] = struct.unpack("<HH", head[6:])


def _tag(context: Any) -> str | None:
    try:
        return context.codec_tag if context else None
    except UnicodeDecodeError:  # a number, not four letters
        return None


def _ratio(value: Any) -> str | None:
    return f"{value.numerator}/{value.denominator}" if value else None


def _bit_depth(format_: Any) -> int | None:
    return max((component.bits for component in format_.components), default=8) if format_ else None


def describe_first(frame: Any, track: dict[str, Any]) -> None:
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
