"""SegmentTimeline and SegmentURLs (ISO/IEC 23009-1 sections 5.3.9.3 and 5.3.9.6): when segments start, how long they last,
and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from packager.dash.xml import Run
from storage.jobs import Segment


def segment_list(segments: Sequence[Segment], *, timescale: int, init_name: str) -> ET.Element:
    """A SegmentList of ``segments``, relative to the representation's BaseURL.

    Raises `ValueError` at a gap or an overlap: DASH-IF's timing model allows neither.
    """
    element = ET.Element("SegmentList", {"timescale": str(timescale)})
    ET.SubElement(element, "Initialization", {"sourceURL": init_name})
    element.append(_timeline(segments))
    element.append(Run("SegmentURL", "media", [segment.name for segment in segments]))
    return element


def _timeline(segments: Sequence[Segment]) -> ET.Element:
    """One S a segment, never repeated with ``r``: dash.js (5.2) pairs SegmentURLs with S elements, not with segments, so
    a run of ten under one S plays its first segment ten times."""
    element = ET.Element("SegmentTimeline")
    end = segments[0].start_ticks if segments else 0
    for segment in segments:
        if segment.start_ticks != end:
            raise ValueError(f"segment {segment.number} starts at {segment.start_ticks}, not at {end}")
        end += segment.duration_ticks
    for first in segments[:1]:  # the others start where the one before ends
        ET.SubElement(element, "S", {"t": str(first.start_ticks), "d": str(first.duration_ticks)})
    element.append(Run("S", "d", [segment.duration_ticks for segment in segments[1:]]))
    return element
