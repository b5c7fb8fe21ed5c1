"""Pictures and sound stay together through everything that is done to them: at the start, in the middle and at the end."""

from __future__ import annotations

import math
from array import array
from fractions import Fraction
from pathlib import Path

import pytest

from storage.lifecycle import VideoState
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from tests.media import Pictures, Sound, make_film, numbers_shown, samples_heard
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.process import find_tools

pytestmark = pytest.mark.integration

SECONDS, RATE = 20, 25


class Beeps(Sound):
    """One at every full second."""

    def level(self, at: float) -> float:
        return 0.8 * math.sin(2 * math.pi * 1000 * at) if at % 1 < 0.03 else 0.0


@pytest.mark.parametrize(
    ("container", "start"),
    [
        pytest.param("mp4", Fraction(0), id="priming and an edit list"),
        pytest.param("mpegts", Fraction(7), id="a clock that starts at seven seconds"),
    ],
)
def test_skew_is_at_most_an_aac_frame(container: str, start: Fraction, tmp_path: Path) -> None:
    times = [start + Fraction(number, RATE) for number in range(SECONDS * RATE)]
    sound = Beeps(seconds=Fraction(SECONDS), start=start)
    film = make_film(tmp_path / "film", Pictures(times=times, b_frames=2), sound, container=container)
    video, asset = through_the_pipeline(film, tmp_path, find_tools())
    assert video.state is VideoState.READY
    picture, loud = (
        next(each.name for each in asset.renditions if (each.rung is None) is of_sound) for of_sound in (False, True)
    )
    numbers = numbers_shown(joined(tmp_path / "site" / picture))
    heard = samples_heard(joined(tmp_path / "site" / loud))
    skews = {
        second: beep_near(heard, second) - numbers.index(second * RATE) * AUDIO_RATE_HZ // RATE
        for second in (1, SECONDS // 2, SECONDS - 1)
    }
    assert all(abs(skew) <= AAC_FRAME_SAMPLES for skew in skews.values()), skews


def joined(rendition: Path) -> bytes:
    """A rendition as a player puts it together; its first sample is shown at zero."""
    segments = sorted(rendition.glob("*.m4s"), key=lambda path: int(path.name.partition("-")[0]))
    return b"".join(path.read_bytes() for path in (*rendition.glob("init-*.mp4"), *segments))


def beep_near(heard: array[float], second: int) -> int:
    """The sample at which the beep of ``second`` begins."""
    first = (second * 2 - 1) * AUDIO_RATE_HZ // 2
    return next(at for at in range(first, first + AUDIO_RATE_HZ) if abs(heard[at]) > 0.3)
