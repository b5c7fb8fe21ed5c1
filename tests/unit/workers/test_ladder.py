"""What rungs a picture gets."""

from __future__ import annotations

from fractions import Fraction

import pytest

from storage.media.ladder import Ladder
from tests.builders import a_video_track
from workers.planning.ladder import plan_ladder, rate_for
from workers.planning.policy import LadderPolicy

POLICY = LadderPolicy()


def sizes(ladder: Ladder) -> list[str]:
    return [f"{rung.name} {rung.width}x{rung.height}" for rung in ladder.rungs]


def test_full_hd_gets_five_rungs() -> None:
    ladder = plan_ladder(a_video_track(width=1920, height=1080), POLICY)
    assert sizes(ladder) == ["240p 426x240", "360p 640x360", "480p 854x480", "720p 1280x720", "1080p 1920x1080"]
    assert [rung.max_rate_bps for rung in ladder.rungs] == [300_000, 700_000, 1_200_000, 2_800_000, 5_000_000]
    assert [rung.crf for rung in ladder.rungs] == [23, 23, 23, 22, 22]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"width": 1920, "height": 1080, "rotation": 90}, "1080p 1080x1920", id="portrait"),
        pytest.param(
            {"width": 720, "height": 576, "sample_aspect": Fraction(16, 11)}, "576p 1046x576", id="anamorphic"
        ),
        pytest.param({"width": 161, "height": 121}, "120p 160x120", id="odd"),
        pytest.param({"width": 1600, "height": 900}, "900p 1600x900", id="between-steps"),
        pytest.param({"width": 7680, "height": 4320}, "2160p 3840x2160", id="larger-than-devices-decode"),
        pytest.param({"width": 1080, "height": 1080}, "1080p 1080x1080", id="square"),
    ],
)
def test_the_top_rung_is_the_size_of_the_source(changes: dict[str, object], expected: str) -> None:
    assert sizes(plan_ladder(a_video_track(**changes), POLICY))[-1] == expected


def test_a_portrait_film_gets_the_ladder_of_a_landscape_one_turned() -> None:
    landscape = plan_ladder(a_video_track(), POLICY)
    portrait = plan_ladder(a_video_track(rotation=270), POLICY)
    assert [(rung.height, rung.width) for rung in landscape.rungs] == [(r.width, r.height) for r in portrait.rungs]


def test_a_tiny_source_has_one_rung() -> None:
    ladder = plan_ladder(a_video_track(width=176, height=144), POLICY)
    assert sizes(ladder) == ["144p 176x144"]
    assert ladder.fast_start == ("144p",)


def test_a_step_hardly_below_the_source_is_left_out() -> None:
    assert sizes(plan_ladder(a_video_track(width=960, height=540), POLICY)) == [
        "240p 426x240", "360p 640x360", "540p 960x540",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("height", "fast_start"),
    [(240, ("240p",)), (360, ("240p", "360p")), (720, ("240p", "480p")), (540, ("240p", "540p"))],
)
def test_playback_starts_on_the_lowest_rung_and_on_a_pleasant_one(height: int, fast_start: tuple[str, ...]) -> None:
    assert plan_ladder(a_video_track(width=height * 16 // 9, height=height), POLICY).fast_start == fast_start


def test_fast_frames_may_cost_half_as_much_again_but_not_on_the_lowest_rung() -> None:
    ladder = plan_ladder(a_video_track(frame_rate=Fraction(60)), POLICY)
    assert [rung.max_rate_bps for rung in ladder.rungs] == [300_000, 1_050_000, 1_800_000, 4_200_000]


def test_a_square_film_does_not_pay_for_width_that_it_does_not_have() -> None:
    square, wide = rate_for(1080 * 1080, POLICY.rules), rate_for(1920 * 1080, POLICY.rules)
    assert POLICY.floor_rate_bps < square < wide * Fraction(2, 3)


@pytest.mark.parametrize(
    ("measured", "rate", "gop"),
    [
        (Fraction(25), Fraction(25), 50), (Fraction(2998, 100), Fraction(30_000, 1001), 60), (Fraction(120), Fraction(60), 120),
        (Fraction(1), Fraction(1), 2), (Fraction(1, 5), Fraction(1, 5), 1), (Fraction(12), Fraction(12), 24),
    ],
)  # fmt: skip
def test_a_gop_lasts_two_seconds_of_the_output_frame_rate(measured: Fraction, rate: Fraction, gop: int) -> None:
    ladder = plan_ladder(a_video_track(frame_rate=measured), POLICY)
    assert (ladder.frame_rate, ladder.gop_frames) == (rate, gop)


@pytest.mark.parametrize(
    ("size", "names"), [((426, 240), ["240p"]), ((480, 270), ["240p", "270p"]), ((270, 480), ["240p", "270p"])]
)
def test_whoever_is_larger_than_the_lowest_step_has_a_choice_of_two(size: tuple[int, int], names: list[str]) -> None:
    width, height = size
    ladder = plan_ladder(a_video_track(width=width, height=height), POLICY)
    assert [rung.name for rung in ladder.rungs] == names
