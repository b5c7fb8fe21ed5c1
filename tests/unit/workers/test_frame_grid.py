"""The frame grid and what decides an encode, as arithmetic."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.media.ladder import Chunk
from storage.media.time import COMMON_FRAME_RATES, FrameRange
from tests.builders import a_film_plan, a_rung, a_source, a_video_track, an_audio_rendition
from workers.ffmpeg.command import default_lead, video_fingerprint
from workers.ffmpeg.graph import chunk_grid, grid_timebase, is_tone_mapped, output_colour, scaled_from
from workers.ffmpeg.inputs import guarded
from workers.ffmpeg.sound import audio_fingerprint
from workers.planning.thumbnails import PART_S, plan_parts, plan_storyboard, poster_size
from workers.steps.encode import run_ups

FRAME_RATES = st.sampled_from([*COMMON_FRAME_RATES, Fraction(1, 10), Fraction(8797, 1000), Fraction(997, 1001)])


def a_chunk(start: int, stop: int) -> Chunk:
    return Chunk(index=1, frames=FrameRange(start, stop), first_segment=1)


@given(rate=FRAME_RATES)
def test_a_frame_is_a_whole_number_of_units(rate: Fraction) -> None:
    timebase = grid_timebase(rate)
    assert (timebase / rate).denominator == 1
    assert timebase < 2**31


@given(
    rate=FRAME_RATES,
    zero=st.fractions(-100, 100_000, max_denominator=90_000),
    start=st.integers(1, 3_000_000),
    lead=st.integers(0, 10_000),
)
def test_a_chunk_s_grid_is_a_piece_of_the_film_s(rate: Fraction, zero: Fraction, start: int, lead: int) -> None:
    lead = min(lead, start)
    whole = chunk_grid(a_chunk(0, start + 10), frame_rate=rate, zero=zero, lead=0)
    part = chunk_grid(a_chunk(start, start + 10), frame_rate=rate, zero=zero, lead=lead)
    assert part.offset - whole.offset == (start - lead) * int(grid_timebase(rate) / rate)
    assert (part.count, part.total) == (10, 10 + lead)


def test_a_run_up_cannot_reach_before_the_film() -> None:
    with pytest.raises(ValueError, match="run-up"):
        chunk_grid(a_chunk(10, 20), frame_rate=Fraction(25), zero=Fraction(0), lead=11)


@pytest.mark.parametrize(
    ("start", "first", "expected"),
    [(0, 25, [0]), (20, 25, [20]), (25, 25, [25]), (1000, 25, [25, 100, 400, 1000])],
)
def test_run_ups_grow_until_they_reach_the_start(start: int, first: int, expected: list[int]) -> None:
    assert list(run_ups(a_chunk(start, start + 10), first)) == expected


def test_a_container_without_an_index_gets_a_longer_run_up() -> None:
    plan = a_film_plan()
    assert default_lead(a_source(demuxer="mov,mp4"), plan) < default_lead(a_source(demuxer="mpegts"), plan)


@pytest.mark.parametrize(
    ("seek", "text"),
    [
        (Fraction(1, 3), "0.333333"),
        (Fraction(-1, 3), "-0.333334"),
        (Fraction(36_000), "36000.000000"),
    ],
)
def test_seeks_are_rounded_down_to_microseconds(seek: Fraction, text: str) -> None:
    assert guarded(a_source(), threads=1, seek=seek)["ss"] == text


def test_the_demuxer_is_pinned_by_one_name() -> None:
    assert guarded(a_source(demuxer="mov,mp4,m4a"), threads=1)["format"] == "mov"


def test_a_fingerprint_changes_with_whatever_decides_the_bytes() -> None:
    plan = a_film_plan()
    prints = [
        video_fingerprint(a_rung(), plan, "n9"),
        video_fingerprint(a_rung(), plan, "n8"),
        video_fingerprint(a_rung(), replace(plan, ladder=replace(plan.ladder, preset="medium")), "n9"),
        video_fingerprint(a_rung(crf=30), plan, "n9"),
        video_fingerprint(a_rung(width=320), plan, "n9"),
        audio_fingerprint(an_audio_rendition(), "n9"),
        audio_fingerprint(an_audio_rendition(channels=1), "n9"),
    ]
    assert len(set(prints)) == len(prints)
    assert video_fingerprint(a_rung(), plan, "n9") == prints[0]


HD, SD = {"width": 1920, "height": 1080}, {"width": 720, "height": 480}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (HD, ("bt709", "bt709", "bt709")),
        (SD, ("smpte170m", "smpte170m", "smpte170m")),
        (SD | {"color_space": "bt709"}, ("bt709", "bt709", "bt709")),
        (SD | {"pixel_format": "bgra"}, ("bt709", "bt709", "bt709")),
        (HD | {"color_space": "bt470bg", "color_primaries": "bt470bg"}, ("bt470bg", "smpte170m", "bt470bg")),
        (HD | {"color_transfer": "smpte2084", "color_space": "bt2020nc"}, ("bt709", "bt709", "bt709")),
    ],
    ids=["untagged_hd", "untagged_sd", "tagged_sd", "rgb", "tagged_hd", "hdr"],
)
def test_every_output_says_its_colours(facts: dict[str, object], expected: tuple[str, str, str]) -> None:
    assert output_colour(a_video_track(**facts), frozenset({"zscale", "tonemap"})) == expected


def test_hdr_stays_as_it_is_where_ffmpeg_cannot_tone_map() -> None:
    hlg = a_video_track(color_transfer="arib-std-b67", color_space="bt2020nc", color_primaries="bt2020")
    assert not is_tone_mapped(hlg, frozenset())
    assert output_colour(hlg, frozenset()) == ("bt2020nc", "arib-std-b67", "bt2020")


@pytest.mark.parametrize(
    ("seconds", "interval", "count", "tiles", "keyframes_only"),
    [
        (1, 2, 1, 1, False),
        (61, 2, 31, 1, True),
        (600, 2, 300, 3, True),
        (3600, 5, 720, 8, True),
        (43_200, 10, 4320, 44, True),
    ],
)
def test_a_longer_film_has_thumbnails_further_apart(
    seconds: int, interval: int, count: int, tiles: int, keyframes_only: bool
) -> None:
    plan = plan_storyboard(a_video_track(), Fraction(seconds))
    assert (plan.interval, plan.count, plan.tile_count, plan.keyframes_only) == (interval, count, tiles, keyframes_only)


@pytest.mark.parametrize(("seconds", "parts"), [(1, 1), (600, 1), (3000, 1), (3600, 2), (6000, 2), (43_200, 15)])
def test_a_long_storyboard_is_made_in_parts_of_whole_sprites(seconds: int, parts: int) -> None:
    plan, made = plan_storyboard(a_video_track(), Fraction(seconds)), plan_parts(Fraction(seconds))
    assert len(made) == parts
    assert [tile for part in made for tile in part] == list(range(plan.tile_count))
    assert [at for part in made for at in plan.thumbnails_of(part)] == list(range(plan.count))
    assert all(len(plan.thumbnails_of(part)) * plan.interval <= PART_S for part in made)


def test_what_names_of_sprites_are_made_of_is_for_good() -> None:
    plan = plan_storyboard(a_video_track(), Fraction(43_200))
    told = "interval=Fraction(10, 1), count=4320, width=160, height=90, columns=10, rows=10, keyframes_only=True"
    assert str(plan) == f"StoryboardPlan({told})", "else parts made by workers of two versions never come together"


@pytest.mark.parametrize(
    ("facts", "size"),
    [
        ({"width": 3840, "height": 2160}, (1280, 720)),
        ({"width": 1080, "height": 1920}, (720, 1280)),
        ({"width": 1920, "height": 1080, "rotation": 90}, (720, 1280)),
        ({"width": 720, "height": 576, "sample_aspect": Fraction(64, 45)}, (1024, 576)),
        ({"width": 161, "height": 121}, (160, 120)),
    ],
)
def test_a_poster_is_upright_even_and_never_enlarged(facts: dict[str, object], size: tuple[int, int]) -> None:
    assert poster_size(a_video_track(**facts)) == size


def test_small_pictures_are_made_of_ones_twice_as_large() -> None:
    sizes = [(426, 240), (640, 360), (854, 480), (1280, 720), (1920, 1080)]
    rungs = [a_rung(f"{height}p", width=width, height=height) for width, height in sizes]

    assert scaled_from(rungs) == {"240p": "480p", "360p": "720p", "480p": "1080p", "720p": None, "1080p": None}
    assert scaled_from([rungs[0], rungs[2]]) == {"240p": "480p", "480p": None}, "as playback starts"
    assert scaled_from(rungs[:1]) == {"240p": None}
