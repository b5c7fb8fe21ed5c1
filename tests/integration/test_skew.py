"""Pictures and sound stay together through everything that is done to them: at the start, in the middle and at the end."""

from __future__ import annotations

import math
import random
import subprocess
from array import array
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from storage.catalogue import Asset
from storage.lifecycle import VideoState
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from tests.media import Pictures, Sound, drop_times, make_film, numbers_shown, samples_heard
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.process import find_tools

pytestmark = pytest.mark.integration

SECONDS, RATE = 14, 25  # two pieces of sound, and four chunks
CUT_OFF = Fraction(33, RATE)


class Beeps(Sound):
    """One at every full second."""

    def level(self, at: float) -> float:
        return 0.8 * math.sin(2 * math.pi * 1000 * at) if at % 1 < 0.03 else 0.0


def steady(start: Fraction, seconds: int = SECONDS) -> list[Fraction]:
    return [start + Fraction(number, RATE) for number in range(seconds * RATE)]


def uneven(start: Fraction) -> list[Fraction]:
    """Each second has a picture at its beginning, and others wherever."""
    chance = random.Random(7)
    within = ([0, *sorted(chance.sample(range(3, 97), 24))] for _ in range(SECONDS))
    return [start + second + Fraction(hundredth, 100) for second, places in enumerate(within) for hundredth in places]


def plain(container: str, start: int, **pictures: Any) -> Callable[[Path], Path]:
    def made(path: Path) -> Path:
        zero = Fraction(start)
        shown = Pictures(**{"times": steady(zero), "b_frames": 2} | pictures)
        return make_film(path, shown, Beeps(seconds=Fraction(SECONDS), start=zero), container=container)

    return made


def cut_by_an_edit_list(path: Path) -> Path:
    """Its first 33 pictures are in the file and not to be shown: time zero is between two keyframes."""
    times = steady(-CUT_OFF, SECONDS + 1)
    return make_film(path, Pictures(times=times, b_frames=2), Beeps(seconds=Fraction(SECONDS)), container="mp4")


def without_most_times(path: Path) -> Path:
    film = plain("mp4", 0)(path.with_suffix(".mp4"))
    stream = path.with_suffix(".ts")
    x264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-r", str(RATE), "-g", str(RATE))
    argv = [str(find_tools().ffmpeg), "-v", "error", "-i", str(film), *x264, "-c:a", "aac", str(stream)]
    subprocess.run(argv, check=True)
    drop_times(stream)
    return stream


@pytest.mark.parametrize(
    ("make", "first"),
    [
        pytest.param(plain("mp4", 0), 0, id="priming and an edit list"),
        pytest.param(plain("mpegts", 7), 0, id="a clock that starts at seven seconds"),
        pytest.param(plain("mpegts", 3, b_frames=3, open_gop=True), 0, id="open GOPs"),
        pytest.param(plain("matroska", 0, times=uneven(Fraction(0))), 0, id="a rate that varies"),
        pytest.param(cut_by_an_edit_list, CUT_OFF, id="pictures before the start"),
        pytest.param(without_most_times, 0, id="most pictures without a time"),
    ],
)
def test_skew_is_at_most_an_aac_frame(make: Callable[[Path], Path], first: Fraction, tmp_path: Path) -> None:
    """``first``: seconds of pictures that the film has before its time zero."""
    video, asset = through_the_pipeline(make(tmp_path / "film"), tmp_path, find_tools())
    assert video.state is VideoState.READY
    numbers, heard = seen_and_heard(tmp_path / "site", asset)
    rate = asset.plan.ladder.frame_rate if asset.plan else Fraction(RATE)
    skews = {
        second: beep_near(heard, second) - round(numbers.index((second + first) * RATE) * AUDIO_RATE_HZ / rate)
        for second in (1, SECONDS // 2, SECONDS - 1)
    }
    # Pictures stand on the grid of frames: at worst half of one from their time.
    grid = 0 if asset.source and asset.source.video and asset.source.video.steady else AUDIO_RATE_HZ / rate / 2
    assert all(abs(skew) <= AAC_FRAME_SAMPLES + grid for skew in skews.values()), skews


@pytest.mark.parametrize(("container", "start", "pictures"), [("mpegts", 3, 2 * RATE), ("matroska", 0, 1)])
def test_sound_that_goes_on_after_the_last_picture_is_heard_to_its_end(
    container: str, start: int, pictures: int, tmp_path: Path
) -> None:
    film = plain(container, start, times=steady(Fraction(start))[:pictures])(tmp_path / "film")
    video, asset = through_the_pipeline(film, tmp_path, find_tools())
    assert (video.state, [note.code for note in video.notes]) == (VideoState.READY, ["picture_ends_early"])
    numbers, heard = seen_and_heard(tmp_path / "site", asset)
    assert sorted(set(numbers)) == list(range(pictures))
    assert asset.plan is not None
    assert len(numbers) / asset.plan.ladder.frame_rate >= SECONDS
    late = [beep_near(heard, second) - second * AUDIO_RATE_HZ for second in range(1, SECONDS)]
    assert all(abs(each) <= 2 * AAC_FRAME_SAMPLES for each in late), late


def seen_and_heard(site: Path, asset: Asset) -> tuple[list[int], array[float]]:
    picture, loud = (
        next(each.name for each in asset.renditions if (each.rung is None) is of_sound) for of_sound in (False, True)
    )
    return numbers_shown(joined(site / picture)), samples_heard(joined(site / loud))


def joined(rendition: Path) -> bytes:
    """A rendition as a player puts it together; its first sample is shown at zero."""
    segments = sorted(rendition.glob("*.m4s"), key=lambda path: int(path.name.partition("-")[0]))
    return b"".join(path.read_bytes() for path in (*rendition.glob("init-*.mp4"), *segments))


def beep_near(heard: array[float], second: int) -> int:
    """The sample at which the beep of ``second`` begins."""
    first = (second * 2 - 1) * AUDIO_RATE_HZ // 2
    return next(at for at in range(first, first + AUDIO_RATE_HZ) if abs(heard[at]) > 0.3)
