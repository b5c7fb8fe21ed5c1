"""Mutated media files through the whole pipeline: none hangs, none kills a worker, each ends ready or rejected.

A short run by default, one of each kind. ``make fuzz`` sets ``LADDER_TEST_FUZZ`` (how many files), ``LADDER_TEST_FUZZ_FROM`` (the number of the
first, to go on where a run ended) and ``LADDER_TEST_FUZZ_SEED``.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.lifecycle import VideoState
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.process import Tools, find_tools

pytestmark = pytest.mark.integration

COUNT = int(os.environ.get("LADDER_TEST_FUZZ", "10"))
FIRST = int(os.environ.get("LADDER_TEST_FUZZ_FROM", "0"))
SEED = int(os.environ.get("LADDER_TEST_FUZZ_SEED", "1"))

PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=12:duration=1")
SOUND = ("-f", "lavfi", "-i", "sine=duration=1")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "6")
SEEDS: dict[str, tuple[str, ...]] = {
    "film.mp4": (*PICTURE, *SOUND, *X264, "-c:a", "aac"),
    "fragments.mp4": (*PICTURE, *SOUND, *X264, "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"),
    "film.mkv": (*PICTURE, *SOUND, *X264, "-c:a", "ac3"),
    "film.webm": (*PICTURE, *SOUND, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
    "film.ts": (*PICTURE, *SOUND, "-c:v", "mpeg2video", "-c:a", "mp2"),
    "film.avi": (*PICTURE, *SOUND, "-c:v", "mpeg4", "-c:a", "mp3"),
    "film.flv": (*PICTURE, "-c:v", "flv"),
    "film.gif": PICTURE,
    "sound.m4a": (*SOUND, "-c:a", "aac"),
    "sound.mp3": (*SOUND, "-c:a", "mp3"),
}

EXTREMES = (
    b"\x00" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x00\x00\x00\x01",
    b"\xff\xff\xff\x7f",
)


def flipped(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 64)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def with_extremes(data: bytearray, chance: random.Random) -> None:
    """Sizes, counts and offsets as nobody writes them; most of them stand near the start or the end."""
    for _ in range(chance.randint(1, 8)):
        near = chance.choice((min(len(data), 2000), len(data)))
        at = chance.choice((0, len(data) - near)) + chance.randrange(near)
        data[at : at + 4] = chance.choice(EXTREMES)


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(1, len(data)) :]


def with_noise(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at : at + 200] = chance.randbytes(chance.randint(1, 400))


def with_parts_moved(data: bytearray, chance: random.Random) -> None:
    start, length, to = chance.randrange(len(data)), chance.randint(1, 1000), chance.randrange(len(data))
    data[to:to] = data[start : start + length]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flipped, with_extremes, cut, with_noise, with_parts_moved,
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        if changed:
            chance.choice(MUTATIONS)(changed, chance)
    return bytes(changed)


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture(scope="module")
def seeds(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("seeds")
    for name, argv in SEEDS.items():
        subprocess.run([str(tools.ffmpeg), "-v", "error", "-bitexact", *argv, str(folder / name)], check=True)
    return [folder / name for name in SEEDS]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", range(FIRST, FIRST + COUNT))
def test_a_mutated_file_ends_ready_or_rejected(number: int, seeds: list[Path], tools: Tools, tmp_path: Path) -> None:
    # Each file has a chance of its own, so that number 1,234 alone is number 1,234 of all.
    chance = random.Random(f"{SEED}/{number}")
    seed = seeds[number % len(seeds)]
    file = tmp_path / seed.name
    file.write_bytes(mutated(seed.read_bytes(), chance))
    video, _ = through_the_pipeline(file, tmp_path, tools)
    assert video.state in (VideoState.READY, VideoState.REJECTED), (str(file), video.reason_code, video.reason)
    if video.state is VideoState.REJECTED:
        assert video.reason_code
        assert video.reason is not None
        assert video.reason.endswith(".")
