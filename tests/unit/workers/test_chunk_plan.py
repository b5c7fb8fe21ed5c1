"""How the time line is cut into work."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.builders import a_ladder, a_rung, an_audio_track
from workers.planning.audio import plan_audio, plan_audio_pieces, total_audio_frames
from workers.planning.chunks import plan_chunks, total_frames
from workers.planning.policy import AudioPolicy, ChunkPolicy

LADDER = a_ladder()  # 25 frames a second, segments of 100 frames


@pytest.mark.parametrize(
    ("total", "lengths"),
    [
        pytest.param(1, [1], id="one picture"),
        pytest.param(100, [100], id="one segment"),
        pytest.param(130, [100, 30], id="a segment and a bit"),
        pytest.param(230, [100, 130], id="a short last segment goes along"),
        pytest.param(260, [100, 160], id="a longer one too where it fits"),
        pytest.param(750, [100, 200, 300, 150], id="half a minute"),
        pytest.param(750 + 30, [100, 200, 300, 180], id="half a minute and a bit"),
        pytest.param(4500, [100, 200, 400, 800, 700, 500, 400, 400, 400, 400, 200], id="three minutes"),
        pytest.param(2000, [100, 200, 400, 400, 400, 300, 200], id="short ones towards the end"),
    ],
)
def test_chunks_start_small_and_grow_to_a_minute(total: int, lengths: list[int]) -> None:
    assert [len(chunk.frames) for chunk in plan_chunks(total, LADDER, ChunkPolicy())] == lengths


def test_chunks_are_as_long_as_their_pictures_are_cheap() -> None:
    large = a_ladder(rungs=(a_rung("2160p", width=3840, height=2160),), fast_start=("2160p",), frame_rate=Fraction(60))
    longest = max(len(chunk.frames) for chunk in plan_chunks(60 * 3600, large, ChunkPolicy()))
    assert longest * 3840 * 2160 <= ChunkPolicy().most_chunk_megapixels * 1_000_000
    assert longest < 60 * 60


def test_segments_longer_than_a_chunk_should_be_are_chunks_of_their_own() -> None:
    slow = a_ladder(frame_rate=Fraction(1, 50), gop_frames=1)  # segments of 100 seconds
    assert [len(chunk.frames) for chunk in plan_chunks(6, slow, ChunkPolicy())] == [2, 2, 2]


@pytest.mark.parametrize(
    ("duration", "frames"),
    [(Fraction(10), 250), (Fraction(1, 1000), 1), (Fraction(0), 1), (Fraction(2500, 100) + Fraction(1, 51), 625)],
)
def test_a_film_has_at_least_one_frame(duration: Fraction, frames: int) -> None:
    assert total_frames(duration, Fraction(25)) == frames


def test_pieces_of_sound_begin_short_and_grow() -> None:
    pieces = plan_audio_pieces(25 * 1000, LADDER, ChunkPolicy())
    assert [piece.stop_segment - piece.first_segment for piece in pieces] == [3, 12, 48, 63, 62, 62]
    assert pieces[-1].frames.stop == total_audio_frames(25 * 1000, LADDER)


def test_a_last_segment_shorter_than_an_aac_frame_still_has_sound() -> None:
    fast = a_ladder(frame_rate=Fraction(60_000, 1001), gop_frames=120)  # a picture: 16.7 ms; an AAC frame: 21.3 ms
    for segments in range(1, 40):
        total = segments * 240 + 1
        assert plan_audio_pieces(total, fast, ChunkPolicy(first_audio_piece_s=4, audio_piece_s=4))[-1].frames


def test_slow_pictures_make_few_chunks_however_long_they_last() -> None:
    day_and_night = 47 * 3600
    slide_show = a_ladder(frame_rate=Fraction(1), gop_frames=2)
    assert len(plan_chunks(day_and_night, slide_show, ChunkPolicy())) < 400
    still = a_ladder(frame_rate=Fraction(1, 1000), gop_frames=1)
    assert len(plan_chunks(day_and_night // 1000, still, ChunkPolicy())) < 30
    film = a_ladder(frame_rate=Fraction(25), gop_frames=50)
    assert max(len(chunk.frames) for chunk in plan_chunks(25 * day_and_night, film, ChunkPolicy())) == 60 * 25


def test_every_language_gets_its_default_or_first_track() -> None:
    tracks = (
        an_audio_track(index=1, language="en"),
        an_audio_track(index=2, language="en", default=True),
        an_audio_track(index=3, language="de", channels=6),
        an_audio_track(index=4, language="de"),
        an_audio_track(index=5, channels=1, language="und"),
    )
    planned = plan_audio(tracks, AudioPolicy())
    assert [(r.name, r.track_index, r.channels, r.bit_rate_bps, r.default, r.label) for r in planned] == [
        ("audio-en", 2, 2, 128_000, True, "English"),
        ("audio-de", 3, 2, 128_000, False, "German"),
        ("audio-und", 5, 1, 80_000, False, "Audio"),
        ("audio-de-surround", 3, 6, 384_000, False, "German"),
    ]


def test_surround_sound_comes_from_the_widest_track_that_is_no_comment() -> None:
    tracks = (
        an_audio_track(index=1, default=True),
        an_audio_track(index=2, channels=8),
        an_audio_track(index=3, channels=6, title="Director's commentary"),
        an_audio_track(index=4, channels=4, language="de"),
    )
    planned = plan_audio(tracks, AudioPolicy())
    assert [(r.name, r.track_index, r.channels) for r in planned] == [
        ("audio-en", 1, 2),
        ("audio-de", 4, 2),
        ("audio-en-surround", 2, 6),
    ]


def test_a_description_of_the_pictures_comes_beside_the_sound_and_is_the_default_one_of_nothing_else() -> None:
    tracks = (
        an_audio_track(index=1, channels=6, describes_video=True, default=True),
        an_audio_track(index=2),
        an_audio_track(index=3, language="de", describes_video=True),
    )
    planned = plan_audio(tracks, AudioPolicy())
    assert [(r.name, r.track_index, r.channels, r.default, r.describes_video, r.label) for r in planned] == [
        ("audio-en", 2, 2, True, False, "English"),
        ("audio-en-described", 1, 2, False, True, "English (audio description)"),
        ("audio-de-described", 3, 2, False, True, "German (audio description)"),
    ]
    assert plan_audio(tracks[2:], AudioPolicy())[0].default


def test_a_silent_film_has_no_audio_renditions() -> None:
    assert plan_audio((), AudioPolicy()) == ()
