"""A worker for the chaos runs: ``python -m tests.chaos.worker``. Told what it needs by ``LADDER_TEST_*`` variables.

Its steps make up what they store, after a short while. What it begins and what it commits it writes into a ledger that is
no part of the system.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage.blobs import BlobStore
from storage.blobs.local import LocalBlobs
from storage.blobs.s3 import S3Blobs, S3Settings
from storage.catalogue import Committed
from storage.catalogue.sql import SqlCatalogue
from storage.jobs import JobKind, Outcome
from tests.workshop import MADE_UP, TOOLS, NoSources
from workers.ffmpeg.process import Interrupted
from workers.parts import RunnerParts
from workers.pool import WorkerPool
from workers.settings import WorkerSettings
from workers.steps.context import Step, StepContext

LEASE_MS = 2000
WORK_S = (0.005, 0.12)


class Ledger:
    """Lines of a few words, appended whole."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: object) -> None:
        line = " ".join(str(word) for word in (time.time_ns() // 1_000_000, os.getpid(), *words))
        os.write(self._file, line.encode() + b"\n")


class LedgerCatalogue(SqlCatalogue):
    """Notes what was committed."""

    ledger: Ledger

    def commit(self, job: Any, token: int, outcome: Outcome) -> Committed:
        committed = super().commit(job, token, outcome)
        self.ledger.write("committed", job, token)
        return committed


def open_store(environment: dict[str, str]) -> BlobStore:
    if "LADDER_TEST_S3" not in environment:
        return LocalBlobs(Path(environment["LADDER_TEST_FOLDER"]) / "objects")
    url, access_key, secret_key = environment["LADDER_TEST_S3"].split(" ")
    return S3Blobs(
        S3Settings(bucket="chaos", endpoint_url=url, access_key=access_key, secret_key=secret_key, region="us-east-1")
    )


def steps(ledger: Ledger, seed: int) -> dict[JobKind, Step]:
    seeded = random.Random(seed)

    def working(step: Step) -> Step:
        def run(ctx: StepContext) -> Outcome:
            ledger.write("began", ctx.job.id, ctx.job.token, ctx.job.kind)
            (ctx.scratch / "work").write_bytes(b"x" * 1000)
            if ctx.stop.wait(seeded.uniform(*WORK_S)):
                raise Interrupted
            return step(replace(ctx, now_ms=0))  # manifests must not depend on when they were made

        return run

    return {kind: working(step) for kind, step in MADE_UP.items()}


def main() -> None:
    folder = Path(os.environ["LADDER_TEST_FOLDER"])
    ledger = Ledger(folder / "ledger")
    catalogue = LedgerCatalogue.open(os.environ["LADDER_TEST_DATABASE"], pool_size=4)
    catalogue.ledger = ledger
    parts = RunnerParts(
        catalogue=catalogue,
        blobs=open_store(dict(os.environ)),
        tools=TOOLS,
        settings=WorkerSettings(
            scratch=folder / "scratch",
            lease_ms=LEASE_MS,
            drain_ms=500,
            sweep_interval_s=0.5,
            max_kills=50,  # here it is the weather that kills, not the jobs
            min_free_disk_bytes=0,
            min_free_memory_bytes=0,
        ),
        sources=NoSources(),
        steps=steps(ledger, os.getpid()),
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with WorkerPool(parts, threads=2):
        ledger.write("up")
        stop.wait()
    catalogue.close()


if __name__ == "__main__":
    main()
