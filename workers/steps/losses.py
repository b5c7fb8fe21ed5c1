"""What a damaged source lost on its way through a decoder, as notes for its owner. Pure.

Exit code 0 proves nothing: a decoder steps over what it cannot read, and the frame grid fills the hole with the picture
before it. So frames are counted that show a picture again which was shown already.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from storage.media.ladder import AudioPiece, Chunk, EncodePlan
from storage.media.source import Note, Source, VideoTrack
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from workers.ffmpeg.inputs import demuxer_of

COMPLAINTS = (
    "Error submitting packet to decoder",
    "Decoding error",
    "Error splitting the input",
    "Invalid NAL unit size",
    "partial file",
    "Truncat",
    "Error reinitializing filters",
)
"""What ffmpeg says of packets that it drops."""
CONCEALED = ("error while decoding", "concealing", "corrupt decoded frame")
"""What it says of pictures that it shows all the same."""

MOST_PLACES = 10
"""So many damaged places are told one by one; of a film that is damaged all over, nobody wants to read all."""


def picture_notes(
    source: Source, plan: EncodePlan, chunk: Chunk, times: Sequence[Fraction | None], stderr: str, *, from_start: bool
) -> tuple[Note, ...]:
    """What of ``chunk`` was lost: ``times`` are those of the source pictures that its frames show, ``stderr`` what the
    decoder said. ``from_start``: it began at the start of the film, so that it had no reason to complain but damage; after
    a seek it may stumble over pictures that refer to what was skipped."""
    if source.video is None:
        return ()
    complained = any(complaint in stderr for complaint in COMPLAINTS)
    lost = _held(source, source.video, plan, chunk, times) if _has_a_picture_for_each_frame(source, plan) else 0
    place = _clock(chunk.frames.start / plan.ladder.frame_rate)
    if lost > (0 if complained else 1):
        sentence = (
            f"The file is damaged after {place}: {lost} of {len(chunk.frames)} pictures there could not be decoded, and"
            " the one before stands still instead."
        )
        return (Note(code="pictures_lost", sentence=sentence),)
    if from_start and (complained or any(complaint in stderr for complaint in CONCEALED)):
        sentence = f"The file is damaged after {place}: pictures there are shown as far as they decode."
        return (Note(code="pictures_damaged", sentence=sentence),)
    return ()


FEW_PICTURES = 4
"""Where pictures are reordered, so many at the edges of a chunk may have other times in the file than out of the decoder."""


def missing_pictures(
    source: Source, plan: EncodePlan, chunk: Chunk, times: Sequence[Fraction], expected: Iterable[Fraction]
) -> str | None:
    """Whether frames of ``chunk`` do not show the pictures that the file has for them, as a sentence. ``times``: of those that
    they show; ``expected``: of those in the file, from the first keyframe that decoding began at."""
    came, should = (len(_frames(source, plan, chunk, pictures)) for pictures in (times, expected))
    return f"{came} of {should} pictures came" if came < should - FEW_PICTURES else None


def uncounted_pictures(
    source: Source, plan: EncodePlan, chunk: Chunk, numbers: Sequence[int], expected: Sequence[Fraction]
) -> str | None:
    """The same where pictures have no times of their own. ``numbers``: how many were decoded before those that frames show."""
    came, should = len(set(numbers)), len(_frames(source, plan, chunk, expected))
    start = source.start + chunk.frames.start / plan.ladder.frame_rate
    before, ran_up = sum(time < start for time in expected), min(numbers, default=0)
    if abs(ran_up - before) > 2 * FEW_PICTURES:
        return f"{ran_up} pictures came before the first, and {before} are there"
    return f"{came} of {should} pictures came" if came < should - FEW_PICTURES else None


def _frames(source: Source, plan: EncodePlan, chunk: Chunk, pictures: Iterable[Fraction]) -> set[int]:
    """Those of ``chunk`` that ``pictures`` of these times are for."""
    rate = plan.ladder.frame_rate
    numbers = {round((time - source.start) * rate) for time in pictures}
    return {number for number in numbers if chunk.frames.start <= number < chunk.frames.stop}


CUT_BY_SEEKING = frozenset({"mpeg"})
"""Demuxers whose seeks land within a packet of sound, seconds before what is wanted: the rest of it does not decode."""
LINES_OF_A_CUT_PACKET = 30
"""Until the decoder is in step again: up to 21 lines were seen, half a second of them."""


def sound_notes(source: Source, piece: AudioPiece, stderr: str) -> tuple[Note, ...]:
    """Whether the decoder left out parts of ``piece`` of ``source``."""
    lines = [line for line in stderr.splitlines() if any(complaint in line for complaint in COMPLAINTS)]
    by_seeking = LINES_OF_A_CUT_PACKET if demuxer_of(source) in CUT_BY_SEEKING and piece.frames.start > 0 else 0
    if len(lines) <= by_seeking:
        return ()
    place = _clock(Fraction(piece.frames.start * AAC_FRAME_SAMPLES, AUDIO_RATE_HZ))
    sentence = f"The sound is damaged some time after {place}: what could not be decoded is silent."
    return (Note(code="sound_damaged", sentence=sentence),)


def worth_telling(notes: tuple[Note, ...], told: tuple[Note, ...]) -> tuple[Note, ...]:
    """``notes``, each in one sentence that is always the same once enough of its kind were ``told``."""
    return tuple(
        note
        if sum(before.code == note.code for before in told) < MOST_PLACES
        else Note(code=note.code, sentence="The file is damaged in more places than are listed here.")
        for note in notes
    )


def _has_a_picture_for_each_frame(source: Source, plan: EncodePlan) -> bool:
    """Whether the file's index or its packets promise a picture for each frame: then none is held for another reason."""
    video = source.video
    if video is None or not video.steady or video.frame_count is None or video.duration is None:
        return False
    return video.frame_count + 1 >= video.duration * plan.ladder.frame_rate * Fraction(99, 100)


def _held(source: Source, video: VideoTrack, plan: EncodePlan, chunk: Chunk, times: Sequence[Fraction | None]) -> int:
    """How many frames show the picture of the frame before, beyond what even rates, a late start and an early end explain."""
    rate = plan.ladder.frame_rate
    before_first = max(0, math.ceil((video.start - source.start) * rate) - chunk.frames.start)
    shown = times[before_first:]
    if video.duration is not None:
        last = math.floor((video.start + video.duration - source.start) * rate)
        shown = times[before_first : max(before_first, last - chunk.frames.start)]
    repeated = sum(now == before for before, now in pairwise(shown) if now is not None)
    by_rate = math.ceil(len(shown) * max(Fraction(0), 1 - video.frame_rate / rate))
    return max(0, repeated - by_rate)


def _clock(seconds: Fraction) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
