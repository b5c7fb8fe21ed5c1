"""One stack for all walks: it signs, fetches, lets films be kept, and its parts may be killed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import NODE_MODULES
from tests.e2e.journeys.walking import FinishedFilm
from tests.e2e.stack import RunningStack, running_stack
from tests.shared import shared_folder

KEYS = "k1:00112233445566778899aabbccddeeff"
LARGEST_BYTES = 64_000_000


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    env = {
        "FISHLADDER_WEB_LIBRARIES": str(NODE_MODULES),
        "FISHLADDER_PLAYBACK_KEYS": KEYS,
        "FISHLADDER_IMPORT_NETWORKS": "127.0.0.0/8",
        "FISHLADDER_DOWNLOADS": "open",
        "FISHLADDER_MAX_UPLOAD_BYTES": str(LARGEST_BYTES),
    }
    with running_stack(tmp_path_factory.mktemp("house"), store="local", workers=1, env=env) as running:
        yield running


@pytest.fixture(scope="session")
def reel(ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _reel(ffmpeg, tmp_path_factory.mktemp("reel"), height=720, preset="veryfast")


@pytest.fixture(scope="session")
def finished(house: RunningStack, ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedFilm:
    """The reel in 480p: it is ready sooner."""
    return FinishedFilm(house, _reel(ffmpeg, tmp_path_factory.mktemp("finished"), height=480, preset="ultrafast"))


def _reel(ffmpeg: Path, folder: Path, *, height: int, preset: str) -> Path:
    """A film worth a picture: shared media where it is there, else a fractal; 18 seconds, sound in two languages."""
    target = folder / "Big Buck Bunny.mp4"
    shared = shared_folder()
    found = shared / "media" / "bbb_1080p24_h264_aac51_30s.mp4" if shared else None
    if found is not None and found.exists():
        source = f"-ss 5 -i {found} -map 0:v:0 -map 0:a:0 -map 0:a:0"
    else:
        made = "-f lavfi -i mandelbrot=size=1280x720:rate=24 -f lavfi -i sine=frequency=330"
        source = f"{made} -map 0:v:0 -map 1:a:0 -map 1:a:0"
    languages = "-metadata:s:a:0 language=eng -metadata:s:a:1 language=deu"
    encoding = f"-vf scale=-2:{height} -c:v libx264 -preset {preset} -crf 25 -pix_fmt yuv420p -c:a aac -ac 2"
    argv = f"-nostdin -loglevel error -y {source} -t 18 {encoding} {languages} -movflags +faststart".split()
    subprocess.run([str(ffmpeg), *argv, str(target)], check=True)
    return target
