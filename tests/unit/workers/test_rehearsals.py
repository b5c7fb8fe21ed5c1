"""What a rehearsal says is read with care, and pictures that it saw have to come."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from storage.media.ladder import Chunk
from storage.media.time import FrameRange
from tests.builders import a_ladder, a_source, an_encode_plan
from workers.ffmpeg.rehearsals import Rehearsal, read_rehearsal, rehearsal_command
from workers.ffmpeg.tools import Tools
from workers.planning.reads import Reads
from workers.steps.losses import missing_pictures, uncounted_pictures

SOURCE = a_source(demuxer="mpegts", start=Fraction(10), duration=Fraction(60))
PLAN = an_encode_plan(ladder=a_ladder(frame_rate=Fraction(25)))
CHUNK = Chunk(index=1, frames=FrameRange(100, 200), first_segment=1)
PICTURES = [10 + Fraction(number, 25) for number in range(50, 300)]
"""From two seconds before the chunk to four behind it."""


@pytest.mark.parametrize(
    "printed", [b"", b"[]", b"{}", b'{"shown_us": [1], "keyframe_us": "soon"}', b'{"shown_us": 1}']
)
def test_nonsense_is_no_rehearsal(printed: bytes) -> None:
    assert isinstance(read_rehearsal(printed), str)


def test_a_rehearsal_tells_times_exactly() -> None:
    seen = read_rehearsal(b'{"shown_us": [40000, 80000], "keyframe_us": null}')
    assert seen == Rehearsal(shown=(Fraction(1, 25), Fraction(2, 25)), keyframe=None)
    assert read_rehearsal(b'{"error": "Unfit: why"}') == "Unfit: why"


def test_a_rehearsal_seeks_where_the_tool_does() -> None:
    tools = Tools(ffmpeg=Path("/ffmpeg"), ffmpeg_version="1", python=Path("/python"))
    reads = Reads(tracks=(0,), start=Fraction(1, 3), stop=Fraction(70))
    command = rehearsal_command(tools, SOURCE, reads, size=9)
    assert {"--seek-us=333333", "--until-us=70000000", "mpegts"} <= set(command)
    assert "--keyframes-only" not in command
    from_start = rehearsal_command(tools, SOURCE, Reads(tracks=(0,), keyframes_only=True), size=9)
    assert not any(each.startswith("--seek-us") for each in from_start)
    assert {"--until-us=70000000", "--keyframes-only"} <= set(from_start)


@pytest.mark.parametrize(("lost", "believed"), [(0, True), (3, True), (10, False), (100, False)])
def test_pictures_that_are_there_have_to_come(lost: int, believed: bool) -> None:
    came = [10 + Fraction(number, 25) for number in range(100, 200 - lost)]
    held = came[-1:] * lost if came else PICTURES[:1]
    assert (missing_pictures(SOURCE, PLAN, CHUNK, [*came, *held], PICTURES) is None) is believed
    numbers = [*range(50, 150 - lost), *[150 - lost] * lost]
    assert (uncounted_pictures(SOURCE, PLAN, CHUNK, numbers, PICTURES) is None) is believed


def test_pictures_from_elsewhere_are_not_those_that_are_there() -> None:
    assert uncounted_pictures(SOURCE, PLAN, CHUNK, range(50, 150), PICTURES) is None
    assert uncounted_pictures(SOURCE, PLAN, CHUNK, range(100), PICTURES) is not None
