"""Chunks that are encoded apart show exactly the pictures that the frame grid asks for, whatever the source."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import av
import pytest

from storage.errors import DamagedSource
from storage.jobs import JobKind, Lane
from storage.media.source import Source
from storage.media.time import snap_frame_rate
from tests.media import Pictures, Sound, drop_times, make_film, numbered_picture, numbers_shown, picture_number
from tests.steps import Worktable, a_small_plan, facts_of, picture_times
from workers.ffmpeg.process import ToolRun, Tools, find_tools, run_tool
from workers.steps.encode import encode
from workers.steps.inspect import inspect_file

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


def expected_numbers(times: list[Fraction], source: Source, rate: Fraction, frames: range) -> list[int]:
    """The grid's own definition: frame ``n`` shows the last picture whose time, rounded to the grid, is not after it;
    before the first one, the first."""
    places = [floor((time - source.start) * rate + Fraction(1, 2)) for time in times]
    return [max([number for number, place in enumerate(places) if place <= frame], default=0) for frame in frames]


def steady(rate: Fraction, seconds: int, start: Fraction = Fraction(0)) -> tuple[Fraction, ...]:
    return tuple(start + number / rate for number in range(int(rate * seconds)))


def uneven(seconds: int) -> tuple[Fraction, ...]:
    """Between 5 and 60 pictures a second, with two stills of more than a second."""
    chance, now, times = random.Random(7), Fraction(0), []
    while now < seconds:
        times.append(now)
        now += Fraction(chance.choice([1500, 1501, 2970, 3003, 4500, 9000, 18_000]), 90_000)
        if len(times) in (40, 90):
            now += Fraction(1300, 1000)
    return tuple(times)


@dataclass(frozen=True, kw_only=True)
class Film:
    pictures: Pictures
    muxer: str = "mp4"
    demuxer: str = "mov"
    sound: Sound | None = None
    frame_rate: Fraction | None = None
    cut_off: int = 0
    """So many pictures are in the file and not to be shown."""
    gop_frames: int = 10


NTSC = Fraction(30_000, 1001)
FILMS = {
    "from_film": Film(pictures=Pictures(times=steady(Fraction(24_000, 1001), 8), clock_hz=24_000)),
    "fast_fields": Film(pictures=Pictures(times=steady(2 * NTSC, 5), clock_hz=60_000, b_frames=2)),
    "open_gop": Film(pictures=Pictures(times=steady(Fraction(25), 8), b_frames=3, open_gop=True)),
    # An edit list cuts off what lies before time zero: it stands between two keyframes.
    "begins_before_zero": Film(
        pictures=Pictures(times=steady(Fraction(25), 9, start=Fraction(-13, 10)), b_frames=2), cut_off=33
    ),
    "ntsc_with_b_frames": Film(pictures=Pictures(times=steady(NTSC, 8), clock_hz=30_000, b_frames=3)),
    "ntsc_in_milliseconds": Film(
        pictures=Pictures(times=steady(NTSC, 8), b_frames=2), muxer="matroska", demuxer="matroska", frame_rate=NTSC
    ),
    "uneven": Film(pictures=Pictures(times=uneven(10), b_frames=2), frame_rate=Fraction(30)),
    "one_keyframe": Film(pictures=Pictures(times=steady(Fraction(25), 8), keyframe_every=1000)),
    "starts_at_ten_seconds": Film(
        pictures=Pictures(times=steady(Fraction(25), 8, start=Fraction(10)), b_frames=2),
        muxer="matroska",
        demuxer="matroska",
    ),
    "pictures_start_late": Film(
        pictures=Pictures(times=steady(Fraction(25), 6, start=Fraction(13, 10))),
        muxer="matroska",
        demuxer="matroska",
        sound=Sound(seconds=Fraction(7)),
        frame_rate=Fraction(25),
    ),
    "transport_stream": Film(
        pictures=Pictures(times=steady(Fraction(25), 8, start=Fraction(3)), b_frames=2),
        muxer="mpegts",
        demuxer="mpegts",
    ),
    # Seeks land between keyframes: the run-up has to grow until there is one in it.
    "transport_stream_of_rare_keyframes": Film(
        pictures=Pictures(times=steady(Fraction(25), 24, start=Fraction(3)), keyframe_every=275, b_frames=2),
        muxer="mpegts",
        demuxer="mpegts",
        gop_frames=20,
    ),
    "faster_than_the_grid": Film(pictures=Pictures(times=steady(Fraction(120), 4))),
}


@pytest.mark.parametrize("name", FILMS)
def test_every_chunk_shows_the_pictures_of_its_frames(name: str, tools: Tools, tmp_path: Path) -> None:
    film = FILMS[name]
    path = make_film(tmp_path / "film", film.pictures, film.sound, container=film.muxer)
    source = facts_of(path, film.demuxer, frame_rate=film.frame_rate)
    plan = a_small_plan(source, gop_frames=film.gop_frames)
    assert len(plan.chunks) > 2
    work = Worktable(path=path, source=source, plan=plan, tools=tools, scratch=_folder(tmp_path))

    # Backwards, and each alone: what a chunk shows depends on no other.
    outcomes = [
        encode(work.context(JobKind.ENCODE, chunk=chunk.index, rungs=["96p"])) for chunk in reversed(plan.chunks)
    ]

    shown = numbers_shown(work.stored(*reversed(outcomes)))
    rate = snap_frame_rate(source.video.frame_rate) if source.video else Fraction(1)
    expected = expected_numbers(picture_times(path, film.demuxer), source, rate, range(plan.total_frames))
    assert shown == [film.cut_off + number for number in expected]


@pytest.mark.parametrize(
    ("muxer", "b_frames", "keyframe_every"),
    [("avi", 0, 10), ("mpegts", 0, 10), ("mpegts", 0, 250), ("mpegts", 2, 10), ("mpegts", 3, 250)],
)
def test_pictures_without_times_come_in_their_order(
    muxer: str, b_frames: int, keyframe_every: int, tools: Tools, tmp_path: Path
) -> None:
    """AVI does not say when pictures are shown, and in these transport streams most do not say it either. A rate that makes no
    sense, in the pictures' own headers, does not tell it."""
    start = Fraction(0 if muxer == "avi" else 3)
    pictures = Pictures(times=steady(Fraction(25), 18, start=start), b_frames=b_frames, keyframe_every=keyframe_every)
    path = make_film(tmp_path / "film", pictures, container=muxer)
    if muxer == "mpegts":
        drop_times(path)
        with av.open(str(path)) as film:
            assert film.streams.video[0].codec_context.framerate == 90_000
            assert sum(packet.pts is None for packet in film.demux(video=0) if packet.size) > 250
    source = inspect_file(path, tools=tools, scratch=_folder(tmp_path))
    plan = a_small_plan(source)
    work = Worktable(path=path, source=source, plan=plan, tools=tools, scratch=_folder(tmp_path))
    outcomes = [encode(work.context(JobKind.ENCODE, chunk=chunk.index, rungs=["96p"])) for chunk in plan.chunks]
    assert numbers_shown(work.stored(*outcomes)) == list(range(450))
    assert [outcome.notes for outcome in outcomes] == [()] * len(plan.chunks)


def test_pictures_of_avi_that_are_decoded_out_of_their_order_are_all_there(tools: Tools, tmp_path: Path) -> None:
    ordered = make_film(
        tmp_path / "film.mp4", Pictures(times=steady(Fraction(25), 4), b_frames=3, keyframe_every=100), container="mp4"
    )
    path = tmp_path / "film.avi"
    subprocess.run([str(tools.ffmpeg), "-v", "error", "-i", str(ordered), "-c", "copy", str(path)], check=True)
    source = inspect_file(path, tools=tools, scratch=_folder(tmp_path))
    assert source.notes == ()
    plan = a_small_plan(source)
    work = Worktable(path=path, source=source, plan=plan, tools=tools, scratch=_folder(tmp_path))
    outcomes = [encode(work.context(JobKind.ENCODE, chunk=chunk.index, rungs=["96p"])) for chunk in plan.chunks]
    assert numbers_shown(work.stored(*outcomes)) == list(range(100))


def test_a_video_that_ends_early_stands_still(tools: Tools, tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mp4", Pictures(times=steady(Fraction(25), 2)), container="mp4")
    source = facts_of(path, "mov")
    plan = a_small_plan(_longer(source, Fraction(8)))
    work = Worktable(path=path, source=source, plan=plan, tools=tools, scratch=_folder(tmp_path))

    last = encode(work.context(JobKind.ENCODE, chunk=plan.chunks[-1].index, rungs=["96p"]))

    assert set(numbers_shown(work.stored(last))) == {49}


def test_the_same_chunk_gives_the_same_bytes_with_any_number_of_threads(tools: Tools, tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mp4", Pictures(times=steady(Fraction(25), 4)), container="mp4")
    source = facts_of(path, "mov")
    plan = a_small_plan(source)

    def names(threads: int) -> list[str]:
        work = Worktable(path=path, source=source, plan=plan, tools=tools, scratch=_folder(tmp_path), threads=threads)
        outcome = encode(work.context(JobKind.ENCODE, chunk=1, rungs=["96p"]))
        return [segment.name for segment in outcome.outputs[0].segments]

    assert names(1) == names(3)


def test_all_other_pictures_step_back_for_those_that_play_first(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_film(tmp_path / "film.mp4", Pictures(times=steady(Fraction(25), 4)), container="mp4")
    source = facts_of(path, "mov")
    work = Worktable(path=path, source=source, plan=a_small_plan(source), tools=tools, scratch=_folder(tmp_path))
    stepped: list[int] = []

    def run(argv: list[str], *, nice: int, **how: Any) -> ToolRun:
        stepped.append(nice)
        return run_tool(argv, nice=nice, **how)

    monkeypatch.setattr("workers.steps.encode.run_tool", run)
    for chunk, lane in ((0, Lane.PLAYABLE), (1, Lane.PLAYABLE), (0, Lane.STANDARD)):
        context = work.context(JobKind.ENCODE, chunk=chunk, rungs=["96p"])
        encode(replace(context, job=replace(context.job, lane=lane), nice=2))
    assert stepped[0] == 2
    assert min(stepped[1:]) > 2


def test_a_source_without_a_picture_that_decodes_is_damaged(tools: Tools, tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mp4", Pictures(times=steady(Fraction(25), 4)), container="mp4")
    source = facts_of(path, "mov")
    _overwrite_media(path)
    work = Worktable(path=path, source=source, plan=a_small_plan(source), tools=tools, scratch=_folder(tmp_path))

    with pytest.raises(DamagedSource):
        encode(work.context(JobKind.ENCODE, chunk=1, rungs=["96p"]))


def test_a_change_of_size_in_mid_stream_loses_no_frame(tools: Tools, tmp_path: Path) -> None:
    first = make_film(tmp_path / "a.ts", Pictures(times=steady(Fraction(25), 2, Fraction(3))), container="mpegts")
    second = make_film(
        tmp_path / "b.ts", Pictures(times=steady(Fraction(25), 2, Fraction(5)), size=(320, 192)), container="mpegts"
    )
    path = tmp_path / "film.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    source = facts_of(path, "mpegts")
    plan = a_small_plan(source)
    work = Worktable(path=path, source=source, plan=plan, tools=tools, scratch=_folder(tmp_path))

    outcomes = [encode(work.context(JobKind.ENCODE, chunk=chunk.index, rungs=["96p"])) for chunk in plan.chunks]

    assert numbers_shown(work.stored(*outcomes)) == [*range(50), *range(50)]


def test_numbered_pictures_can_be_read_back() -> None:
    assert [picture_number(numbered_picture(number)) for number in (0, 1, 12_345, 65_535)] == [0, 1, 12_345, 65_535]


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / f"scratch-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    return folder


def _longer(source: Source, seconds: Fraction) -> Source:
    return replace(source, duration=seconds)


def _overwrite_media(path: Path) -> None:
    """Zeros for all media data; the index stays."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
