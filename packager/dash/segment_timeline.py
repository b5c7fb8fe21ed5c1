"""SegmentTimeline and SegmentURLs (ISO/IEC 23009-1 sections 5.3.9.3 and 5.3.9.6): when segments start, how long they last,
and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from packager.dash.xml import Written, render_run
from storage.jobs import Segment

_NAMES_MARGIN, _TIMES_MARGIN = " " * 10, " " * 12
"""How deep SegmentURL and S stand in an MPD of ours."""


def segment_list(
    segments: Sequence[Segment], *, timescale: int, init_name: str, times: str | None = None, names: str | None = None
) -> ET.Element:
    """A SegmentList of ``segments``, relative to the representation's BaseURL. ``times`` and ``names``: as `time_run` (but for
    the first segment) and `name_run` gave them, where that was done before.

    Raises `ValueError` at a gap or an overlap: DASH-IF's timing model allows neither.
    """
    element = ET.Element("SegmentList", {"timescale": str(timescale)})
    ET.SubElement(element, "Initialization", {"sourceURL": init_name})
    timeline = ET.SubElement(element, "SegmentTimeline")
    for first in segments[:1]:  # the others start where the one before ends
        ET.SubElement(timeline, "S", {"t": str(first.start_ticks), "d": str(first.duration_ticks)})
    if times is None:
        checked_contiguous(segments)
        times = time_run([segment.duration_ticks for segment in segments[1:]])
    timeline.append(Written(times))
    element.append(Written(names if names is not None else name_run([segment.name for segment in segments])))
    return element


def iframe_list(segments: Sequence[Segment], *, timescale: int, init_name: str) -> ET.Element:
    """A SegmentList of the I-frames of ``segments``: byte ranges, each until the next one's time."""
    pictures = [(segment.name, iframe) for segment in segments for iframe in segment.iframes]
    element = ET.Element("SegmentList", {"timescale": str(timescale)})
    ET.SubElement(element, "Initialization", {"sourceURL": init_name})
    timeline = ET.SubElement(element, "SegmentTimeline")
    for _, first in pictures[:1]:
        ET.SubElement(timeline, "S", {"t": str(segments[0].start_ticks), "d": str(first.duration_ticks)})
    timeline.append(Written(time_run([iframe.duration_ticks for _, iframe in pictures[1:]])))
    # Names hold nothing that XML would take for its own, and so do numbers; both attributes of an element in one.
    spans = [f'{name}" mediaRange="{one.offset}-{one.offset + one.size - 1}' for name, one in pictures]
    before, after = f'{_NAMES_MARGIN}<SegmentURL media="', '" />'
    element.append(Written(before + f"{after}\n{before}".join(spans) + after if spans else ""))
    return element


def time_run(lengths: Sequence[int]) -> str:
    """One S a segment, never repeated with ``r``: dash.js (5.2) pairs SegmentURLs with S elements, not with segments, so
    a run of ten under one S plays its first segment ten times."""
    return render_run("S", "d", lengths, _TIMES_MARGIN)


def name_run(names: Sequence[str]) -> str:
    return render_run("SegmentURL", "media", names, _NAMES_MARGIN)


def checked_contiguous(segments: Sequence[Segment]) -> None:
    """Raises `ValueError` unless each starts where the one before ends."""
    end = segments[0].start_ticks if segments else 0
    for segment in segments:
        if segment.start_ticks != end:
            raise ValueError(f"segment {segment.number} starts at {segment.start_ticks}, not at {end}")
        end += segment.duration_ticks
