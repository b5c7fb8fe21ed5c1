"""What can be set for a process that works on jobs. Read from the environment by `infra`, never here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storage.jobs import Lane
from storage.media.ladder import RECIPE
from workers.planning.policy import POLICIES_BEFORE

KNOWN_RECIPES = (RECIPE, *POLICIES_BEFORE)
"""The one that new videos get, and any older one whose jobs this version still does right."""


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / "fishladder"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of runners, the sweeper and the Celery worker around them."""

    # How long a claimed job is ours before its lease must be renewed. Renewed every quarter; a worker that cannot renew
    # stops its tools when three quarters are gone, so nobody else holds the job while they still run. Short: a killed
    # worker's job waits this long.
    lease_ms: int = 30_000

    # How long a job may go on after the worker was asked to stop. What is not done by then is handed back, uncharged.
    drain_ms: int = 10_000

    # Folder for work files. Every job gets an empty folder of its own below it, gone when the job ends.
    scratch: Path = field(default_factory=_temporary)

    # Threads that one tool may use.
    threads: int = 2

    # How far a lane's tools step back when CPUs are short (0 to 19, as of `nice`): nothing pre-empts a running chunk, so
    # the kernel has to. What makes a video playable goes first.
    niceness: Mapping[Lane, int] = field(default_factory=lambda: {Lane.INTERACTIVE: 3, Lane.STANDARD: 5, Lane.BULK: 10})

    # Room for local copies of sources, shared by all runners of a machine.
    source_cache_bytes: int = 20 * 1024**3

    # How many leases of a job may run out before it is a dead letter: what kills workers must not kill them for ever.
    max_kills: int = 3

    # Seconds between two passes of the sweeper.
    sweep_interval_s: float = 15.0

    # A ready job that nobody claimed for this long gets another bell.
    stale_bell_ms: int = 30_000

    # How many unreferenced objects and expired uploads one pass of the sweeper takes on.
    sweep_batch: int = 100

    # Seconds between two audits of the catalogue against the store. None: only when somebody asks for one.
    audit_interval_s: float | None = None

    # Least free disk (below `scratch`) and memory with which a job is claimed; below that a worker waits and says so.
    min_free_disk_bytes: int = 1024**3
    min_free_memory_bytes: int = 512 * 1024**2

    # Recipes that this version can work by. While versions are being replaced, workers of the one and the other run side
    # by side: each leaves jobs of a recipe that it does not know to those that do.
    recipes: tuple[str, ...] = KNOWN_RECIPES

    # Retention. How long the source of a finished video is kept, and a failed or rejected video. None: for good.
    keep_source_ms: int | None = None
    keep_failed_ms: int | None = None

    # Where a worker answers /healthz, /readyz and /metrics. Port None: nowhere; 0: any free port.
    http_host: str = "127.0.0.1"
    http_port: int | None = None

    # A worker writes its process id here once it claims jobs.
    ready_file: Path | None = None

    def __post_init__(self) -> None:
        if self.lease_ms < 1 or self.threads < 1 or self.max_kills < 1 or self.sweep_interval_s <= 0:
            raise ValueError("lease_ms, threads and max_kills are at least 1, sweep_interval_s is positive")
        if self.drain_ms < 0 or self.source_cache_bytes < 0:
            raise ValueError("drain_ms and source_cache_bytes are not negative")

    @property
    def sources(self) -> Path:
        """Folder of the local copies of sources."""
        return self.scratch / "sources"

    @property
    def jobs(self) -> Path:
        """Folder of the jobs' own folders."""
        return self.scratch / "jobs"
