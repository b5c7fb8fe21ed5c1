"""What a rehearsal says is read with care, and pictures that it saw have to come."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from storage.jobs import JobKind
from storage.media.ladder import Chunk
from storage.media.time import FrameRange
from tests.builders import a_ladder, a_source, an_encode_plan
from tests.steps import Worktable
from workers.ffmpeg.rehearsals import Rehearsal, read_rehearsal, rehearsal_command
from workers.ffmpeg.tools import Tools
from workers.planning.policy import DEFAULT_POLICY
from workers.planning.reads import Reads
from workers.steps.inspect import decide
from workers.steps.losses import missing_pictures, uncounted_pictures

TOOLS = Tools(ffmpeg=Path("/ffmpeg"), ffmpeg_version="1", python=Path("/python"))
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
    reads = Reads(tracks=(0,), start=Fraction(1, 3), stop=Fraction(70))
    command = rehearsal_command(TOOLS, SOURCE, reads, size=9)
    assert {"--seek-us=333333", "--until-us=70000000", "mpegts"} <= set(command)
    assert "--keyframes-only" not in command
    from_start = rehearsal_command(TOOLS, SOURCE, Reads(tracks=(0,), keyframes_only=True), size=9)
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


@pytest.mark.parametrize(("demuxer", "parts"), [("mpegts", 4), ("avi", 4), ("matroska", 4), ("mov,mp4", 4), ("gif", 1)])
def test_the_storyboard_of_a_long_film_is_made_in_parts_where_a_time_can_be_sought(
    demuxer: str, parts: int, tmp_path: Path
) -> None:
    source = a_source(demuxer=demuxer, duration=Fraction(3 * 3600))
    table = Worktable(path=tmp_path, source=source, plan=PLAN, tools=TOOLS, scratch=tmp_path)
    planned = decide(source, table.context(JobKind.INSPECT), DEFAULT_POLICY)
    assert sum(job.kind is JobKind.THUMBNAILS for job in planned.jobs) == parts
