"""Mutated media files through the whole pipeline: none hangs, none kills a worker, each ends ready or rejected. Short ones are
read whole, longer ones in parts and as streams, as large files are.

A short run by default, one of each kind. ``make fuzz`` sets ``LADDER_TEST_FUZZ`` (how many files), ``LADDER_TEST_FUZZ_FROM`` (the number of the
first, to go on where a run ended) and ``LADDER_TEST_FUZZ_SEED``.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Video
from storage.catalogue.sql import SqlCatalogue
from storage.lifecycle import VideoState
from tests.large import as_if_large
from tests.mutations import mutated
from tests.pipeline import through_the_pipeline, through_the_pipeline_of
from workers.ffmpeg.process import Tools, find_tools
from workers.planning.policy import FAST_POLICY

pytestmark = pytest.mark.integration

COUNT = int(os.environ.get("LADDER_TEST_FUZZ", "0"))
FIRST = int(os.environ.get("LADDER_TEST_FUZZ_FROM", "0"))
SEED = int(os.environ.get("LADDER_TEST_FUZZ_SEED", "1"))

PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=12:duration=1")
SOUND = ("-f", "lavfi", "-i", "sine=duration=1")
LONG_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=5:duration=40")
LONG_SOUND = ("-f", "lavfi", "-i", "sine=duration=40")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "6")
PAL = ("-s", "720x576", "-r", "25", "-c:v", "mpeg2video", "-q:v", "20")
SEEDS: dict[str, tuple[str, ...]] = {
    "film.mp4": (*PICTURE, *SOUND, *X264, "-c:a", "aac"),
    "fragments.mp4": (*PICTURE, *SOUND, *X264, "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"),
    "film.mkv": (*PICTURE, *SOUND, *X264, "-c:a", "ac3"),
    "film.webm": (*PICTURE, *SOUND, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
    "film.ts": (*PICTURE, *SOUND, "-c:v", "mpeg2video", "-c:a", "mp2"),
    "film.mpg": (*PICTURE, *SOUND, "-r", "25", "-c:v", "mpeg2video", "-c:a", "mp2", "-f", "vob"),
    "film.avi": (*PICTURE, *SOUND, "-c:v", "mpeg4", "-c:a", "mp3"),
    "film.wmv": (*PICTURE, *SOUND, "-c:v", "wmv2", "-c:a", "wmav2"),
    "film.ogv": (*PICTURE, *SOUND, "-c:v", "libtheora", "-c:a", "libvorbis"),
    "film.mxf": (*PICTURE, *SOUND, *PAL, "-c:a", "pcm_s16le", "-ar", "48000"),
    "film.3gp": (*PICTURE, *SOUND, "-s", "176x144", "-c:v", "h263", "-c:a", "aac"),
    "film.flv": (*PICTURE, "-c:v", "flv"),
    "film.gif": PICTURE,
    "sound.m4a": (*SOUND, "-c:a", "aac"),
    "sound.mp3": (*SOUND, "-c:a", "mp3"),
    "sound.flac": (*SOUND, "-c:a", "flac"),
    "sound.wav": SOUND,
}
LONG_SEEDS: dict[str, tuple[str, ...]] = {
    "film.mp4": (*LONG_PICTURE, *LONG_SOUND, *X264, "-c:a", "aac"),
    "fragments.mp4": (*LONG_PICTURE, *LONG_SOUND, *X264, "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"),
    "film.mkv": (*LONG_PICTURE, *LONG_SOUND, *X264, "-c:a", "ac3"),
    "live.mkv": (*LONG_PICTURE, *LONG_SOUND, *X264, "-c:a", "aac", "-f", "matroska", "-live", "1"),
    "film.ts": (*LONG_PICTURE, *LONG_SOUND, *X264, "-c:a", "aac"),
    "film.mpg": (*LONG_PICTURE, *LONG_SOUND, "-r", "25", "-c:v", "mpeg2video", "-c:a", "mp2", "-f", "vob"),
    "film.avi": (*LONG_PICTURE, *LONG_SOUND, "-c:v", "mpeg4", "-c:a", "mp3"),
    "film.wmv": (*LONG_PICTURE, *LONG_SOUND, "-c:v", "wmv2", "-c:a", "wmav2"),
    "film.ogv": (*LONG_PICTURE, *LONG_SOUND, "-c:v", "libtheora", "-c:a", "libvorbis"),
    "film.mxf": (*LONG_PICTURE, *LONG_SOUND, "-r", "25", "-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-ar", "48000"),
    "film.flv": (*LONG_PICTURE, *LONG_SOUND, *X264, "-c:a", "aac"),
    "sound.mp3": (*LONG_SOUND, "-c:a", "mp3"),
    "sound.aac": (*LONG_SOUND, "-c:a", "aac"),
    "sound.flac": (*LONG_SOUND, "-c:a", "flac"),
    "sound.wav": LONG_SOUND,
}


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture(scope="module")
def seeds(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written(SEEDS, tools, tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def long_seeds(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written(LONG_SEEDS, tools, tmp_path_factory.mktemp("long_seeds"))


def written(seeds: Mapping[str, tuple[str, ...]], tools: Tools, folder: Path) -> list[Path]:
    for name, argv in seeds.items():
        subprocess.run([str(tools.ffmpeg), "-v", "error", "-bitexact", *argv, str(folder / name)], check=True)
    return [folder / name for name in seeds]


def numbers(seeds: Mapping[str, tuple[str, ...]], failed_once: tuple[int, ...]) -> list[int]:
    """The short run has those too that ``failed_once``."""
    return [*range(FIRST, FIRST + (COUNT or len(seeds))), *(() if COUNT else failed_once)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", numbers(SEEDS, (314, 3341)))
def test_a_mutated_file_ends_ready_or_rejected(number: int, seeds: list[Path], tools: Tools, tmp_path: Path) -> None:
    file = a_file(number, seeds, tmp_path)
    video, _ = through_the_pipeline(file, tmp_path, tools)
    settled(video, file)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", numbers(LONG_SEEDS, (3046, 3166)))
def test_a_mutated_file_that_is_read_in_parts_ends_ready_or_rejected(
    number: int, long_seeds: list[Path], tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = a_file(number, long_seeds, tmp_path)
    as_if_large(file.stat().st_size, monkeypatch)
    catalogue = SqlCatalogue.in_memory()
    video, _ = through_the_pipeline_of(catalogue, file, tmp_path, tools, FAST_POLICY, blobs=MemoryBlobs())
    settled(video, file)


def a_file(number: int, seeds: list[Path], folder: Path) -> Path:
    """Each file has a chance of its own, so that number 1,234 alone is number 1,234 of all."""
    seed = seeds[number % len(seeds)]
    file = folder / seed.name
    file.write_bytes(mutated(seed.read_bytes(), random.Random(f"{SEED}/{number}")))
    return file


def settled(video: Video, file: Path) -> None:
    assert video.state in (VideoState.READY, VideoState.REJECTED), (str(file), video.reason_code, video.reason)
    if video.state is VideoState.REJECTED:
        assert video.reason_code
        assert video.reason is not None
        assert video.reason.endswith(".")
