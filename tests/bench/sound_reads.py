"""What pieces of sound read of long films whose container has no index before them.

    python -m tests.bench.sound_reads [--minutes 60] [--containers mpegts avi …]

Films are half a minute of test pictures, copied end to end. Every piece is made by an own process' worth of cache: one
machine, so what opening takes is read once. Memory is that of this process, which answers the tool.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import tempfile
import time
from pathlib import Path

from storage.blobs.local import LocalBlobs
from storage.jobs import JobKind
from tests.bench.films import ffmpeg
from tests.bench.tables import render_table
from tests.steps import Worktable, a_small_plan
from workers.ffmpeg.process import find_tools
from workers.sources import SourceCache
from workers.steps.audio import audio
from workers.steps.inspect import inspect_file

SHORT_S = 30
SEGMENTS_OF_A_PIECE = 75  # five minutes of segments of 4 s
PICTURES = ["-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "4M", "-g", "48"]
FILMS = {
    "mpegts": ["-c:v", "mpeg2video", "-c:a", "aac"],
    "vob": ["-c:v", "mpeg2video", "-c:a", "ac3"],
    "avi": ["-c:v", "mpeg4", "-c:a", "libmp3lame"],
    "asf": ["-c:v", "msmpeg4v2", "-c:a", "wmav2"],
    "mxf": ["-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-ar", "48000"],
    "flv": ["-c:v", "flv", "-c:a", "aac"],
    "matroska": ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"],
}


class Away:
    """A store whose objects are files, but not for us."""

    def __init__(self, files: LocalBlobs) -> None:
        self._files = files
        self.head, self.put_file = files.head, files.put_file
        self.read_bytes = 0

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        data = self._files.get_range(key, start, stop)
        self.read_bytes += len(data)
        return data

    def download(self, key: str, path: Path) -> None:
        self.read_bytes += self._files.head(key).size_bytes
        self._files.download(key, path)


def film(folder: Path, muxer: str, minutes: int, *options: str) -> Path:
    """A film that ``muxer`` wrote with ``options``."""
    once, target = folder / f"once.{muxer}.mkv", folder / f"film.{muxer}"
    sizes = "352x288"
    made = ["-f", "lavfi", "-i", f"testsrc2=size={sizes}:rate=24:duration={SHORT_S}"]
    made += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={SHORT_S}"]
    ffmpeg(*made, *PICTURES, "-pix_fmt", "yuv420p", *FILMS[muxer], "-ac", "2", str(once))
    loops = ["-stream_loop", str(minutes * 60 // SHORT_S - 1), "-i", str(once)]
    options = ("-live", "1") if muxer == "matroska" else options
    ffmpeg(*loops, "-c", "copy", *options, "-f", muxer, str(target))
    once.unlink()
    return target


def measured(muxer: str, minutes: int, folder: Path) -> list[str]:
    path = film(folder, muxer, minutes)
    tools = find_tools()
    source = inspect_file(path, tools=tools, scratch=folder)
    plan = a_small_plan(source, gop_frames=48, segments_per_chunk=1, piece_segments=SEGMENTS_OF_A_PIECE)
    blobs = Away(LocalBlobs(folder / "store"))
    blobs.put_file("sources/film", path)
    cache = SourceCache(blobs, folder / "cache", 10**12)  # type: ignore[arg-type] - as much of a store as it asks for
    (folder / "jobs").mkdir()
    table = Worktable(path=path, source=source, plan=plan, tools=tools, scratch=folder / "jobs")
    read, took = [], []
    for piece in plan.audio_pieces:
        before, began = blobs.read_bytes, time.monotonic()
        context = table.context(JobKind.AUDIO, rendition=plan.audio[0].name, piece=piece.index)
        audio(
            dataclasses.replace(
                context,
                source=lambda: cache.fetch("sources/film").path,
                part=lambda reads: cache.fetch_part("sources/film", reads),
                stream=lambda reads: cache.stream("sources/film", reads, lambda size: None),
            )
        )
        read.append(blobs.read_bytes - before)
        took.append(time.monotonic() - began)
    size = path.stat().st_size
    on_disk = sum(each.stat().st_blocks * 512 for each in (folder / "cache").iterdir())
    return [
        muxer,
        f"{size / 1e6:.0f} MB",
        str(len(read)),
        f"{read[0] / 1e6:.1f} MB",
        f"{read[len(read) // 2] / 1e6:.1f} MB",
        f"{sum(read) / size:.2f}",
        f"{on_disk / 1e6:.1f} MB",
        f"{took[len(took) // 2]:.1f} s",
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--containers", nargs="*", choices=FILMS, default=list(FILMS))
    asked = parser.parse_args()
    rows = []
    for muxer in asked.containers:
        with tempfile.TemporaryDirectory(prefix="fishladder-sound-") as folder:
            rows.append(measured(muxer, asked.minutes, Path(folder)))
            print(rows[-1], flush=True)
    head = ["container", "film", "pieces", "first", "middle", "all / film", "on disk", "wall of it", "memory so far"]
    print(render_table(head, rows))


if __name__ == "__main__":
    main()
