"""``make bench-queue``: what a claim costs, with 100,000 jobs waiting. Figures belong to the machine; only the ratio is judged."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from storage.catalogue.migrations import migrate
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.engine import open_engine
from storage.catalogue.sql.tables import jobs
from storage.ids import new_job_id
from storage.jobs import LANES_BY_URGENCY, Bell, JobKind, Lane
from tests.builders import a_new_job, an_encode_plan, an_encoded, an_inspected
from tests.fair_simulation import percentile
from tests.journeys import an_encoding_video
from tests.services import postgres, valkey
from workers.celery import CeleryBell, create_celery

TENANTS = 50
SECONDS = 2.0
FEW = 10_000
RUNGS = ("240p", "360p", "480p", "720p", "1080p")
SEGMENTS = 15
"""Of each rung in a chunk of a minute."""
FIRST_SEGMENTS = count(step=SEGMENTS)
WARM_UP = 10


def fill(url: str, jobs_more: int) -> None:
    """``jobs_more`` ready jobs of fifty tenants. They are rows of one video: what a claim reads of them is their own."""
    catalogue = SqlCatalogue.open(url)
    rungs = tuple(replace(an_encode_plan().ladder.rungs[0], name=name) for name in RUNGS)
    video = an_encoding_video(catalogue, an_inspected(jobs=(a_new_job(),), video_renditions=rungs))
    catalogue.close()
    engine = open_engine(url)
    with engine.begin() as connection:
        (job,) = connection.execute(sa.select(jobs).where(jobs.c.video_id == video, jobs.c.state == "ready")).mappings()
        for start in range(0, jobs_more, 10_000):
            connection.execute(
                sa.insert(jobs),
                [
                    dict(job)
                    | {
                        "id": new_job_id(),
                        "tenant": f"tenant-{number % TENANTS}",
                        "due_at_ms": job["due_at_ms"] + number,
                    }
                    for number in range(start, start + 10_000)
                ],
            )
    if engine.dialect.name == "postgresql":  # as its autovacuum does; of SQLite nobody makes statistics
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def claims(url: str, worker: int, seconds: float, answers: multiprocessing.Queue[list[float]]) -> None:
    catalogue = SqlCatalogue.open(url, pool_size=1)
    took: list[float] = []
    ends = time.monotonic() + seconds
    before_s = time.process_time()
    while time.monotonic() < ends:
        began = time.monotonic()
        job = catalogue.claim(f"worker-{worker}", LANES_BY_URGENCY, 600_000)
        if job is not None:
            took.append(time.monotonic() - began)
    catalogue.close()
    answers.put([(time.process_time() - before_s) / max(1, len(took)), *took])


def measure(url: str, workers: int, seconds: float) -> tuple[float, float, float, float]:
    """(claims per second, p50 in ms, p99 in ms, CPU ms of the claimer for each)."""
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[list[float]] = context.Queue()
    processes = [context.Process(target=claims, args=(url, number, seconds, answers)) for number in range(workers)]
    for process in processes:
        process.start()
    given = [answers.get() for _ in processes]
    took = [value for cpu_s, *its in given for value in its]
    cpu_ms = 1000 * sum(cpu_s for cpu_s, *_ in given) / len(given)
    for process in processes:
        process.join()
    return len(took) / seconds, percentile(took, 0.5) * 1000, percentile(took, 0.99) * 1000, cpu_ms


def chunk_overhead(url: str, bell: Bell, turns: int = 100) -> tuple[float, float]:
    """(p50, p99) in ms of what a chunk costs beside its encoding: claim, commit with its segments, and a bell for what
    follows. The first turns do not count: a worker makes thousands."""
    catalogue = SqlCatalogue.open(url, pool_size=1)
    took = []
    for turn in range(turns + WARM_UP):
        began = time.monotonic()
        job = catalogue.claim("worker", (Lane.STANDARD,), 600_000)
        claimed_s = time.monotonic() - began
        assert job is not None
        assert job.kind is JobKind.ENCODE
        first = next(FIRST_SEGMENTS)
        made = an_encoded(dict.fromkeys(RUNGS, tuple(range(first, first + SEGMENTS))), cpu_ms=job.cost_cpu_ms)
        began_commit = time.monotonic()
        committed = catalogue.commit(job.id, job.token, made)
        for lane in committed.bells or (Lane.STANDARD,):
            bell.ring(lane)
        if turn >= WARM_UP:
            took.append(time.monotonic() - began_commit + claimed_s)
    catalogue.close()
    return percentile(took, 0.5) * 1000, percentile(took, 0.99) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", help="The one database to measure.")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    print("| database | ready rows | workers | claims/s | p50 | p99 | CPU | claim + commit + bell p50 | p99 |")
    print("|---|---|---|---|---|---|---|---|---|")
    slow = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-queue-")))
        bell = CeleryBell(create_celery(stack.enter_context(valkey(folder / "valkey"))))
        stack.callback(bell.close)
        urls = {"SQLite (FULL)": f"sqlite:///{folder / 'queue.sqlite3'}", "PostgreSQL": ""}
        urls["PostgreSQL"] = stack.enter_context(postgres(folder / "postgres"))
        for name, url in urls.items():
            if options.only is not None and options.only.lower() not in name.lower():
                continue
            migrate(url)
            short_ms = None
            for rows in (FEW, options.rows):
                fill(url, rows)
                for workers in (1, 8):
                    rate, p50, p99, cpu = measure(url, workers, options.seconds)
                    chunk50, chunk99 = chunk_overhead(url, bell)
                    print(
                        f"| {name} | {rows:,} | {workers} | {rate:.0f} | {p50:.1f} ms | {p99:.1f} ms | {cpu:.1f} ms"
                        f" | {chunk50:.1f} ms | {chunk99:.1f} ms |",
                        flush=True,
                    )
                    if workers == 1:
                        if short_ms is not None and p50 > 5 * short_ms:
                            slow.append(f"{name}: a claim of {rows:,} rows takes {p50 / short_ms:.1f} × one of few")
                        short_ms = short_ms or p50
    for line in slow:
        print(line)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
