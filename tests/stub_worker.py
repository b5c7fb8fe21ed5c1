"""A worker whose steps make up their results, as a program of its own: what tests start, stop and kill.

``celery -A tests.stub_worker worker`` serves bells; ``python -m tests.stub_worker`` takes one turn without a broker. It is
told what it needs by ``LADDER_TEST_*`` variables, see `environment`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from storage.blobs.local import LocalBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.jobs import LANES_BY_URGENCY, JobKind, Outcome, SilentBell
from tests.workshop import MADE_UP, a_workshop
from workers.celery import create_worker_app
from workers.drain import Drain
from workers.ffmpeg.process import Interrupted
from workers.parts import RunnerParts
from workers.settings import WorkerSettings
from workers.steps.context import StepContext

LEASE_MS = 1500
DRAIN_MS = 300


def environment(folder: Path, broker_url: str, *, http_port: int) -> dict[str, str]:
    """The variables for a worker that keeps everything below ``folder``."""
    return {
        **os.environ,
        "LADDER_TEST_FOLDER": str(folder),
        "LADDER_TEST_BROKER": broker_url,
        "LADDER_TEST_HTTP_PORT": str(http_port),
    }


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'catalogue.sqlite3'}"


def hold_file(folder: Path) -> Path:
    """While it is there, inspections go on until they are stopped."""
    return folder / "hold"


def ledger_file(folder: Path) -> Path:
    """One line for each inspection that began: its process id and its token."""
    return folder / "ledger"


def ready_file(folder: Path) -> Path:
    return folder / "ready"


def settings(folder: Path, *, http_port: int | None = None) -> WorkerSettings:
    return WorkerSettings(
        lease_ms=LEASE_MS,
        drain_ms=DRAIN_MS,
        scratch=folder / "scratch",
        sweep_interval_s=3600,  # tests sweep themselves: nothing may seem to work because of it
        http_port=http_port,
        ready_file=ready_file(folder),
    )


def compose(folder: Path) -> RunnerParts:
    chosen = settings(folder)

    def inspect(ctx: StepContext) -> Outcome:
        with ledger_file(folder).open("a") as ledger:
            ledger.write(f"{os.getpid()} {ctx.job.token}\n")
        while hold_file(folder).exists():
            if ctx.stop.wait(0.02):
                raise Interrupted
        return MADE_UP[JobKind.INSPECT](ctx)

    return a_workshop(
        chosen.scratch,
        catalogue=SqlCatalogue.open(database_url(folder)),
        blobs=LocalBlobs(folder / "objects"),
        steps={JobKind.INSPECT: inspect},
        lease_ms=chosen.lease_ms,
        drain_ms=chosen.drain_ms,
    )


def _take_one_turn(folder: Path) -> None:
    runner = compose(folder).runner(SilentBell(), Drain())
    while not runner.run_one(LANES_BY_URGENCY):
        time.sleep(0.05)


if __name__ == "__main__":
    _take_one_turn(Path(os.environ["LADDER_TEST_FOLDER"]))
elif "LADDER_TEST_BROKER" in os.environ:
    _folder = Path(os.environ["LADDER_TEST_FOLDER"])
    app = create_worker_app(
        lambda: compose(_folder),
        broker_url=os.environ["LADDER_TEST_BROKER"],
        settings=settings(_folder, http_port=int(os.environ["LADDER_TEST_HTTP_PORT"])),
    )
