"""How work spreads over many workers, without having them: a seeded discrete-event simulation.

    python -m tests.bench.simulate [--hours 12] [--height 2160] [--seed 1]

The jobs are the real ones: `plan_encode` and `plan_jobs` make them, and workers claim them in the order of the queue, the
most urgent lane first. What a job costs is its own estimate times what a real job of its kind took against its estimate,
drawn from those that `tests.bench.costs` measured, plus what is spent around a tool (``AROUND_S``). Every commit asks for a
publication unless one waits. A worker is one slot with a core of its own.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from storage.jobs import LANES_BY_URGENCY, JobKind, Lane, NewJob
from storage.media.source import AudioTrack, Source, VideoTrack
from tests.bench.costs import measured_ratios
from tests.bench.tables import render_table
from tests.fair_simulation import makes_playable
from workers.flow import plan_jobs
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import DEFAULT_POLICY

AROUND_S = 0.25
"""Claim, start of tools, fetching a part of the source, storing segments and the commit, seen on the embedded stack."""
MEASURED = (JobKind.ENCODE, JobKind.AUDIO)
"""What thumbnails cost a short film says nothing of a long one."""
INSPECT_S = 0.8
PUBLISH_S = 0.06
PUBLISH_S_PER_1000_SEGMENTS = 0.05
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    workers: int
    playable_s: float
    ready_s: float
    efficiency: float
    """Work done over core time spent waiting for it to be done."""


@dataclass(frozen=True, slots=True, order=True)
class _Task:
    urgency: int
    order: int
    number: int
    kind: JobKind
    cost_s: float
    fast: bool


def a_film(hours: float, height: int, fps: Fraction = Fraction(24)) -> Source:
    duration = Fraction(round(hours * 3600))
    width = height * 16 // 9
    return Source(
        demuxer="mov",
        size_bytes=1,
        duration=duration,
        start=Fraction(0),
        video=VideoTrack(index=0, codec="h264", width=width, height=height, frame_rate=fps, duration=duration),
        audio=(AudioTrack(index=1, codec="aac", sample_rate_hz=48_000, channels=2, default=True, duration=duration),),
    )


def simulate(jobs: Sequence[NewJob], workers: int, *, seed: int, segments: int) -> Outcome:
    """One film on ``workers`` idle workers, from the end of its upload."""
    chance, ratios = random.Random(seed), measured_ratios()
    tasks = [
        _task(number, job, chance.choice(ratios[job.kind]) if job.kind in MEASURED else 1.0)
        for number, job in enumerate(jobs)
    ]
    work_s = sum(task.cost_s for task in tasks)
    heapq.heapify(tasks)
    now, playable_s, done_segments = INSPECT_S, 0.0, 0.0
    fast_left = sum(task.fast for task in tasks)
    running: list[tuple[float, int, _Task]] = []
    idle, publish_waits, serial = workers, False, 0
    while tasks or running:
        while idle and tasks:
            task = heapq.heappop(tasks)
            if task.kind is JobKind.PUBLISH:
                publish_waits = False
            serial += 1
            heapq.heappush(running, (now + task.cost_s + AROUND_S, serial, task))
            idle -= 1
        now, _, task = heapq.heappop(running)
        idle += 1
        if task.kind is JobKind.PUBLISH:
            if not fast_left and not playable_s:
                playable_s = now
            continue
        fast_left -= task.fast
        done_segments += segments / len(jobs)
        if not publish_waits:
            cost = PUBLISH_S + PUBLISH_S_PER_1000_SEGMENTS * done_segments / 1000
            heapq.heappush(tasks, _Task(0, -1, serial, JobKind.PUBLISH, cost, fast=False))
            publish_waits = True
    return Outcome(
        workers=workers,
        playable_s=playable_s,
        ready_s=now,
        efficiency=work_s / (workers * now),
    )


def _task(number: int, job: NewJob, ratio: float) -> _Task:
    return _Task(
        urgency=LANES_BY_URGENCY.index(job.lane),
        order=job.order,
        number=number,
        kind=job.kind,
        cost_s=job.cost_cpu_ms / 1000 * ratio,
        fast=makes_playable(job),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=12)
    parser.add_argument("--height", type=int, default=2160)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    plan = plan_encode(a_film(asked.hours, asked.height), DEFAULT_POLICY)
    jobs = plan_jobs(plan, Lane.STANDARD, in_parts=True)
    outcomes = [simulate(jobs, count, seed=asked.seed, segments=plan.segment_count) for count in WORKERS]
    total_h = sum(job.cost_cpu_ms for job in jobs) / 3_600_000
    print(
        f"{asked.hours:g} h of {asked.height}p, {len(plan.chunks)} chunks, {len(jobs)} jobs, estimated at {total_h:.1f} core"
        " hours; measured against estimates: "
        + ", ".join(
            f"{kind} {statistics.mean(found):.2f} ± {statistics.pstdev(found):.2f} ({len(found)})"
            for kind, found in measured_ratios().items()
            if kind in MEASURED
        )
    )
    print()
    rows = [(str(o.workers), f"{o.playable_s:.1f} s", _clock(o.ready_s), f"{o.efficiency:.3f}") for o in outcomes]
    print(render_table(("workers", "playable", "ready", "efficiency"), rows))


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


if __name__ == "__main__":
    main()
