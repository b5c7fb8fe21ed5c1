"""A Celery worker for the chaos runs: ``celery -A tests.chaos.celery_worker worker``. Its parts are those of
`tests.chaos.worker`; its sweeper does not keep a test waiting.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.chaos.worker import LEASE_MS, Ledger, LedgerCatalogue, open_store, steps
from tests.workshop import TOOLS, NoSources
from workers.celery import create_worker_app
from workers.parts import RunnerParts
from workers.settings import WorkerSettings

_folder = Path(os.environ["LADDER_TEST_FOLDER"])
_settings = WorkerSettings(
    scratch=_folder / "scratch",
    lease_ms=LEASE_MS,
    drain_ms=500,
    sweep_interval_s=0.5,
    stale_bell_ms=1000,
    max_kills=50,
    min_free_disk_bytes=0,
    min_free_memory_bytes=0,
    ready_file=_folder / "ready",
)


def compose() -> RunnerParts:
    ledger = Ledger(_folder / "ledger")
    catalogue = LedgerCatalogue.open(os.environ["LADDER_TEST_DATABASE"], pool_size=2)
    catalogue.ledger = ledger
    return RunnerParts(
        catalogue=catalogue,
        blobs=open_store(dict(os.environ)),
        tools=TOOLS,
        settings=_settings,
        sources=NoSources(),
        steps=steps(ledger, os.getpid()),
    )


app = create_worker_app(compose, broker_url=os.environ["LADDER_TEST_BROKER"], settings=_settings)
