"""The film that end-to-end tests upload: synthesised, with the frame number readable to the eye and a tone."""

from __future__ import annotations

import subprocess
from pathlib import Path

FILM_FPS = 24
FILM_SECONDS = 15.0
FILM_FRAMES = int(FILM_FPS * FILM_SECONDS)
"""Long enough for several chunks (1, 2, then 1 segments of 4 s), short enough to be watched in a test."""


def make_film(
    ffmpeg: Path, target: Path, *, seconds: float = FILM_SECONDS, size: str = "854x480", pictures: str = "testsrc2"
) -> Path:
    """H.264 with B-frames and AAC in an MP4 whose index comes first. ``pictures``: one of ffmpeg's sources of them."""
    subprocess.run(
        [
            str(ffmpeg), "-nostdin", "-loglevel", "error", "-y",
            "-f", "lavfi", "-i", f"{pictures}=size={size}:rate={FILM_FPS}:duration={seconds}",
            "-f", "lavfi", "-i", f"sine=frequency=440:beep_factor=4:sample_rate=48000:duration={seconds}",
            "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "100", "-pix_fmt", "yuv420p",
            "-c:a", "aac", "-b:a", "96k", "-movflags", "+faststart", str(target),
        ],
        check=True,
    )  # fmt: skip
    return target
