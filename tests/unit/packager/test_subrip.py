"""SubRip read as players read it, and WebVTT moved in time."""

from __future__ import annotations

from fractions import Fraction

import pytest

from packager.subrip import parse_subrip
from packager.subtitles import moved, parse_webvtt, render_webvtt, within
from storage.errors import WrongOutput

SRT = (
    "\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i>, <font color=red>you</font> & <b>me</b>\r\n"
    "{\\an8}1 < 2\r\n\r\n2\r\n00:00:03.5 --> 00:00:04,000 X1:10 X2:20\r\n--> not a time\r\n\r\n"
    "3\r\n00:00:09,000 --> 00:00:08,000\r\nBackwards\r\n\r\n4\r\n00:00:10,000 --> 00:00:11,000\r\n\r\n"
)


def test_cues_come_out_with_the_marks_that_webvtt_knows() -> None:
    assert render_webvtt(parse_subrip(SRT)) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n<i>Hello</i>, you &amp; <b>me</b>\n1 &lt; 2\n\n"
        "00:00:03.500 --> 00:00:04.000\n--&gt; not a time\n"
    )


def test_what_comes_of_subrip_is_webvtt() -> None:
    found = parse_webvtt(render_webvtt(parse_subrip(SRT)))
    assert [(cue.start, cue.stop) for cue in found.cues] == [(1, Fraction(5, 2)), (Fraction(7, 2), 4)]


@pytest.mark.parametrize("text", ["", "WEBVTT\n\nnothing", "1\n00:00 --> 00:01\nNo hours", "{\\rtf1 text}"])
def test_what_has_no_cue_is_refused(text: str) -> None:
    with pytest.raises(WrongOutput):
        parse_subrip(text)


def test_subtitles_are_moved_with_their_settings_and_end_at_zero_and_at_the_film_s_end() -> None:
    text = (
        "WEBVTT\n\n1\n01:00:00.500 --> 01:00:01.500 align:start\nA\n\n00:59:58.000 --> 00:59:59.000\nBefore\n\n"
        "00:59:59.000 --> 01:00:00.250\nOver the edge\n\n01:00:20.000 --> 01:00:21.000\nAfter\n"
    )
    found = within(moved(parse_webvtt(text), Fraction(-3600)), Fraction(20))
    assert render_webvtt(found) == (
        "WEBVTT\n\n1\n00:00:00.500 --> 00:00:01.500 align:start\nA\n\n00:00:00.000 --> 00:00:00.250\nOver the edge\n"
    )


@pytest.mark.parametrize("style", ["background: url(http://tracker/)", '@import "x"', "background: u\\72l(x)"])
def test_style_sheets_that_name_other_files_are_left_out(style: str) -> None:
    text = f"WEBVTT\n\nSTYLE\n::cue {{ {style} }}\n\nSTYLE\n::cue {{ color: white }}\n\n00:00.000 --> 00:01.000\nA\n"
    assert parse_webvtt(text).styles == ("STYLE\n::cue { color: white }",)
