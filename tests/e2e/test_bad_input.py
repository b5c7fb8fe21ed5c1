"""Bad input: each works or is refused with a code and a sentence; nothing stays stuck, and the service goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.film import make_film
from tests.e2e.published import until_settled
from tests.e2e.stack import RunningStack

pytestmark = pytest.mark.e2e


def lavfi(ffmpeg: Path, target: Path, *args: str) -> Path:
    subprocess.run([str(ffmpeg), "-nostdin", "-loglevel", "error", "-y", *args, str(target)], check=True)
    return target


def truncated(ffmpeg: Path, folder: Path) -> Path:
    whole = lavfi(ffmpeg, folder / "whole.mp4", "-f", "lavfi", "-i", "testsrc2=duration=3", "-pix_fmt", "yuv420p")
    target = folder / "truncated.mp4"
    target.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])  # the index at the end is gone
    return target


def text(_: Path, folder: Path) -> Path:
    target = folder / "text.mp4"
    target.write_text("This is not a video at all.\n" * 50)
    return target


REFUSED: dict[str, Callable[[Path, Path], Path]] = {"text renamed .mp4": text, "truncated": truncated}

TAKEN: dict[str, tuple[str, ...]] = {
    "video without audio": ("-f", "lavfi", "-i", "testsrc2=size=320x180:duration=2", "-pix_fmt", "yuv420p"),
    "odd sizes": (
        "-f", "lavfi", "-i", "testsrc2=size=322x182:duration=2", "-vf", "crop=321:181:0:0:exact=1",
        "-c:v", "libx264", "-pix_fmt", "yuv444p",
    ),
    "portrait": ("-f", "lavfi", "-i", "testsrc2=size=360x640:duration=2", "-pix_fmt", "yuv420p"),
    "one picture": ("-f", "lavfi", "-i", "testsrc2=size=320x180:duration=1", "-frames:v", "1", "-pix_fmt", "yuv420p"),
}  # fmt: skip


def upload(stack: RunningStack, file: Path) -> dict[str, object]:
    return until_settled(stack.api, stack.upload(file, title=file.stem))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_video_is_refused_with_a_code_and_a_sentence(
    name: str, stack: RunningStack, ffmpeg: Path, tmp_path: Path
) -> None:
    facts = upload(stack, REFUSED[name](ffmpeg, tmp_path))
    assert facts["state"] == "rejected", facts
    assert facts["reason_code"]
    assert str(facts["reason"]).endswith(".")


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_odd_but_video_becomes_ready(name: str, stack: RunningStack, ffmpeg: Path, tmp_path: Path) -> None:
    facts = upload(stack, lavfi(ffmpeg, tmp_path / "odd.mp4", *TAKEN[name]))
    assert facts["state"] == "ready", facts


def test_a_good_film_is_still_taken_after_all_that(stack: RunningStack, ffmpeg: Path, tmp_path: Path) -> None:
    film = make_film(ffmpeg, tmp_path / "good.mp4", seconds=1, size="320x180")
    assert upload(stack, film)["state"] == "ready"
