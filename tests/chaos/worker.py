"""A worker for the chaos runs: ``python -m tests.chaos.worker``. Told what it needs by ``LADDER_TEST_*`` variables.

Its steps make up what they store, after a short while, unless real films are asked for. What it begins and what it commits
it writes into a ledger that is no part of the system.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from storage.blobs import BlobStore
from storage.blobs.local import LocalBlobs
from storage.blobs.s3 import S3Blobs, S3Settings
from storage.catalogue import Committed
from storage.catalogue.sql import SqlCatalogue
from storage.errors import StaleLease
from storage.jobs import JobKind, Outcome
from storage.media.ladder import RECIPE
from tests.workshop import MADE_UP, TOOLS, NoSources
from workers.ffmpeg.process import Interrupted, find_tools
from workers.parts import RunnerParts
from workers.planning.policy import DEFAULT_POLICY, Policy
from workers.pool import WorkerPool
from workers.settings import WorkerSettings
from workers.sources import SourceCache
from workers.steps.audio import audio
from workers.steps.context import Step, StepContext
from workers.steps.encode import encode
from workers.steps.inspect import inspect
from workers.steps.publish import publish
from workers.steps.thumbnails import thumbnails

LEASE_MS = 3000  # unless told otherwise: on a machine that is very busy, renewals take their time
WORK_S = (0.005, 0.12)

REAL: dict[JobKind, Step] = {
    JobKind.INSPECT: inspect,
    JobKind.ENCODE: encode,
    JobKind.AUDIO: audio,
    JobKind.THUMBNAILS: thumbnails,
    JobKind.PUBLISH: publish,
}
BEFORE = "0"
RULES: dict[str, Policy] = {
    RECIPE: DEFAULT_POLICY,
    BEFORE: replace(DEFAULT_POLICY, ladder=replace(DEFAULT_POLICY.ladder, preset="superfast", gop_seconds=1)),
}
"""The recipe that is shipped, and one as if of the version before."""


class Ledger:
    """Lines of a few words, appended whole: monotonic milliseconds, which no clock change moves, the process, and what."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: object) -> None:
        line = " ".join(str(word) for word in (time.monotonic_ns() // 1_000_000, os.getpid(), *words))
        os.write(self._file, line.encode() + b"\n")


class LedgerCatalogue(SqlCatalogue):
    """Notes what was committed, and what was refused."""

    ledger: Ledger

    def commit(self, job: Any, token: int, outcome: Outcome) -> Committed:
        try:
            committed = super().commit(job, token, outcome)
        except StaleLease:
            self.ledger.write("refused", job, token)
            raise
        self.ledger.write("committed", job, token)
        return committed


def full_disk(folder: Path) -> Path:
    """While this file is there, nothing can be stored."""
    return folder / "disk-is-full"


class CrampedBlobs(LocalBlobs):
    """A folder on a disk that is full now and then."""

    def __init__(self, root: Path, full: Path) -> None:
        super().__init__(root)
        self._full = full

    def put(self, key: str, body: Any, **options: Any) -> Any:
        if self._full.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().put(key, body, **options)


def open_store(environment: dict[str, str]) -> BlobStore:
    folder = Path(environment["LADDER_TEST_FOLDER"])
    if "LADDER_TEST_S3" not in environment:
        return CrampedBlobs(folder / "objects", full_disk(folder))
    url, access_key, secret_key = environment["LADDER_TEST_S3"].split(" ")
    return S3Blobs(
        S3Settings(bucket="chaos", endpoint_url=url, access_key=access_key, secret_key=secret_key, region="us-east-1")
    )


def steps(ledger: Ledger, seed: int) -> dict[JobKind, Step]:
    """Steps that make things up, each after a while."""
    seeded = random.Random(seed)

    def work(ctx: StepContext) -> None:
        (ctx.scratch / "work").write_bytes(b"x" * 1000)
        if ctx.stop.wait(seeded.uniform(*WORK_S)):
            raise Interrupted

    return _noted(MADE_UP.items(), ledger, work)


def film_steps(ledger: Ledger, recipes: tuple[str, ...]) -> dict[JobKind, Step]:
    """The real ones, of a version whose own recipe is the first of ``recipes`` and that knows the others too."""
    own, *others = recipes
    planning = partial(inspect, policy=RULES[own], before={recipe: RULES[recipe] for recipe in others})
    return _noted({**REAL, JobKind.INSPECT: planning}.items(), ledger, lambda ctx: None)


def _noted(
    all_steps: Iterable[tuple[JobKind, Step]], ledger: Ledger, before: Callable[[StepContext], None]
) -> dict[JobKind, Step]:
    def noted(step: Step) -> Step:
        def run(ctx: StepContext) -> Outcome:
            ledger.write("began", ctx.job.id, ctx.job.token, ctx.job.kind)
            before(ctx)
            return step(replace(ctx, now_ms=0))  # manifests must not depend on when they were made

        return run

    return {kind: noted(step) for kind, step in all_steps}


def settings(folder: Path) -> WorkerSettings:
    lease_ms = int(os.environ.get("LADDER_TEST_LEASE_MS", LEASE_MS))
    return WorkerSettings(
        scratch=folder / "scratch",
        lease_ms=lease_ms,
        drain_ms=500,
        sweep_interval_s=max(0.5, lease_ms / 10_000),
        stale_bell_ms=1000,
        max_kills=50,  # here it is the weather that kills, not the jobs
        min_free_disk_bytes=0,
        min_free_memory_bytes=0,
        threads=1,
        recipes=tuple(os.environ.get("LADDER_TEST_RECIPES", RECIPE).split()),
        ready_file=folder / "ready",
    )


def compose(folder: Path) -> RunnerParts:
    ledger = Ledger(folder / "ledger")
    catalogue = LedgerCatalogue.open(os.environ["LADDER_TEST_DATABASE"], pool_size=4)
    catalogue.ledger = ledger
    blobs = open_store(dict(os.environ))
    chosen = settings(folder)
    films = "LADDER_TEST_FILMS" in os.environ
    return RunnerParts(
        catalogue=catalogue,
        blobs=blobs,
        tools=find_tools() if films else TOOLS,
        settings=chosen,
        sources=SourceCache(blobs, chosen.sources, chosen.source_cache_bytes) if films else NoSources(),
        steps=film_steps(ledger, chosen.recipes) if films else steps(ledger, os.getpid()),
    )


def main() -> None:
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:
        # libfaketime 0.9.10 answers clock_nanosleep() on the monotonic clock with EINVAL; events do not use that.
        time.sleep = lambda seconds: threading.Event().wait(seconds) and None
    parts = compose(Path(os.environ["LADDER_TEST_FOLDER"]))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with WorkerPool(parts, threads=2):
        stop.wait()
    parts.catalogue.close()


if __name__ == "__main__":
    main()
