"""The MPD: static when complete, dynamic and played from its beginning while it grows."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from xml.etree import ElementTree as ET

import pytest

from packager.dash.mpd import duration_text, render_mpd, time_text
from packager.presentation import Presentation
from tests.presentations import (
    AVAILABLE_FROM,
    PUBLISHED_AT,
    a_presentation,
    a_sound_rendition,
    a_storyboard,
    a_video_rendition,
    video_segments,
)

NS = {"d": "urn:mpeg:dash:schema:mpd:2011"}


def mpd(presentation: Presentation, published_at: datetime = PUBLISHED_AT) -> ET.Element:
    return ET.fromstring(render_mpd(presentation, published_at=published_at))


def seconds(text: str | None) -> Fraction:
    assert text is not None
    return Fraction(text.removeprefix("PT").removesuffix("S"))


def test_a_complete_mpd_is_static_and_as_long_as_its_segments() -> None:
    root = mpd(a_presentation())
    assert (root.get("type"), root.get("mediaPresentationDuration")) == ("static", "PT10.4S")
    assert root.find("d:UTCTiming", NS) is None
    assert root.get("minimumUpdatePeriod") is None


def test_a_growing_mpd_is_dynamic_without_a_window_or_an_end() -> None:
    root = mpd(a_presentation(complete=False))
    assert root.get("type") == "dynamic"
    assert root.get("timeShiftBufferDepth") is None
    assert root.get("mediaPresentationDuration") is None
    assert root.get("publishTime") == "2026-01-02T03:05:06.000Z"


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=30)], ids=["at once", "much later"])
def test_dash_js_starts_a_growing_mpd_at_its_beginning(age: timedelta) -> None:
    """It starts at the target latency behind now."""
    published_at = AVAILABLE_FROM + age
    root = mpd(a_presentation(complete=False), published_at)
    start = datetime.fromisoformat(root.get("availabilityStartTime") or "")
    latency = root.find("d:ServiceDescription/d:Latency", NS)
    assert latency is not None
    assert published_at - timedelta(milliseconds=int(latency.get("target") or 0)) < start


def test_shaka_starts_a_growing_mpd_at_its_beginning_and_goes_on_from_there() -> None:
    """It starts at the suggested delay behind the end of what is listed, and loads up to there as its clock goes."""
    root = mpd(a_presentation(complete=False))
    assert root.get("suggestedPresentationDelay") == "PT12S"  # 10.4 s are listed


def test_no_player_changes_its_speed_to_reach_the_target_latency() -> None:
    rate = mpd(a_presentation(complete=False)).find("d:ServiceDescription/d:PlaybackRate", NS)
    assert rate is not None
    assert rate.attrib == {"min": "1", "max": "1"}


def test_all_that_a_growing_mpd_lists_is_available_at_once() -> None:
    presentation = a_presentation(complete=False, duration=Fraction(3600))
    start = datetime.fromisoformat(mpd(presentation).get("availabilityStartTime") or "")
    assert start + timedelta(hours=1) <= AVAILABLE_FROM


def test_the_availability_start_never_moves() -> None:
    growing = a_presentation(complete=False)
    later = mpd(growing, PUBLISHED_AT + timedelta(hours=5))
    assert later.get("availabilityStartTime") == mpd(growing).get("availabilityStartTime")


@pytest.mark.parametrize(
    ("segments", "period"), [(3, "PT2S"), (150, "PT10S"), (2_000, "PT30S")], ids=["at first", "10 minutes", "2 hours"]
)
def test_a_long_mpd_is_fetched_less_often(segments: int, period: str) -> None:
    video = (a_video_rendition(segments=video_segments(segments, last_frames=100)),)
    assert mpd(a_presentation(complete=False, video=video)).get("minimumUpdatePeriod") == period


def test_players_need_not_ask_a_third_party_for_the_time() -> None:
    timing = mpd(a_presentation(complete=False)).find("d:UTCTiming", NS)
    assert timing is not None
    assert timing.get("schemeIdUri") == "urn:mpeg:dash:utc:direct:2014"


def test_every_segment_has_an_s_of_its_own() -> None:
    for segments in mpd(a_presentation()).iterfind(".//d:AdaptationSet/d:Representation/d:SegmentList", NS):
        runs = segments.findall("d:SegmentTimeline/d:S", NS)
        pictures = segments.find("d:SegmentURL[@mediaRange]", NS) is not None
        assert len(runs) == len(segments.findall("d:SegmentURL", NS)) == (6 if pictures else 3)
        assert all(run.get("r") is None for run in runs)


def test_no_segment_is_longer_than_the_mpd_says() -> None:
    root = mpd(a_presentation())
    longest = max(
        Fraction(int(run.get("d") or 0), int(segments.get("timescale") or 0))
        for segments in root.iterfind(".//d:SegmentList", NS)
        for run in segments.iterfind("d:SegmentTimeline/d:S", NS)
    )
    assert longest <= seconds(root.get("maxSegmentDuration")) < longest + Fraction(1, 500)


def test_a_gap_between_segments_is_refused() -> None:
    first, _, third = video_segments()
    with pytest.raises(ValueError, match="segment 2 starts at 102400, not at 51200"):
        render_mpd(a_presentation(video=(a_video_rendition(segments=(first, third)),)), published_at=PUBLISHED_AT)


def test_each_language_is_an_adaptation_set_and_one_is_main() -> None:
    audio = (a_sound_rendition(), a_sound_rendition("audio-de", label="Deutsch", language="de", default=False))
    sets = mpd(a_presentation(audio=audio)).findall("d:Period/d:AdaptationSet[@contentType='audio']", NS)
    roles = [(each.get("lang"), getattr(each.find("d:Role", NS), "attrib", {}).get("value")) for each in sets]
    assert roles == [("en", "main"), ("de", "alternate")]


@pytest.mark.parametrize(("channels", "value"), [(1, "1"), (2, "2"), (6, "6"), (8, "7")])
def test_channel_configurations_are_those_of_iso_23003_3(channels: int, value: str) -> None:
    root = mpd(a_presentation(audio=(a_sound_rendition(channels=channels),)))
    configuration = root.find(".//d:AudioChannelConfiguration", NS)
    assert configuration is not None
    assert configuration.get("value") == value


def test_sprites_named_alike_but_for_their_number_are_a_template() -> None:
    image = mpd(a_presentation()).find(".//d:AdaptationSet[@contentType='image']/d:Representation", NS)
    assert image is not None
    template = image.find("d:SegmentTemplate", NS)
    assert template is not None
    assert template.attrib == {
        "timescale": "1",
        "duration": "8",
        "startNumber": "0",
        "media": "storyboard/$Number$-aabbccddeeff.jpg",
    }


def test_sprites_of_other_names_are_listed() -> None:
    storyboard = a_storyboard(tiles=("0-aabbccddeeff.jpg", "1-ffeeddccbbaa.jpg"))
    root = mpd(a_presentation(storyboard=storyboard))
    urls = root.iterfind(".//d:AdaptationSet[@contentType='image']//d:SegmentURL", NS)
    assert [url.get("media") for url in urls] == ["storyboard/0-aabbccddeeff.jpg", "storyboard/1-ffeeddccbbaa.jpg"]


@pytest.mark.parametrize(
    ("value", "text"), [(Fraction(4), "PT4S"), (Fraction(1001, 240), "PT4.170833S"), (Fraction(0), "PT0S")]
)
def test_durations_are_in_seconds_only(value: Fraction, text: str) -> None:
    assert duration_text(value) == text


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        time_text(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


def test_pictures_for_winding_are_ranges_of_the_lowest_rungs_segments() -> None:
    root = mpd(a_presentation())
    (trick,) = (each for each in root.iterfind(".//d:AdaptationSet", NS) if each.get("id") == "40")
    main = next(each for each in root.iterfind(".//d:AdaptationSet", NS) if each.get("id") == "0")
    told = trick.find("d:EssentialProperty", NS)
    assert told is not None
    assert (told.get("schemeIdUri"), told.get("value")) == ("http://dashif.org/guidelines/trickmode", main.get("id"))
    lowest = a_presentation().video[0]
    ranges = [(one.get("media"), one.get("mediaRange")) for one in trick.iterfind(".//d:SegmentURL", NS)]
    assert ranges == [
        (segment.name, f"{one.offset}-{one.offset + one.size - 1}")
        for segment in lowest.segments
        for one in segment.iframes
    ]
    assert mpd(a_presentation(complete=False)).find(".//d:AdaptationSet[@id='40']", NS) is None
