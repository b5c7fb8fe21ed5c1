"""What chunks of pictures read of long films whose container does not tell us where they lie.

    python -m tests.bench.chunk_reads [--minutes 60] [--containers mpegts avi …]

Films are those of `tests.bench.sound_reads`. The chunk in the middle, a minute long, is encoded by a machine that has nothing of
the film; all other chunks are rehearsed there one after the other, as encoding reads no more than that. ``all / film`` above 1:
how much came twice, or all of the film after all.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

from storage.blobs.local import LocalBlobs
from storage.jobs import JobKind
from tests.bench.sound_reads import FILMS, Away, film
from tests.bench.tables import render_table
from tests.steps import Worktable, a_small_plan
from workers.ffmpeg.command import default_lead, video_track
from workers.ffmpeg.process import find_tools
from workers.planning.reads import chunk_reads
from workers.sources import SourceCache
from workers.steps.context import StepContext
from workers.steps.encode import encode
from workers.steps.inspect import inspect_file
from workers.steps.rehearsing import rehearsed

SEGMENTS_OF_A_CHUNK = 15  # a minute of segments of 4 s
INDEXED_FLV = "flv, indexed"
CONTAINERS = [*FILMS, INDEXED_FLV]


def measured(container: str, minutes: int, folder: Path) -> list[str]:
    options = ["-flvflags", "add_keyframe_index"] if container == INDEXED_FLV else []
    path = film(folder, container.partition(",")[0], minutes, *options)
    tools = find_tools()
    source = inspect_file(path, tools=tools, scratch=folder)
    plan = a_small_plan(source, gop_frames=48, segments_per_chunk=SEGMENTS_OF_A_CHUNK)
    blobs = Away(LocalBlobs(folder / "store"))
    blobs.put_file("sources/film", path)
    cache = SourceCache(blobs, folder / "cache", 10**12)  # type: ignore[arg-type] - as much of a store as it asks for
    (folder / "jobs").mkdir()
    table = Worktable(path=path, source=source, plan=plan, tools=tools, scratch=folder / "jobs")

    def context(number: int) -> StepContext:
        return dataclasses.replace(
            table.context(JobKind.ENCODE, chunk=number, rungs=["96p"]),
            source=lambda: cache.fetch("sources/film").path,
            part=lambda reads: cache.fetch_part("sources/film", reads),
            rehearsal=lambda reads, share: cache.rehearsal("sources/film", reads, share, lambda size: None),
        )

    middle = len(plan.chunks) // 2
    encode(context(middle))
    read, took = [blobs.read_bytes], []
    for chunk in (chunk for chunk in plan.chunks if chunk.index != middle):
        before, began = blobs.read_bytes, time.monotonic()
        job = context(chunk.index)
        reads = chunk_reads(
            source, video_track(source), plan, chunk, min(chunk.frames.start, default_lead(source, plan))
        )
        if rehearsed(job, reads) is None:
            job.reading(reads)
        read.append(blobs.read_bytes - before)
        took.append(time.monotonic() - began)
    size = path.stat().st_size
    return [
        container,
        f"{size / 1e6:.0f} MB",
        str(len(read)),
        f"{read[0] / 1e6:.1f} MB",
        f"{sorted(read)[len(read) // 2] / 1e6:.1f} MB",
        f"{sum(read) / size:.2f}",
        f"{sorted(took)[len(took) // 2]:.1f} s",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--containers", nargs="*", choices=CONTAINERS, default=CONTAINERS)
    asked = parser.parse_args()
    rows = []
    for container in asked.containers:
        with tempfile.TemporaryDirectory(prefix="fishladder-chunks-") as folder:
            rows.append(measured(container, asked.minutes, Path(folder)))
            print(rows[-1], flush=True)
    print(render_table(["container", "film", "chunks", "middle", "median", "all / film", "wall of a rehearsal"], rows))


if __name__ == "__main__":
    main()
