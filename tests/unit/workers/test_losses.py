"""What damage is told of: counted in the frames that came out, not in the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from storage.media.ladder import Chunk
from storage.media.source import Note
from storage.media.time import FrameRange
from tests.builders import a_film_plan, a_source, a_video_track, an_audio_piece
from workers.steps.losses import MOST_PLACES, picture_notes, sound_notes, worth_telling

PLAN = a_film_plan(1)  # 100 frames at 25 a second
CHUNK = Chunk(index=0, frames=FrameRange(0, 100), first_segment=0)
ERROR = "[h264 @ 0x1] Error submitting packet to decoder: Invalid data found when processing input"


def times(*, without: Sequence[int] = (), count: int = 100) -> list[Fraction | None]:
    """Of each frame the time of its picture; where it is missing, that of the one before."""
    shown = [frame for frame in range(count) if frame not in without]
    return [Fraction(max(one for one in shown if one <= frame), 25) for frame in range(count)]


def notes(
    shown: Sequence[Fraction | None], stderr: str = "", *, from_start: bool = True, **video: Any
) -> tuple[Note, ...]:
    track = a_video_track(**{"frame_count": 100, "duration": Fraction(4)} | video)
    source = a_source(video=track, duration=Fraction(4))
    return picture_notes(source, PLAN, CHUNK, shown, stderr, from_start=from_start)


def test_a_film_that_is_whole_has_nothing_to_tell() -> None:
    assert notes(times()) == ()


def test_lost_pictures_are_counted() -> None:
    (note,) = notes(times(without=(30, 31, 70)), ERROR, from_start=False)
    assert note.code == "pictures_lost"
    assert "3 of 100 pictures" in note.sentence


def test_pictures_that_the_index_promised_are_missed_even_where_no_decoder_complained() -> None:
    assert [note.code for note in notes(times(without=range(50, 60)))] == ["pictures_lost"]


@pytest.mark.parametrize(
    "video",
    [
        pytest.param({"steady": False}, id="a rate that varies"),
        pytest.param({"frame_count": 60}, id="a recording with holes"),
        pytest.param({"frame_count": None}, id="nobody counted"),
        pytest.param({"frame_rate": Fraction(20), "frame_count": 100}, id="a slower source"),
        pytest.param({"start": Fraction(11, 25)}, id="a picture that starts late"),
    ],
)
def test_frames_that_are_held_for_another_reason_are_no_loss(video: dict[str, Any]) -> None:
    assert notes(times(without=range(1, 12)), **video) == ()


def test_a_picture_that_is_held_while_sound_goes_on_is_no_loss() -> None:
    ended = {"frame_count": 50, "duration": Fraction(2)}
    assert notes(times(without=range(50, 100)), **ended) == ()
    assert [note.code for note in notes(times(without=range(40, 100)), **ended)] == ["pictures_lost"]


def test_pictures_that_were_mended_are_told_of_unless_a_seek_explains_it() -> None:
    said = "[h264 @ 0x1] concealing 120 DC, 120 AC, 120 MV errors in P frame"
    assert [note.code for note in notes(times(), said)] == ["pictures_damaged"]
    assert notes(times(), said, from_start=False) == ()


def test_sound_that_does_not_decode_is_told_with_its_place() -> None:
    piece = an_audio_piece(frames=FrameRange(46_875, 47_000))
    assert sound_notes(a_source(), piece, "") == ()
    (note,) = sound_notes(a_source(), piece, ERROR)
    assert (note.code, "0:16:40" in note.sentence) == ("sound_damaged", True)


def test_a_packet_that_a_seek_cuts_in_a_program_stream_is_no_damage() -> None:
    source, later = a_source(demuxer="mpeg"), an_audio_piece(frames=FrameRange(46_875, 47_000))
    assert sound_notes(source, later, f"{ERROR}\n" * 21) == ()
    assert sound_notes(source, later, f"{ERROR}\n" * 40) != ()
    assert sound_notes(source, an_audio_piece(frames=FrameRange(0, 47_000)), ERROR) != ()
    assert sound_notes(a_source(), later, ERROR) != ()


def test_after_some_damaged_places_the_rest_is_told_in_one_sentence() -> None:
    told = tuple(Note(code="pictures_lost", sentence=f"{number}") for number in range(MOST_PLACES))
    new = (Note(code="pictures_lost", sentence="one more"),)
    assert worth_telling(new, told[1:]) == new
    (rest,) = worth_telling(new, told)
    assert "more places" in rest.sentence
    assert worth_telling(new, (*told, rest)) == (rest,)
