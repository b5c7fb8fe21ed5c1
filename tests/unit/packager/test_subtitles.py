"""Subtitles: WebVTT cut for HLS, whole for DASH, and how both manifests name them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from packager.conformance import Severity, judge, read_subject
from packager.subtitles import Cue, Subtitles, parse_webvtt, segment_webvtt, segmented_bytes
from storage.errors import WrongOutput
from tests.conformant import DASH, mpd_schema
from tests.published_files import BASE, WEBVTT, MemoryLibrary, published, without_versions


def test_every_segment_has_the_map_the_styles_and_the_cues_that_touch_it() -> None:
    first, second, third = segment_webvtt(parse_webvtt(WEBVTT), [Fraction(0), Fraction(4), Fraction(8), Fraction(10)])
    assert first == (
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n"
        "STYLE\n::cue { color: white }\n\n"
        "1\n00:00:01.000 --> 00:00:03.000\nHello.\n\n"
        "00:03.500 --> 00:05.000 align:start\nOver the edge\n"
    )
    assert ("Over the edge" in second, "To the edge" in second) == (True, True)
    assert "-->" not in third


@pytest.mark.parametrize("text", ["", "1\n00:00:01,000 --> 00:00:02,000\nSubRip", "WEBVTTX\n\n"])
def test_what_is_not_webvtt_is_refused(text: str) -> None:
    with pytest.raises(WrongOutput):
        parse_webvtt(text)


def test_line_ends_marks_and_backward_cues_are_forgiven() -> None:
    text = "\ufeffWEBVTT - a title\r\n\r\n00:05.000 --> 00:01.000\r\nNever\r\n\r\n100:00:00.000 --> 100:00:01.500\r\nLate\r\n"
    text += "\r\n" + "9" * 5000 + ":00:00.000 --> 100:00:01.500\r\nNever either\r\n"
    assert [(cue.start, cue.stop) for cue in parse_webvtt(text).cues] == [(360_000, Fraction(720_003, 2))]


times = st.tuples(st.integers(0, 40), st.integers(1, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(times, max_size=12))
def test_a_cue_is_in_exactly_the_segments_that_it_touches(spans: list[tuple[int, int]]) -> None:
    cues = tuple(
        Cue(start=Fraction(start), stop=Fraction(stop), text=f"<{number}>")
        for number, (start, stop) in enumerate(spans)
    )
    edges = [Fraction(edge) for edge in range(0, 100, 10)]
    for index, segment in enumerate(segment_webvtt(Subtitles(styles=(), cues=cues), edges)):
        for number, (start, stop) in enumerate(spans):
            assert (f"<{number}>" in segment) == (start < 10 * (index + 1) and stop > 10 * index)


@given(st.lists(times, max_size=12), st.integers(1, 90))
def test_what_segments_hold_is_known_before_they_are_cut(spans: list[tuple[int, int]], seconds: int) -> None:
    cues = tuple(Cue(start=Fraction(start), stop=Fraction(stop), text="<cue>") for start, stop in spans)
    edges = [Fraction(edge) for edge in (*range(0, seconds, 10), seconds)]
    held = "".join(segment_webvtt(Subtitles(styles=("STYLE",), cues=cues), edges))
    told = segmented_bytes(Subtitles(styles=("STYLE",), cues=cues), duration=Fraction(seconds), segment=Fraction(10))
    assert told == 5 * (held.count("STYLE") + held.count("<cue>"))


def test_segments_are_made_one_at_a_time() -> None:
    """All of them together would be terabytes."""
    cues = tuple(Cue(start=Fraction(0), stop=Fraction(10**9), text="x" * 1000) for _ in range(10))
    segments = segment_webvtt(Subtitles(styles=(), cues=cues), range(10**9))  # type: ignore[arg-type]  # as good as a list
    assert next(segments) == next(segments)


def test_a_film_with_subtitles_breaks_no_must() -> None:
    files = published(everything=True)
    subject = read_subject([BASE + "master.m3u8", BASE + "manifest.mpd"], MemoryLibrary(files=files))
    report = judge(subject)
    assert [(one.rule.id, one.where, one.detail) for one in report.of(Severity.MUST)] == []
    held = {rule.id for rule in report.held}
    assert held >= {
        "hls-timestamp-map",
        "hls-same-range",
        "hls-characteristics",
        "hls-forced-autoselect",
        "hls-first-variant",
        "hls-version-sufficient",
        "dash-text-segments",
        "dash-accessibility",
    }
    mpd = etree.fromstring(files["manifest.mpd"])
    roles = [str(role.get("value")) for role in mpd.iterfind(".//d:AdaptationSet[@contentType='text']/d:Role", DASH)]
    assert roles == ["caption", "forced-subtitle"]


def test_an_mpd_with_subtitles_is_valid_by_mpegs_schema() -> None:
    mpd_schema().assertValid(etree.fromstring(published(everything=True)["manifest.mpd"]))


def test_the_multivariant_playlist_names_a_group_of_subtitles_on_every_variant() -> None:
    lines = without_versions(published(everything=True))["master.m3u8"].decode().splitlines()
    captions, forced = [line for line in lines if "TYPE=SUBTITLES" in line]
    assert captions == (
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="English (captions)",LANGUAGE="en",DEFAULT=NO,'
        'AUTOSELECT=YES,FORCED=NO,CHARACTERISTICS="public.accessibility.transcribes-spoken-dialog,'
        'public.accessibility.describes-music-and-sound",URI="text-en/media.m3u8"'
    )
    assert forced == (
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="English",LANGUAGE="en",DEFAULT=NO,'
        'AUTOSELECT=YES,FORCED=YES,URI="text-en-forced/media.m3u8"'
    )
    variants = [line for line in lines if line.startswith("#EXT-X-STREAM-INF")]
    assert all('SUBTITLES="subtitles"' in line for line in variants)
