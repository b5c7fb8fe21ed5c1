"""What is listed of an asset, from nothing to the finished film."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest

from packager.presentation import Presentation
from storage.catalogue import Asset
from storage.jobs import PublishedName
from storage.media.ladder import AudioPiece
from storage.media.time import FrameRange
from tests.builders import a_film_plan, a_ladder, a_source, an_asset, an_audio_rendition
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import DEFAULT_POLICY
from workers.planning.publication import PublicationPolicy, is_final, plan_publication, target_duration_s

POLICY = PublicationPolicy()
ALL = range(5)


def listed(asset: Asset) -> dict[str, int]:
    """How many segments each listed rendition has."""
    presentation = plan_publication(asset, POLICY)
    if presentation is None:
        return {}
    return {rendition.name: len(rendition.segments) for rendition in (*presentation.video, *presentation.audio)}


def planned(asset: Asset) -> Presentation:
    presentation = plan_publication(asset, POLICY)
    assert presentation is not None
    return presentation


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param({}, {}, id="nothing stored, nothing listed"),
        pytest.param({"240p": [0], "480p": [0]}, {}, id="no sound yet"),
        pytest.param({"240p": [0], "audio-en": [0, 1]}, {}, id="a fast-start rung is missing"),
        pytest.param({"240p": [1], "480p": [1], "audio-en": [0, 1]}, {}, id="the first segment is missing"),
        pytest.param(
            {"240p": [0], "480p": [0], "audio-en": [0, 1]},
            {"240p": 1, "480p": 1, "audio-en": 1},
            id="fast-start rungs first, all as long as the shortest",
        ),
        pytest.param(
            {"240p": [0, 1, 2], "480p": [0, 1, 2], "720p": [1, 2], "audio-en": [0, 1]},
            {"240p": 2, "480p": 2, "audio-en": 2},
            id="the full ladder would hide it",
        ),
        pytest.param(
            {"240p": [0, 1, 2], "480p": [0, 1, 2], "720p": [0], "audio-en": [0, 1]},
            {"240p": 2, "480p": 2, "audio-en": 2},
            id="the full ladder would shorten it",
        ),
        pytest.param(
            {"240p": [0, 1, 2], "480p": [0, 1, 2], "720p": [0, 1, 2], "audio-en": [0, 1]},
            {"240p": 2, "480p": 2, "720p": 2, "audio-en": 2},
            id="the full ladder has caught up",
        ),
        pytest.param(
            {"240p": [0, 2], "480p": [0, 1, 2], "720p": [0, 2], "audio-en": ALL},
            {"240p": 1, "480p": 1, "audio-en": 1},
            id="a hole ends the prefix",
        ),
        pytest.param(
            {"240p": [0], "480p": [0], "720p": [0], "audio-en": ALL},
            {"240p": 1, "480p": 1, "audio-en": 1},
            id="in an early chunk the full ladder may fall behind again",
        ),
    ],
)
def test_what_is_listed(stored: dict[str, list[int]], expected: dict[str, int]) -> None:
    assert listed(an_asset(stored=stored)) == expected  # type: ignore[arg-type]


def whole(**changes: object) -> Asset:
    return an_asset(stored=dict.fromkeys(("240p", "480p", "720p", "audio-en"), ALL), **changes)


def test_sound_alone_grows_and_is_finished_without_a_storyboard() -> None:
    plan = plan_encode(a_source(video=None, duration=Fraction(20)), DEFAULT_POLICY)
    growing, done = an_asset(plan, stored={"audio-en": [0, 1]}), an_asset(plan, stored={"audio-en": ALL})
    assert (listed(growing), is_final(growing, planned(growing))) == ({"audio-en": 2}, False)
    assert (listed(done), is_final(done, planned(done))) == ({"audio-en": 5}, True)


def test_a_film_is_complete_when_every_rendition_has_all_its_segments() -> None:
    assert planned(whole()).complete


@pytest.mark.parametrize("lagging", ["240p", "480p", "720p", "audio-en"])
def test_a_film_is_not_complete_while_one_rendition_lacks_its_last_segment(lagging: str) -> None:
    stored = dict.fromkeys(("240p", "480p", "720p", "audio-en"), ALL) | {lagging: range(4)}
    assert not planned(an_asset(stored=stored)).complete


def test_the_fast_start_rungs_alone_are_never_a_complete_film() -> None:
    stored = dict.fromkeys(("240p", "480p", "audio-en"), ALL)
    presentation = planned(an_asset(stored=stored))
    assert [video.name for video in presentation.video] == ["240p", "480p"]
    assert not presentation.complete


def test_a_film_without_sound_needs_none() -> None:
    plan = a_film_plan(audio=())
    stored = dict.fromkeys(("240p", "480p", "720p"), ALL)
    assert planned(an_asset(plan, stored=stored)).complete


def test_every_language_must_be_there() -> None:
    plan = a_film_plan(audio=[an_audio_rendition(), an_audio_rendition(name="audio-de", language="de")])
    stored = dict.fromkeys(("240p", "480p", "720p", "audio-en"), ALL)
    assert plan_publication(an_asset(plan, stored=stored), POLICY) is None


def test_sound_that_ends_a_segment_earlier_holds_nobody_back() -> None:
    plan = a_film_plan()
    short = (AudioPiece(index=0, frames=FrameRange(0, 100), first_segment=0, stop_segment=4),)
    plan = replace(plan, audio_pieces=short)
    stored = dict.fromkeys(("240p", "480p", "720p"), ALL) | {"audio-en": range(4)}
    presentation = planned(an_asset(plan, stored=stored))
    assert presentation.complete
    assert len(presentation.video[0].segments) == 5
    assert len(presentation.audio[0].segments) == 4


def test_an_asset_that_was_not_inspected_has_nothing_to_show() -> None:
    assert plan_publication(an_asset(renditions=()), POLICY) is None
    assert plan_publication(replace(an_asset(), plan=None), POLICY) is None


def test_a_finished_film_waits_for_its_thumbnails() -> None:
    assert not is_final(whole(), planned(whole()))


def test_thumbnails_that_were_given_up_do_not_keep_a_film_from_being_finished() -> None:
    asset = whole(storyboard={})
    presentation = planned(asset)
    assert presentation.storyboard is None
    assert is_final(asset, presentation)


def test_a_storyboard_takes_the_sizes_of_its_tiles_from_their_public_names() -> None:
    tile = "storyboard/0-0123456789ab.jpg"
    name = PublishedName(name=tile, key=f"a-0000000000000000/{tile}", content_type="image/jpeg", size_bytes=4321)
    record = {
        "tiles": [tile],
        "columns": 10,
        "rows": 10,
        "interval": "2/1",
        "tile_width": 160,
        "tile_height": 90,
        "count": 10,
    }
    storyboard = planned(whole(storyboard=record, names=(name,))).storyboard
    assert storyboard is not None
    assert (storyboard.tiles, storyboard.tile_sizes_bytes, storyboard.interval) == ((tile,), (4321,), Fraction(2))


def test_availability_starts_when_encoding_began() -> None:
    asset = whole(available_from_ms=1_000_500)
    assert planned(asset).available_from == datetime(1970, 1, 1, 0, 16, 40, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("frame_rate", "gop_frames", "expected"),
    [
        pytest.param(Fraction(25), 50, 4, id="4 s segments"),
        pytest.param(Fraction(30_000, 1001), 60, 4, id="4.004 s rounds to 4"),
        pytest.param(Fraction(1, 2), 1, 4, id="one frame every two seconds"),
        pytest.param(Fraction(100, 449), 1, 9, id="8.98 s rounds to 9"),
        pytest.param(Fraction(200, 449), 1, 5, id="4.49 s and an audio frame round to 5"),
    ],
)
def test_the_target_duration_is_the_longest_segment_rounded(
    frame_rate: Fraction, gop_frames: int, expected: int
) -> None:
    plan = a_film_plan(ladder=a_ladder(frame_rate=frame_rate, gop_frames=gop_frames))
    assert target_duration_s(plan) == expected


def test_a_policy_may_ask_for_more_before_the_first_listing() -> None:
    stored = {"240p": [0], "480p": [0], "audio-en": [0, 1]}
    assert plan_publication(an_asset(stored=stored), PublicationPolicy(first_segments=2)) is None


def test_a_short_film_is_not_held_back_by_a_policy_that_asks_for_more_than_it_has() -> None:
    plan = a_film_plan(segments=1)
    stored = dict.fromkeys(("240p", "480p", "720p", "audio-en"), range(1))
    assert plan_publication(an_asset(plan, stored=stored), PublicationPolicy(first_segments=2)) is not None


def test_surround_sound_is_listed_once_the_film_is_whole_and_holds_nobody_back() -> None:
    surround = an_audio_rendition(name="audio-en-surround", channels=6, default=False)
    plan = a_film_plan(audio=[an_audio_rendition(), surround])
    everything = {name: range(5) for name in ("240p", "480p", "720p", "audio-en")}
    growing = plan_publication(an_asset(plan, stored={**everything, "audio-en-surround": ()}), PublicationPolicy())
    whole = plan_publication(an_asset(plan, stored={**everything, "audio-en-surround": range(5)}), PublicationPolicy())
    assert growing is not None
    assert whole is not None
    assert ([each.name for each in growing.audio], growing.complete) == (["audio-en"], False)
    assert len(growing.audio[0].segments) == 5
    assert ([each.name for each in whole.audio], whole.complete) == (["audio-en", "audio-en-surround"], True)
