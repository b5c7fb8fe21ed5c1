"""What files of sound alone cost before they play, and after: bytes of the store, and time.

    python -m tests.bench.bare_sound [--minutes 120] [--kinds wav mp3 …]

Sound is two minutes of a glide and noise, over and over. One machine that has nothing of a file yet inspects it, makes the first
piece, the one in the middle and the last. Memory is that of this process, which reads the store.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from storage.blobs.local import LocalBlobs
from storage.jobs import JobKind
from tests.bench.films import ffmpeg
from tests.bench.sound_reads import Away
from tests.bench.tables import render_table
from tests.builders import a_source, an_encode_plan
from tests.steps import Worktable
from workers.ffmpeg.process import find_tools
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import DEFAULT_POLICY
from workers.sources import SourceCache
from workers.steps.audio import audio
from workers.steps.context import StepContext
from workers.steps.inspect import inspect

LOOP_S = 120
SOUND = "aevalsrc=0.3*sin(2*PI*(200*t+15*t*t))+0.2*random(0)|0.3*sin(2*PI*300*t):s=44100"
QUICKLY = ["-compression_level", "9"]
KINDS = {
    "wav": ["-f", "wav", "-c:a", "copy"],
    "flac": ["-f", "flac"],
    "mp3, one rate": ["-f", "mp3", *QUICKLY, "-b:a", "128k", "-write_xing", "0"],
    "mp3, varied, tagged": ["-f", "mp3", *QUICKLY, "-q:a", "4"],
    "mp3, varied": ["-f", "mp3", *QUICKLY, "-q:a", "4", "-write_xing", "0"],
    "aac": ["-f", "adts", "-c:a", "aac", "-aac_coder", "fast", "-b:a", "128k"],
}


def measured(kind: str, original: Path, minutes: int, folder: Path) -> list[str]:
    path = folder / "film"
    ffmpeg("-stream_loop", str(minutes * 60 // LOOP_S - 1), "-i", str(original), *KINDS[kind], str(path))
    blobs = Away(LocalBlobs(folder / "store"))
    blobs.put_file("sources/film", path)
    cache = SourceCache(blobs, folder / "cache", 10**12)  # type: ignore[arg-type] - as much of a store as it asks for
    (folder / "jobs").mkdir()
    table = Worktable(path=path, source=a_source(), plan=an_encode_plan(), tools=find_tools(), scratch=folder / "jobs")

    def on_machine(context: StepContext) -> StepContext:
        return dataclasses.replace(
            context,
            source=lambda: cache.fetch("sources/film").path,
            part=lambda reads: cache.fetch_part("sources/film", reads),
            stream=lambda reads: cache.stream("sources/film", reads, lambda size: None),
        )

    def cost(work: Callable[[], object]) -> str:
        before, began = blobs.read_bytes, time.monotonic()
        work()
        return f"{(blobs.read_bytes - before) / 1e6:.1f} MB, {time.monotonic() - began:.1f} s"

    costs = [cost(lambda: inspect(on_machine(table.context(JobKind.INSPECT))))]
    source = inspect(on_machine(table.context(JobKind.INSPECT))).source
    plan = plan_encode(source, DEFAULT_POLICY)
    table = dataclasses.replace(table, source=source, plan=plan)
    for piece in (0, len(plan.audio_pieces) // 2, len(plan.audio_pieces) - 1):
        context = on_machine(table.context(JobKind.AUDIO, rendition=plan.audio[0].name, piece=piece))
        costs.append(cost(lambda context=context: audio(context)))  # type: ignore[misc]
    on_disk = sum(each.stat().st_blocks * 512 for each in (folder / "cache").iterdir())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = path.stat().st_size
    return [kind, f"{size / 1e6:.0f} MB", *costs, f"{on_disk / 1e6:.1f} MB", f"{memory:.0f} MiB"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="fishladder-sound-") as original:
        once = Path(original) / "once.wav"
        ffmpeg("-f", "lavfi", "-i", f"{SOUND}:d={LOOP_S}", str(once))
        for kind in asked.kinds:
            with tempfile.TemporaryDirectory(prefix="fishladder-sound-") as folder:
                rows.append(measured(kind, once, asked.minutes, Path(folder)))
                print(rows[-1], flush=True)
    head = ["file", "size", "inspection", "first piece", "one in the middle", "the last", "on disk", "memory so far"]
    print(render_table(head, rows))


if __name__ == "__main__":
    main()
