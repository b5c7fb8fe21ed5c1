"""`fishladder encode`: the whole pipeline in one process, as a person runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workers.ffmpeg.process import find_tools

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def fishladder(*argv: str) -> subprocess.CompletedProcess[str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("FISHLADDER_")}
    return subprocess.run(
        [sys.executable, "-m", "infra", *argv],
        cwd=ROOT,
        env=ours,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of test picture and tone."""
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    argv = [str(find_tools().ffmpeg), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=6"]
    argv += ["-f", "lavfi", "-i", "sine=duration=6", "-preset", "ultrafast", str(file)]
    subprocess.run(argv, check=True)
    return file


@pytest.mark.timeout(180)
def test_a_folder_comes_out_that_names_only_what_is_in_it(film: Path, tmp_path: Path) -> None:
    done = fishladder("encode", str(film), str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"HLS:   {tmp_path}/out/master.m3u8\nDASH:  {tmp_path}/out/manifest.mpd\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")) == []
    playlists = list((tmp_path / "out").rglob("*.m3u8"))
    assert len(playlists) > 2
    for playlist in playlists:
        text = playlist.read_text()
        named = re.findall(r'URI="([^"]+)"', text) + [line for line in text.splitlines() if line and line[0] != "#"]
        assert named
        for name in named:
            assert (playlist.parent / name).is_file(), f"{playlist.name} names {name}"

    again = fishladder("encode", str(film), str(tmp_path / "out"))
    assert again.returncode == 1
    assert "is not empty" in again.stderr


def test_a_file_that_is_no_video_is_refused_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam, " * 100)
    done = fishladder("encode", str(tmp_path / "letter.mp4"), str(tmp_path / "out"))
    assert done.returncode == 1
    assert "This is not a video" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_inspect_and_plan_tell_what_is_and_what_would_be(film: Path) -> None:
    assert "640x360, 25 fps, 150 frames" in fishladder("inspect", str(film)).stdout
    assert "150 frames at 25 fps, 2 segments of 4 s" in fishladder("plan", str(film)).stdout
    assert '"total_frames": 150' in fishladder("plan", "--json", str(film)).stdout
