"""A disk that is really full: database, objects and work files all lie on it."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
import structlog

from storage.blobs.local import LocalBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.errors import FishladderError
from storage.jobs import JobKind, JobState, Outcome
from storage.lifecycle import VideoState
from tests.workshop import MADE_UP, a_workshop, an_upload_of
from workers.audit import audit
from workers.pool import WorkerPool
from workers.steps.context import StepContext

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PATIENCE_S = 240
SIZE_BYTES = 32 * 2**20  # the log of a SQLite alone takes 4 MiB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes whatever is free."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for step in (65536, 512):
            with pytest.raises(OSError, match="No space left"):
                write_for_ever(file, step)
    return filler


def write_for_ever(file: BinaryIO, step: int) -> None:
    while True:
        file.write(b"\0" * step)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if condition():
                return
        except FishladderError:
            pass  # the database has no room either
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_jobs_wait_for_room_and_nothing_is_lost(disk: Path) -> None:
    """Nothing is charged as if the films were at fault, and no work file stays."""
    migrate(f"sqlite:///{disk / 'catalogue.sqlite3'}")
    catalogue = SqlCatalogue.open(f"sqlite:///{disk / 'catalogue.sqlite3'}")
    blobs = LocalBlobs(disk / "objects")
    fillers: list[Path] = []
    one_at_a_time = threading.Lock()

    def encode(ctx: StepContext) -> Outcome:
        with one_at_a_time:
            if not fillers:
                fillers.append(fill(disk))  # in the middle of a job
        (ctx.scratch / "work").write_bytes(b"x" * 100_000)
        return MADE_UP[JobKind.ENCODE](ctx)

    parts = a_workshop(
        disk / "scratch",
        catalogue=catalogue,
        blobs=blobs,
        steps={JobKind.ENCODE: encode},
        min_free_disk_bytes=0,  # the look before a claim has a test of its own
        min_free_memory_bytes=0,
        lease_ms=2000,
        sweep_interval_s=0.3,
        stale_bell_ms=500,
    )
    videos = [an_upload_of(b"film", catalogue, blobs) for _ in range(3)]
    with structlog.testing.capture_logs() as logs, WorkerPool(parts, threads=2):
        until(lambda: any("room" in str(log.get("error", "")) for log in list(logs)))
        fillers[0].unlink()
        until(lambda: all(catalogue.video(video).state is VideoState.READY for video in videos))
        until(lambda: not {JobState.READY, JobState.LEASED} & {state for state, _ in catalogue.job_counts()})
    assert audit(catalogue, blobs, grace_ms=0).clean
    assert list((disk / "scratch" / "jobs").iterdir()) == []
    assert catalogue.jobs(state=JobState.DEAD) == ()
    catalogue.close()
