"""Regular audits: what may go goes and is counted, and one worker of all does it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from storage.audit import GRACE_MS
from storage.blobs import BlobInfo
from storage.blobs.memory import MemoryBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.errors import StoreUnavailable
from storage.jobs import LANES_BY_URGENCY, SilentBell
from tests.workshop import a_workshop, an_upload_of
from workers.auditing import AuditMetrics, Auditor
from workers.drain import Drain
from workers.settings import WorkerSettings
from workers.sweeper import SweeperMetrics

SETTINGS = WorkerSettings(audit_interval_s=3600)


class OldBlobs(MemoryBlobs):
    """Everything in it was stored before the grace time."""

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        for info in super().list(prefix):
            yield replace(info, modified_at_ms=(info.modified_at_ms or 0) - GRACE_MS - 1000)


@pytest.fixture
def catalogue() -> SqlCatalogue:
    return SqlCatalogue.in_memory()


def a_store_of_films(catalogue: SqlCatalogue, tmp_path: Path, films: int = 4) -> OldBlobs:
    blobs = OldBlobs()
    parts = a_workshop(tmp_path, catalogue=catalogue, blobs=blobs, min_free_disk_bytes=0, min_free_memory_bytes=0)
    for _ in range(films):
        an_upload_of(b"film", catalogue, blobs)
    runner = parts.runner(SilentBell(), Drain())
    while runner.run_one(LANES_BY_URGENCY):
        pass
    return blobs


def test_strays_go_and_are_counted_and_what_is_lost_is_told(catalogue: SqlCatalogue, tmp_path: Path) -> None:
    blobs = a_store_of_films(catalogue, tmp_path)
    known = sorted(info.key for info in blobs.list("a-"))
    blobs.put(known[0].rpartition("/")[0] + "/stray.m4s", b"of nobody")
    blobs.delete(known[1])
    registry = CollectorRegistry()
    auditor = Auditor(
        catalogue,
        blobs,
        SilentBell(),
        SETTINGS,
        repairs=SweeperMetrics(registry),
        metrics=AuditMetrics(registry),
    )
    assert auditor.audit_once()
    assert sorted(info.key for info in blobs.list("a-")) == [key for key in known if key != known[1]]
    assert registry.get_sample_value("fishladder_sweeper_repairs_total", {"rule": "orphan"}) == 1
    assert registry.get_sample_value("fishladder_audit_findings", {"kind": "lost"}) == 1
    assert auditor.audit_once()
    assert registry.get_sample_value("fishladder_sweeper_repairs_total", {"rule": "orphan"}) == 1
    assert registry.get_sample_value("fishladder_audit_findings", {"kind": "orphaned"}) == 0


def test_more_strays_than_the_limit_wait_for_a_person(catalogue: SqlCatalogue, tmp_path: Path) -> None:
    blobs = a_store_of_films(catalogue, tmp_path, films=1)
    asset = next(iter(blobs.list("a-"))).key.partition("/")[0]
    for number in range(10):
        blobs.put(f"{asset}/stray-{number}", b"of nobody")
    before = {info.key for info in blobs.list("")}
    assert Auditor(catalogue, blobs, SilentBell(), SETTINGS).audit_once()
    assert {info.key for info in blobs.list("")} == before


def test_one_worker_audits_within_an_interval(catalogue: SqlCatalogue) -> None:
    one, two = (Auditor(catalogue, MemoryBlobs(), SilentBell(), SETTINGS, holder=name) for name in ("one", "two"))
    assert one.audit_once()
    assert not two.audit_once()


def test_a_store_that_does_not_answer_puts_the_audit_off(catalogue: SqlCatalogue) -> None:
    class Down(MemoryBlobs):
        def list(self, prefix: str) -> Iterator[BlobInfo]:
            raise StoreUnavailable

    assert not Auditor(catalogue, Down(), SilentBell(), SETTINGS).audit_once()


def test_nobody_audits_who_was_not_told_to() -> None:
    before = threading.active_count()
    Auditor(SqlCatalogue.in_memory(), MemoryBlobs(), SilentBell(), WorkerSettings()).start(threading.Event())
    assert threading.active_count() == before


def test_audits_go_on_until_they_are_stopped(catalogue: SqlCatalogue) -> None:
    stop, audited = threading.Event(), threading.Semaphore(0)

    class Telling(MemoryBlobs):
        def list(self, prefix: str) -> Iterator[BlobInfo]:
            audited.release()
            return super().list(prefix)

    settings = WorkerSettings(audit_interval_s=0.02)
    Auditor(catalogue, Telling(), SilentBell(), settings).start(stop)
    for _ in range(2):
        assert audited.acquire(timeout=60)
    stop.set()
