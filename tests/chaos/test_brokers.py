"""Brokers that are killed, flushed and full while real Celery workers work a queue off. A bell that is lost costs time,
never a video.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from storage.blobs.local import LocalBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.ids import VideoId
from storage.jobs import JobState, Lane
from storage.keys import source_key
from storage.lifecycle import VideoState
from tests.rabbitmq import rabbitmq
from tests.services import stop, valkey
from tests.workshop import an_uploaded_video
from workers.audit import audit
from workers.celery import CeleryBell, create_celery

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240


@dataclass(frozen=True, slots=True)
class Queue:
    """Uploaded films, and the workers that work them off."""

    folder: Path
    broker_url: str
    catalogue: SqlCatalogue
    videos: tuple[VideoId, ...]

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """Two pool processes, and what a worker has beside them."""
        environment = {
            **os.environ,
            "LADDER_TEST_FOLDER": str(self.folder),
            "LADDER_TEST_DATABASE": database_url(self.folder),
            "LADDER_TEST_BROKER": self.broker_url,
        }
        argv = [sys.executable, "-m", "celery", "-A", "tests.chaos.celery_worker", "worker", "-c", "2", "-l", "info"]
        with (self.folder / "worker.log").open("ab") as output:
            process = subprocess.Popen(
                [*argv, "--without-gossip", "--without-mingle"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self.until(lambda: (self.folder / "ready").exists() or process.poll() is not None)
            assert process.poll() is None, self.log()
            yield process
        finally:
            stop(process, patience_s=30)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not happen in time; {self.catalogue.job_counts()}\n{self.log()}")
            time.sleep(0.05)

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()[-6000:]

    def done(self) -> int:
        counts = self.catalogue.job_counts()
        return sum(count for (state, _), count in counts.items() if state is JobState.DONE)

    def until_done(self, more: int) -> None:
        """Until so many more jobs are done: work goes on."""
        wanted = self.done() + more
        self.until(lambda: self.done() >= wanted)

    def until_all_ready(self) -> None:
        self.until(lambda: all(self.catalogue.video(it).state is VideoState.READY for it in self.videos))
        self.until(lambda: not {JobState.READY, JobState.LEASED} & {state for state, _ in self.catalogue.job_counts()})

    def is_whole(self) -> None:
        """Nothing lost, nothing committed twice."""
        assert audit(self.catalogue, LocalBlobs(self.folder / "objects"), grace_ms=0).clean
        lines = (self.folder / "ledger").read_text().splitlines()
        committed = Counter(line.split()[3] for line in lines if line.split()[2] == "committed")
        assert set(committed.values()) == {1}
        assert len(committed) == self.done()


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'catalogue.sqlite3'}"


@contextmanager
def queue(folder: Path, broker_url: str, videos: int) -> Iterator[Queue]:
    migrate(database_url(folder))
    catalogue = SqlCatalogue.open(database_url(folder))
    blobs = LocalBlobs(folder / "objects")
    bell = CeleryBell(create_celery(broker_url))
    uploaded = tuple(an_uploaded_video(catalogue) for _ in range(videos))
    for video in uploaded:
        blobs.put(source_key(video), b"film")
        bell.ring(Lane.PLAYABLE)
    bell.close()
    try:
        yield Queue(folder, broker_url, catalogue, uploaded)
    finally:
        catalogue.close()


def test_valkey_is_flushed_full_and_killed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(valkey(tmp_path / "valkey"))
        ours = stack.enter_context(queue(tmp_path, url, 10))
        worker = stack.enter_context(ours.worker())
        with redis.Redis.from_url(url) as broker:
            ours.until_done(10)
            for _ in range(3):
                broker.flushall()
                ours.until_done(10)

            broker.config_set("maxmemory", 1)  # with noeviction: every write is refused
            with pytest.raises(redis.OutOfMemoryError):
                broker.set("full", "yes")
            time.sleep(2)
            broker.config_set("maxmemory", 0)
            ours.until_done(10)

            process_id = broker.info("server")["process_id"]  # type: ignore[index]
            os.kill(process_id, signal.SIGKILL)
        time.sleep(1)
        stack.enter_context(valkey(tmp_path / "valkey", url=url))
        ours.until_all_ready()
        assert worker.poll() is None, ours.log()
        ours.is_whole()


def test_rabbitmq_rings_and_is_killed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(rabbitmq(tmp_path / "rabbitmq"))
        ours = stack.enter_context(queue(tmp_path, broker.url, 6))
        worker = stack.enter_context(ours.worker())
        ours.until_done(20)
        broker.kill()
        time.sleep(1)
        stack.enter_context(rabbitmq(tmp_path / "rabbitmq", url=broker.url))
        ours.until_all_ready()
        assert worker.poll() is None, ours.log()
        ours.is_whole()
