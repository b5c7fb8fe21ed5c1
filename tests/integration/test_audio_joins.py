"""Pieces of sound that are encoded apart sound like one encode, and cover exactly the frames of the plan."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from storage.jobs import JobKind
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from tests.media import Pictures, Sound, make_film, samples_heard
from tests.steps import Worktable, a_small_plan, facts_of
from workers.ffmpeg.process import Tools, find_tools
from workers.steps.audio import audio

pytestmark = pytest.mark.integration

AROUND_A_JOIN = 2 * AAC_FRAME_SAMPLES
CLEARLY_HEARD = 0.03
"""The sound swings by 0.5 to either side; a frame too many or too few, or a millisecond's shift, is off by as much."""


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


def glide(**changes: object) -> Sound:
    return Sound(**{"seconds": Fraction(9), "lowest_hz": 200.0, "highest_hz": 1000.0} | changes)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Case:
    sound: Sound
    muxer: str = "mp4"
    demuxer: str = "mov"
    start: Fraction = Fraction(0)


CASES = {
    "mp4_at_48_kHz": Case(sound=glide(rate_hz=48_000)),
    "mp4_at_44_kHz": Case(sound=glide()),
    "matroska_in_milliseconds": Case(sound=glide(), muxer="matroska", demuxer="matroska"),
    "opus": Case(sound=glide(codec="libopus", rate_hz=48_000), muxer="matroska", demuxer="matroska"),
    "flash": Case(sound=glide(), muxer="flv", demuxer="flv"),
    "mp3_in_avi": Case(sound=glide(codec="libmp3lame"), muxer="avi", demuxer="avi"),
    "transport_stream": Case(sound=glide(start=Fraction(3)), muxer="mpegts", demuxer="mpegts", start=Fraction(3)),
}


def a_worktable(case: Case, tools: Tools, tmp_path: Path, *, piece_segments: int) -> Worktable:
    path = tmp_path / "film"
    if not path.exists():
        times = tuple(case.start + Fraction(number, 25) for number in range(225))
        make_film(path, Pictures(times=times), case.sound, container=case.muxer)
    source = facts_of(path, case.demuxer)
    scratch = tmp_path / f"pieces-{piece_segments}"
    scratch.mkdir()
    plan = a_small_plan(source, piece_segments=piece_segments)
    return Worktable(path=path, source=source, plan=plan, tools=tools, scratch=scratch)


def heard(work: Worktable) -> array[float]:
    """All pieces, made in reverse order and put together."""
    pieces = reversed(work.plan.audio_pieces)
    outcomes = [audio(work.context(JobKind.AUDIO, rendition="audio-en", piece=piece.index)) for piece in pieces]
    return samples_heard(work.stored(*reversed(outcomes)))


def largest_difference(one: array[float], other: array[float], around: int) -> float:
    part = slice(max(0, around - AROUND_A_JOIN), around + AROUND_A_JOIN)
    return max(abs(left - right) for left, right in zip(one[part], other[part], strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_join_cannot_be_heard(name: str, tools: Tools, tmp_path: Path) -> None:
    whole = heard(a_worktable(CASES[name], tools, tmp_path, piece_segments=1000))
    work = a_worktable(CASES[name], tools, tmp_path, piece_segments=3)
    pieced = heard(work)

    assert len(whole) == len(pieced) == work.plan.audio_frames * AAC_FRAME_SAMPLES
    joins = [piece.frames.start * AAC_FRAME_SAMPLES for piece in work.plan.audio_pieces[1:]]
    assert len(joins) > 2
    assert {join: largest_difference(whole, pieced, join) for join in joins} == pytest.approx(
        dict.fromkeys(joins, 0), abs=CLEARLY_HEARD
    )


def test_sound_is_where_it_was(tools: Tools, tmp_path: Path) -> None:
    case = CASES["mp4_at_44_kHz"]
    work = a_worktable(case, tools, tmp_path, piece_segments=3)
    pieced = heard(work)

    asked = array("f", (case.sound.level(at / AUDIO_RATE_HZ) for at in range(len(pieced))))
    # Not the very first frame: what it overlaps with is the encoder's priming, which is not delivered.
    ends = int(case.sound.seconds * AUDIO_RATE_HZ) - AROUND_A_JOIN
    for at in range(AAC_FRAME_SAMPLES + AROUND_A_JOIN, ends - AROUND_A_JOIN, 20_000):
        assert largest_difference(pieced, asked, at) < CLEARLY_HEARD


def test_late_sound_is_led_in_by_silence(tools: Tools, tmp_path: Path) -> None:
    late = Case(sound=glide(start=Fraction(3), seconds=Fraction(5)), muxer="matroska", demuxer="matroska")

    pieced = heard(a_worktable(late, tools, tmp_path, piece_segments=3))

    loud = [at for at, level in enumerate(pieced) if abs(level) > 0.05]
    assert loud[0] / AUDIO_RATE_HZ == pytest.approx(3, abs=0.05)
    assert loud[-1] / AUDIO_RATE_HZ == pytest.approx(8, abs=0.05)


def test_after_its_end_short_sound_is_silence_for_whole_pieces(tools: Tools, tmp_path: Path) -> None:
    short = Case(sound=glide(seconds=Fraction(2)))
    work = a_worktable(short, tools, tmp_path, piece_segments=3)

    pieced = heard(work)

    assert len(pieced) == work.plan.audio_frames * AAC_FRAME_SAMPLES
    assert max(map(abs, pieced[3 * AUDIO_RATE_HZ :])) < 0.001


def test_a_change_of_the_sound_in_mid_stream_loses_none_of_it(tools: Tools, tmp_path: Path) -> None:
    def part(start: int, rate_hz: int) -> bytes:
        times = tuple(start + Fraction(number, 25) for number in range(75))
        film = make_film(
            tmp_path / f"{start}.ts",
            Pictures(times=times),
            glide(start=Fraction(start), seconds=Fraction(3), rate_hz=rate_hz),
            container="mpegts",
        )
        return film.read_bytes()

    path = tmp_path / "film"
    path.write_bytes(part(3, 48_000) + part(6, 44_100))
    case = Case(sound=glide(), muxer="mpegts", demuxer="mpegts")

    work = a_worktable(case, tools, tmp_path, piece_segments=1000)
    pieced = heard(work)

    assert len(pieced) == work.plan.audio_frames * AAC_FRAME_SAMPLES
    tenths = [pieced[at : at + 4800] for at in range(0, int(5.8 * AUDIO_RATE_HZ), 4800)]
    assert min(max(map(abs, tenth)) for tenth in tenths) > 0.4


def test_a_long_piece_keeps_its_grid(tools: Tools, tmp_path: Path) -> None:
    """Sample counts beyond a minute once lost a sample to rounding."""
    path = make_film(
        tmp_path / "film",
        Pictures(times=tuple(Fraction(number) for number in range(100)), clock_hz=1000),
        glide(seconds=Fraction(2)),
        container="matroska",
    )
    source = facts_of(path, "matroska")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    work = Worktable(
        path=path, source=source, plan=a_small_plan(source, piece_segments=1000), tools=tools, scratch=scratch
    )

    assert len(heard(work)) == work.plan.audio_frames * AAC_FRAME_SAMPLES
