"""The small parts around a runner: scratch folders, the drain flag, measurements across processes, bells at the start."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from storage.blobs.memory import MemoryBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.errors import CatalogueUnavailable
from storage.jobs import JobState, Lane
from tests.workshop import RecordingBell, an_uploaded_video
from workers.caretaker import ring_for_ready
from workers.drain import Drain
from workers.health import JobGauges, readiness, serve_health
from workers.measures import JobMeasured, JobMetrics, MeasurePipe
from workers.scratch import clear_abandoned, scratch_folder

FORK = multiprocessing.get_context("fork")
A_TURN = JobMeasured(kind="encode", lane="bulk", result="done", wall_ms=1500, cpu_ms=4000)

# --- scratch ---------------------------------------------------------------------------------------------------------


def test_a_folder_in_use_is_not_taken_for_an_abandoned_one(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "job-1") as folder:
        assert clear_abandoned(tmp_path) == 0
        assert folder.is_dir()
    assert not folder.exists()


def test_the_folder_of_a_killed_process_is_cleared(tmp_path: Path) -> None:
    def die_at_work() -> None:
        with scratch_folder(tmp_path, "job-1") as folder:
            (folder / "half").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=die_at_work)
    process.start()
    process.join()
    assert (tmp_path / "job-1" / "half").exists()
    assert clear_abandoned(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_clear_before_the_first_job(tmp_path: Path) -> None:
    assert clear_abandoned(tmp_path / "never") == 0


# --- the drain flag --------------------------------------------------------------------------------------------------


def test_a_drain_is_seen_by_processes_that_were_forked_before() -> None:
    drain, asked, seen = Drain(), FORK.Event(), FORK.Event()

    def child() -> None:
        asked.wait(20)
        if drain.began:
            seen.set()

    process = FORK.Process(target=child)
    process.start()
    drain.begin()
    asked.set()
    process.join()
    assert seen.is_set()


def test_a_drain_is_over_after_its_grace_and_not_before() -> None:
    now = [100.0]
    drain = Drain(clock=lambda: now[0])
    assert not drain.is_over(0)
    drain.begin()
    now[0] = 100.9
    drain.begin()
    assert not drain.is_over(1000)
    now[0] = 101.0
    assert drain.is_over(1000)


# --- measurements ----------------------------------------------------------------------------------------------------


def test_what_children_measure_is_counted_where_the_metrics_live() -> None:
    pipe, registry, counted = MeasurePipe(), CollectorRegistry(), threading.Event()
    metrics = JobMetrics(registry)

    def child() -> None:
        pipe.send(A_TURN)

    children = [FORK.Process(target=child) for _ in range(2)]
    for process in children:
        process.start()
    seen: list[JobMeasured] = []

    def count(measured: JobMeasured) -> None:
        metrics.count(measured)
        seen.append(measured)
        if len(seen) == 2:
            counted.set()

    pipe.pump(count)
    assert counted.wait(20)
    for process in children:
        process.join()
    labels = {"kind": "encode", "lane": "bulk"}
    assert registry.get_sample_value("fishladder_job_turns_total", {**labels, "result": "done"}) == 2
    assert registry.get_sample_value("fishladder_job_cpu_seconds_total", labels) == 8
    assert registry.get_sample_value("fishladder_job_duration_seconds_sum", labels) == 3


def test_a_pipe_that_nobody_empties_never_blocks_work() -> None:
    pipe = MeasurePipe()
    for _ in range(2000):  # far more than a pipe holds
        pipe.send(A_TURN)


def test_a_lost_lease_has_a_counter_of_its_own() -> None:
    registry = CollectorRegistry()
    JobMetrics(registry).count(JobMeasured(kind="encode", lane="bulk", result="lease_lost", wall_ms=1, cpu_ms=0))
    assert registry.get_sample_value("fishladder_leases_lost_total") == 1


def test_the_most_memory_that_work_took_is_told() -> None:
    registry = CollectorRegistry()
    metrics = JobMetrics(registry)
    for peak in (90_000_000, 120_000_000, 100_000_000):
        metrics.count(replace(A_TURN, peak_bytes=peak))
    assert registry.get_sample_value("fishladder_worker_peak_memory_bytes") == 120_000_000


# --- the caretaker ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slots", "rung"), [(1, [Lane.PLAYABLE]), (8, [Lane.PLAYABLE] * 3)])
def test_a_starting_worker_rings_once_for_each_slot_and_no_more_than_there_is_to_do(
    slots: int, rung: list[Lane]
) -> None:
    catalogue, bell = SqlCatalogue.in_memory(), RecordingBell()
    for _ in range(3):
        an_uploaded_video(catalogue)
    ring_for_ready(catalogue, bell, tuple(Lane), slots)
    assert bell.rung == rung


def test_a_starting_worker_rings_for_its_own_lanes_only() -> None:
    catalogue, bell = SqlCatalogue.in_memory(), RecordingBell()
    an_uploaded_video(catalogue)
    ring_for_ready(catalogue, bell, (Lane.BULK,), 4)
    assert bell.rung == []


# --- probes ----------------------------------------------------------------------------------------------------------


class Down(SqlCatalogue):
    def check(self) -> None:
        raise CatalogueUnavailable

    def job_counts(self) -> dict[tuple[JobState, Lane], int]:
        raise CatalogueUnavailable


def test_a_worker_without_its_database_is_alive_but_not_ready() -> None:
    catalogue, registry = Down.in_memory(), CollectorRegistry()
    not_ready = readiness(catalogue, MemoryBlobs(), Drain())
    server = serve_health("127.0.0.1", 0, registry=registry, not_ready=not_ready)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=10) as alive:
            assert alive.status == 200
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}/readyz", timeout=10)
        with refused.value as answer:
            assert (answer.code, answer.read()) == (503, f"{CatalogueUnavailable().sentence}\n".encode())
    finally:
        server.shutdown()
        server.server_close()


def test_a_draining_worker_is_not_ready() -> None:
    drain = Drain()
    drain.begin()
    assert readiness(SqlCatalogue.in_memory(), MemoryBlobs(), drain)() == "draining"


def test_the_gauges_tell_the_queue_as_the_catalogue_has_it() -> None:
    catalogue, registry = SqlCatalogue.in_memory(), CollectorRegistry()
    an_uploaded_video(catalogue)
    catalogue.position("cache")
    registry.register(JobGauges(catalogue))
    assert registry.get_sample_value("fishladder_jobs", {"state": "ready", "lane": "playable"}) == 1
    assert registry.get_sample_value("fishladder_oldest_ready_seconds", {"lane": "playable"}) is not None
    assert registry.get_sample_value("fishladder_catalogue_answers") == 1
    assert registry.get_sample_value("fishladder_outbox_lag_seconds", {"follower": "cache"}) == 0


def test_a_scrape_survives_a_database_that_is_down() -> None:
    registry = CollectorRegistry()
    registry.register(JobGauges(Down.in_memory()))
    assert b"fishladder_catalogue_answers 0.0" in generate_latest(registry)
