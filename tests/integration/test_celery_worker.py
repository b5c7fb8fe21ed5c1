"""A real Celery worker on a real Valkey: bells, drains and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.ids import VideoId
from storage.jobs import LANES_BY_URGENCY, JobState, Lane, SilentBell
from storage.lifecycle import VideoState
from tests.services import free_ports, valkey
from tests.stub_worker import compose, database_url, environment, hold_file, ledger_file, ready_file
from tests.workshop import an_uploaded_video
from workers.celery import MAX_WAITING_BELLS, CeleryBell, create_celery
from workers.drain import Drain

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120


@dataclass(frozen=True)
class Place:
    """A broker, a database and a folder, and the workers that are started there."""

    folder: Path
    broker_url: str
    catalogue: SqlCatalogue
    http_port: int

    @property
    def bell(self) -> CeleryBell:
        return CeleryBell(create_celery(self.broker_url))

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        output = (self.folder / "worker.log").open("ab")
        with output:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=environment(self.folder, self.broker_url, http_port=self.http_port),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        options = ["-c", "1", "-l", "info", "--without-gossip", "--without-mingle", *arguments]
        process = self.command("celery", "-A", "tests.stub_worker", "worker", *options)
        try:
            self.until(lambda: ready_file(self.folder).exists() or process.poll() is not None)
            assert process.poll() is None, self.log()
            yield process
        finally:
            process.kill()
            process.wait()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not happen in time; {self.catalogue.jobs()}\n{self.log()}")
            time.sleep(0.05)

    def until_state(self, video: VideoId, state: VideoState) -> None:
        self.until(lambda: self.catalogue.video(video).state is state)

    def until_held(self) -> int:
        """Until a worker is in the middle of an inspection: the process id of that worker."""
        self.until(lambda: ledger_file(self.folder).exists() and ledger_file(self.folder).read_text().endswith("\n"))
        return int(ledger_file(self.folder).read_text().splitlines()[-1].split()[0])

    def finish_here(self) -> None:
        """Work everything off in this process."""
        hold_file(self.folder).unlink(missing_ok=True)
        runner = compose(self.folder).runner(SilentBell(), Drain())
        while runner.run_one(LANES_BY_URGENCY):
            pass

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()[-6000:]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    migrate(database_url(tmp_path))
    catalogue = SqlCatalogue.open(database_url(tmp_path))
    with valkey(tmp_path / "valkey") as broker_url:
        yield Place(tmp_path, broker_url, catalogue, free_ports(1)[0])
    catalogue.close()


def is_alive(pid: int) -> bool:
    """Zombies are dead."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_worker_finds_rows_whose_bell_was_lost_and_needs_one_bell_for_a_backlog(place: Place) -> None:
    early = an_uploaded_video(place.catalogue)
    with place.worker():
        place.until_state(early, VideoState.READY)  # nobody rang
        videos = [an_uploaded_video(place.catalogue) for _ in range(3)]
        place.bell.ring(Lane.PLAYABLE)
        for video in videos:
            place.until_state(video, VideoState.READY)


def test_a_worker_serves_the_lanes_that_its_queues_name(place: Place) -> None:
    with place.worker("-Q", "playable"):
        video = an_uploaded_video(place.catalogue, Lane.BULK)
        place.bell.ring(Lane.PLAYABLE)
        place.until_state(video, VideoState.PLAYABLE)
        place.until(lambda: Lane.PLAYABLE not in place.catalogue.ready_counts())
        assert set(place.catalogue.ready_counts()) == {Lane.BULK}


def test_a_worker_answers_probes_and_counts_what_its_children_did(place: Place) -> None:
    def answer(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{place.http_port}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    with place.worker():
        video = an_uploaded_video(place.catalogue)
        place.bell.ring(Lane.PLAYABLE)
        place.until_state(video, VideoState.READY)
        assert answer("/healthz") == (200, "ok\n")
        assert answer("/readyz") == (200, "ready\n")
        assert answer("/elsewhere")[0] == 404
        inspected = 'fishladder_job_turns_total{kind="inspect",lane="playable",result="done"} 1.0'
        place.until(lambda: inspected in answer("/metrics")[1])
        metrics = answer("/metrics")[1]
    assert 'fishladder_jobs{lane="playable",state="done"}' in metrics
    assert 'fishladder_oldest_ready_seconds{lane="bulk"} 0.0' in metrics
    assert "fishladder_sweeper_last_pass_timestamp_seconds" in metrics


def test_a_terminated_worker_hands_its_job_back_at_no_charge_and_ends_well(place: Place) -> None:
    hold_file(place.folder).touch()
    with place.worker() as worker:
        video = an_uploaded_video(place.catalogue)
        place.bell.ring(Lane.PLAYABLE)
        place.until_held()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_S) == 0, place.log()
    (job,) = place.catalogue.jobs()
    assert (job.state, job.attempts, job.kills) == (JobState.READY, 0, 0)
    place.finish_here()
    assert place.catalogue.video(video).state is VideoState.READY


def test_a_killed_worker_leaves_no_process_and_its_row_is_swept(place: Place) -> None:
    hold_file(place.folder).touch()
    with place.worker() as worker:
        video = an_uploaded_video(place.catalogue)
        place.bell.ring(Lane.PLAYABLE)
        child = place.until_held()
        worker.kill()
        worker.wait()
        place.until(lambda: not is_alive(child))
    (job,) = place.catalogue.jobs()
    assert job.state is JobState.LEASED
    sweep_until_ready(place)
    (job,) = place.catalogue.jobs()
    assert (job.attempts, job.kills) == (0, 1)
    place.finish_here()
    assert place.catalogue.video(video).state is VideoState.READY


def test_a_killed_pool_child_costs_its_job_one_lease_and_the_worker_goes_on(place: Place) -> None:
    hold_file(place.folder).touch()
    with place.worker():
        video = an_uploaded_video(place.catalogue)
        place.bell.ring(Lane.PLAYABLE)
        os.kill(place.until_held(), signal.SIGKILL)
        hold_file(place.folder).unlink()
        sweep_until_ready(place)
        place.bell.ring(Lane.PLAYABLE)
        place.until_state(video, VideoState.READY)


def test_a_killed_runner_is_survived_without_a_broker_too(place: Place) -> None:
    hold_file(place.folder).touch()
    video = an_uploaded_video(place.catalogue)
    process = place.command("tests.stub_worker")
    place.until_held()
    process.kill()
    process.wait()
    sweep_until_ready(place)
    place.finish_here()
    assert place.catalogue.video(video).state is VideoState.READY
    inspections = ledger_file(place.folder).read_text().splitlines()
    assert [line.split()[1] for line in inspections] == ["1", "2"]


def sweep_until_ready(place: Place) -> None:
    """Sweep until the lease, which nobody renews any more, has run out."""

    def swept() -> bool:
        place.catalogue.sweep(max_kills=3, stale_bell_ms=3_600_000)
        return bool(place.catalogue.jobs(state=JobState.READY))

    place.until(swept)


def test_a_bell_to_a_broker_that_is_not_there_is_lost_quietly() -> None:
    CeleryBell(create_celery(f"redis://127.0.0.1:{free_ports(1)[0]}/0"), timeout_s=0.5).ring(Lane.BULK, 3)


def test_a_bell_outlives_its_broker(tmp_path: Path) -> None:
    """The connection that a bell holds breaks, and is made anew when the broker is back."""
    with valkey(tmp_path) as url:
        bell = CeleryBell(create_celery(url), timeout_s=1)
        bell.ring(Lane.BULK)
    bell.ring(Lane.BULK)
    with valkey(tmp_path, url=url):
        bell.ring(Lane.BULK, 2)
        # One from before the restart, which the append-only file has kept.
        assert waiting_bells(url, Lane.BULK) == 3


def test_a_queue_with_plenty_of_bells_takes_no_more(tmp_path: Path) -> None:
    with valkey(tmp_path) as url:
        bell = CeleryBell(create_celery(url))
        bell.ring(Lane.BULK, MAX_WAITING_BELLS - 1)
        bell.ring(Lane.BULK, 5)
        assert waiting_bells(url, Lane.BULK) == MAX_WAITING_BELLS


def waiting_bells(url: str, lane: Lane) -> int:
    with redis.Redis.from_url(url) as client:
        count = client.llen(str(lane))
    assert isinstance(count, int)
    return count
