"""HLS: one value, many rules."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from packager.hls.attributes import attribute_list, decimal, quoted
from packager.hls.media_playlist import MediaSegments, exact_microseconds, iframe_playlist, media_playlist
from packager.hls.multivariant_playlist import multivariant_playlist
from storage.jobs import Segment
from tests.presentations import a_large_rendition, a_presentation, a_sound_rendition, a_video_rendition, video_segments


def media(complete: bool = True, segments: tuple[Segment, ...] | None = None, target_duration_s: int = 4) -> str:
    return media_playlist(
        segments or video_segments(),
        timescale=12_800,
        init_name="init-0123456789ab.mp4",
        target_duration_s=target_duration_s,
        complete=complete,
    ).render()


# --- attributes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("English", '"English"'), ('The "Cut"', "\"The 'Cut'\""), ("two\r\nlines", '"two lines"'), ("日本語", '"日本語"')],
)
def test_a_quoted_string_never_breaks_its_line_or_its_quotes(text: str, expected: str) -> None:
    assert quoted(text) == expected


def test_decimals_are_exact_and_always_have_a_fraction() -> None:
    assert [decimal(Fraction(4)), decimal(Fraction(1001, 240)), decimal(Fraction(30000, 1001), 3)] == [
        "4.000000",
        "4.170833",
        "29.970",
    ]


def test_attributes_that_are_none_are_left_out() -> None:
    assert attribute_list({"A": 1, "B": None, "C": "x"}) == "A=1,C=x"


# --- media playlists -------------------------------------------------------------------------------------------------


def test_a_growing_playlist_is_an_event_that_starts_at_its_beginning() -> None:
    lines = media(complete=False).splitlines()
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in lines
    assert "#EXT-X-START:TIME-OFFSET=0.0,PRECISE=YES" in lines
    assert "#EXT-X-ENDLIST" not in lines


def test_a_complete_playlist_is_vod_and_ends() -> None:
    lines = media().splitlines()
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in lines
    assert not any(line.startswith("#EXT-X-START") for line in lines)
    assert lines[-1] == "#EXT-X-ENDLIST"


def test_a_growing_playlist_only_grows_at_its_end() -> None:
    shorter = media(complete=False, segments=video_segments(3, last_frames=100))
    longer = media(complete=False, segments=video_segments(5, last_frames=100))
    assert longer.startswith(shorter)


def test_a_segment_longer_than_the_target_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="over 3 s"):
        media(target_duration_s=3)


def test_durations_add_up_to_the_exact_time_however_many() -> None:
    durations = exact_microseconds([1001] * 21_600, 240)
    assert sum(durations) == 1001 * 21_600 * 1_000_000 // 240
    assert set(durations) == {4_170_833, 4_170_834}


def test_an_iframe_playlist_names_one_byte_range_a_picture() -> None:
    playlist = iframe_playlist(
        video_segments(1, last_frames=60), timescale=12_800, init_name="i.mp4", target_duration_s=4, complete=True
    )
    assert playlist.segments == MediaSegments(
        uris=("0-000000000000.m4s", "0-000000000000.m4s"),
        durations_us=(2_000_000, 400_000),
        offsets=(24, 75_024),
        sizes=(2000, 2001),
    )
    assert "#EXT-X-I-FRAMES-ONLY" in playlist.render().splitlines()


# --- the multivariant playlist ---------------------------------------------------------------------------------------


def variants(**changes: object) -> list[str]:
    return [variant.uri.split("/")[0] for variant in multivariant_playlist(a_presentation(**changes)).variants]


@pytest.mark.parametrize(
    ("rates_kbps", "first"),
    [
        pytest.param((500, 1500, 4000), "b", id="the best within 2 Mbit/s"),
        pytest.param((2500, 3000, 4000), "a", id="the lowest where none is within"),
        pytest.param((100, 200, 300), "c", id="the top one of a small ladder"),
    ],
)
def test_the_first_variant_is_the_best_within_2_megabits(rates_kbps: tuple[int, ...], first: str) -> None:
    rungs = [
        a_video_rendition(name, segments=video_segments(rate_kbps=rate))
        for name, rate in zip("abc", rates_kbps, strict=True)
    ]
    assert variants(video=tuple(rungs)) == [first, *(name for name in "abc" if name != first)]


def test_bandwidth_includes_the_costliest_audio_rendition() -> None:
    loud = a_sound_rendition("audio-de", label="Deutsch", language="de")
    loud = replace(loud, segments=tuple(replace(segment, size_bytes=200_000) for segment in loud.segments))
    alone = multivariant_playlist(a_presentation(audio=())).variants[0].bit_rates
    with_sound = multivariant_playlist(a_presentation(audio=(a_sound_rendition(), loud))).variants[0].bit_rates
    sound_peak = -(-200_000 * 8 * 48_000 // min(segment.duration_ticks for segment in loud.segments[:2]))
    assert with_sound.peak_bps - alone.peak_bps >= sound_peak
    assert with_sound.average_bps > alone.average_bps


def test_names_in_the_audio_group_are_unique_and_one_is_the_default() -> None:
    audio = (
        a_sound_rendition("audio-1", default=False),
        a_sound_rendition("audio-2"),
        a_sound_rendition("audio-3"),
    )
    group = multivariant_playlist(a_presentation(audio=audio)).audio
    assert [(each.name, each.default) for each in group] == [
        ("English", False),
        ("English (2)", True),
        ("English (3)", False),
    ]


def test_surround_sound_has_a_group_and_variants_of_its_own_and_is_never_first() -> None:
    audio = (
        a_sound_rendition("audio-en"),
        a_sound_rendition("audio-de", label="Deutsch", language="de", default=False),
        a_sound_rendition("audio-en-surround", channels=6, default=False),
    )
    found = multivariant_playlist(a_presentation(audio=audio))
    assert [(one.group, one.name, one.channels, one.default, one.uri) for one in found.audio] == [
        ("audio", "English", 2, True, "audio-en/media.m3u8"),
        ("audio", "Deutsch", 2, False, "audio-de/media.m3u8"),
        ("surround", "English", 6, True, "audio-en-surround/media.m3u8"),
        ("surround", "Deutsch", 2, False, "audio-de/media.m3u8"),  # the group has every language
    ]
    groups = [(each.uri, each.audio_group) for each in found.variants]
    assert len(set(groups)) == len(groups) == 4
    assert groups[0][1] == "audio"


def test_iframe_variants_carry_no_forbidden_attribute() -> None:
    text = multivariant_playlist(a_presentation()).render()
    lines = [line for line in text.splitlines() if line.startswith("#EXT-X-I-FRAME-STREAM-INF")]
    assert len(lines) == 2
    for forbidden in ("FRAME-RATE", "AUDIO", "SUBTITLES", "CLOSED-CAPTIONS", "mp4a"):
        assert all(forbidden not in line for line in lines)


def test_without_sound_no_group_is_named() -> None:
    text = multivariant_playlist(a_presentation(audio=())).render()
    assert "AUDIO" not in text
    assert 'CODECS="avc1.64001e",' in text


def test_sound_alone_is_a_variant_of_its_own() -> None:
    assert multivariant_playlist(a_presentation(video=(), storyboard=None)).render().splitlines()[3:] == [
        '#EXT-X-STREAM-INF:BANDWIDTH=127875,AVERAGE-BANDWIDTH=127875,CODECS="mp4a.40.2"',
        "audio-en/media.m3u8",
    ]


def test_sound_alone_in_two_languages_is_a_variant_with_a_group() -> None:
    audio = (a_sound_rendition(), a_sound_rendition("audio-de", label="Deutsch", language="de", default=False))
    playlist = multivariant_playlist(a_presentation(video=(), audio=audio, storyboard=None))
    (variant,) = playlist.variants
    assert (variant.uri, variant.audio_group, len(playlist.audio)) == ("audio-en/media.m3u8", "audio", 2)


def test_nothing_at_all_is_no_presentation() -> None:
    with pytest.raises(ValueError, match="has renditions"):
        multivariant_playlist(a_presentation(video=(), audio=()))


def test_frame_rates_have_three_decimals() -> None:
    video = (replace(a_large_rendition(), frame_rate=Fraction(30000, 1001)),)
    assert "FRAME-RATE=29.970," in multivariant_playlist(a_presentation(video=video)).render()
