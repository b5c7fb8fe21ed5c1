"""What the drawing of a presentation shows: every segment, every keyframe, and a gap where there is one."""

from __future__ import annotations

import struct
from collections import Counter
from xml.etree import ElementTree as ET

from packager.conformance import read_subject
from packager.conformance.plot import plot_timeline
from tests.published_files import BASE, Files, MemoryLibrary, named, published

SEGMENT, KEYFRAME, GAP = "#4a7dbd", "#12263f", "#d0342c"


def drawn(files: Files) -> Counter[str]:
    """How many rectangles there are of each colour."""
    subject = read_subject([BASE + "low/media.m3u8"], MemoryLibrary(files=files))
    root = ET.fromstring(plot_timeline(subject))
    return Counter(str(each.get("fill")) for each in root.iter("{http://www.w3.org/2000/svg}rect"))


def test_segments_and_keyframes_are_drawn_and_no_gap_where_there_is_none() -> None:
    found = drawn(published())
    assert (found[SEGMENT], found[KEYFRAME], found[GAP]) == (3, 6, 0)


def test_a_gap_is_drawn() -> None:
    files = published()
    name = named(files, "low", "1-")
    at = files[name].index(b"tfdt") + 8  # the first fragment of two
    files[name] = files[name][:at] + struct.pack(">Q", 51_712) + files[name][at + 8 :]
    assert drawn(files)[GAP] == 2  # before it, and where the next one begins


def test_a_segment_that_cannot_be_read_is_hollow() -> None:
    files = published()
    del files[named(files, "low", "1-")]
    assert drawn(files)[SEGMENT] == 2
    assert drawn(files)["none"] == 1
