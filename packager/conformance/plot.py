"""A picture of a presentation: a row per rendition with its segments, keyframes and gaps, as SVG."""

from __future__ import annotations

from fractions import Fraction
from xml.etree import ElementTree as ET

from packager.conformance.subject import Subject, Track

_WIDTH, _LEFT, _ROW, _TOP = 1200, 260, 34, 40
_BAR = 18
_COLOURS = {"video": "#4a7dbd", "audio": "#5aa469", "text": "#b98b3e"}
_GAP, _KEY, _INK = "#d0342c", "#12263f", "#333333"


def plot_timeline(subject: Subject) -> bytes:
    """An SVG of all tracks of ``subject`` over one time axis. Bars are segments, dark ticks keyframes, red is a gap or an
    overlap in the media's own times; a hollow bar could not be read."""
    tracks = list(subject.all_tracks())
    end = max((track.starts()[-1] for track in tracks), default=Fraction(1)) or Fraction(1)
    scale = (_WIDTH - _LEFT - 20) / float(end)
    height = _TOP + _ROW * len(tracks) + 30
    box = {"viewBox": f"0 0 {_WIDTH} {height}", "width": str(_WIDTH), "height": str(height)}
    root = ET.Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", "font-family": "sans-serif", "font-size": "11", **box}
    )
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "white"})
    for row, track in enumerate(tracks):
        _row(root, track, _TOP + row * _ROW, scale)
    _axis(root, float(end), scale, height - 12)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _row(root: ET.Element, track: Track, top: int, scale: float) -> None:
    name = track.where.rpartition("//")[2].split("/", 1)[-1]
    _text(root, name[-42:], 8, top + 13)
    init = track.init
    expected: int | None = None
    for start, piece in zip(track.starts(), track.pieces, strict=False):
        left, width = _LEFT + float(start) * scale, max(0.5, float(piece.seconds) * scale - 0.5)
        known = piece.measured is not None and bool(piece.measured.fragments) and init is not None
        colour = _COLOURS.get(track.kind, "#888888")
        bar = _rect(root, left, top, width, colour if known else "none")
        bar.set("stroke", colour)
        tip = ET.SubElement(bar, "title")
        tip.text = f"{piece.url.rpartition('/')[2]}: {float(piece.seconds):.3f} s, {piece.size_bytes} bytes"
        if piece.measured is None or init is None:
            expected = None
            continue
        for fragment in piece.measured.fragments:
            if expected is not None and fragment.decode_ticks not in (None, expected):
                _rect(root, left - 1.5, top - 4, 3, _GAP, _BAR + 8)
            expected = None if fragment.decode_ticks is None else fragment.decode_ticks + fragment.duration_ticks
            if track.kind == "video":
                for ticks in fragment.sync_times:
                    _rect(root, _LEFT + ticks / init.timescale * scale, top - 2, 1, _KEY, _BAR + 4)


def _axis(root: ET.Element, end: float, scale: float, at: int) -> None:
    step = next(step for step in (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 36000, 10**9) if end / step <= 14)
    for mark in range(0, int(end) + 1, step):
        _text(root, f"{mark} s" if end < 600 else f"{mark / 60:g} min", _LEFT + mark * scale, at)
        _rect(root, _LEFT + mark * scale, _TOP - 10, 0.5, "#bbbbbb", at - _TOP)


def _rect(root: ET.Element, x: float, y: float, width: float, fill: str, height: float = _BAR) -> ET.Element:
    place = {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": f"{width:.2f}", "height": f"{height:.2f}"}
    return ET.SubElement(root, "rect", {**place, "fill": fill})


def _text(root: ET.Element, text: str, x: float, y: float) -> None:
    ET.SubElement(root, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "fill": _INK}).text = text
