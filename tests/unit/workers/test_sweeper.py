"""What the sweeper repairs and what it throws away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Doomed, NewUpload, Swept, Upload
from storage.catalogue.sql import SqlCatalogue
from storage.errors import NotFound, StoreUnavailable
from storage.ids import DEFAULT_TENANT
from storage.jobs import Lane
from storage.keys import tail_key
from storage.lifecycle import VideoState
from tests.workshop import RecordingBell
from workers.settings import WorkerSettings
from workers.sweeper import Sweeper, SweeperMetrics

SETTINGS = WorkerSettings(sweep_interval_s=3600)


class DoomingCatalogue(SqlCatalogue):
    """Has objects to be deleted, at once."""

    waiting: tuple[Doomed, ...] = ()

    def doomed(self, limit: int) -> tuple[Doomed, ...]:
        return self.waiting[:limit]

    def may_go(self, entry: Doomed) -> bool:
        return True

    def forget_doomed(self, ids: tuple[int, ...]) -> None:
        self.waiting = tuple(doomed for doomed in self.waiting if doomed.id not in ids)


def a_sweeper(catalogue: SqlCatalogue, blobs: MemoryBlobs | None = None, holder: str = "one") -> Sweeper:
    return Sweeper(catalogue, blobs or MemoryBlobs(), RecordingBell(), SETTINGS, holder=holder)


def test_only_one_sweeper_leads() -> None:
    catalogue = SqlCatalogue.in_memory()
    assert a_sweeper(catalogue, holder="one").sweep_once()
    assert not a_sweeper(catalogue, holder="two").sweep_once()
    assert a_sweeper(catalogue, holder="one").sweep_once()


def test_a_sweeper_that_ends_lets_another_lead() -> None:
    catalogue = SqlCatalogue.in_memory()
    stop = threading.Event()
    stop.set()
    a_sweeper(catalogue, holder="one").run(stop)
    assert a_sweeper(catalogue, holder="two").sweep_once()


def test_unreferenced_objects_are_deleted_and_forgotten() -> None:
    catalogue, blobs = DoomingCatalogue.in_memory(), MemoryBlobs()
    for key in ("a-1/720p/0.m4s", "a-1/master.m3u8", "a-2/master.m3u8", "sources/v"):
        blobs.put(key, b"x")
    catalogue.waiting = (Doomed(id=1, prefix="a-1/", key=None), Doomed(id=2, prefix=None, key="sources/v"))
    a_sweeper(catalogue, blobs).sweep_once()
    assert [info.key for info in blobs.list("")] == ["a-2/master.m3u8"]
    assert catalogue.waiting == ()


def test_what_the_store_does_not_delete_now_is_not_forgotten() -> None:
    class Stubborn(MemoryBlobs):
        def delete(self, key: str) -> None:
            raise StoreUnavailable

    catalogue = DoomingCatalogue.in_memory()
    catalogue.waiting = (Doomed(id=1, prefix=None, key="sources/v"), Doomed(id=2, prefix="a-1/", key=None))
    a_sweeper(catalogue, Stubborn()).sweep_once()
    assert [doomed.id for doomed in catalogue.waiting] == [1]


def an_unfinished_upload(catalogue: SqlCatalogue, blobs: MemoryBlobs, lifetime_ms: int) -> Upload:
    upload = catalogue.create_upload(
        NewUpload(
            tenant=DEFAULT_TENANT,
            length_bytes=1000,
            metadata_raw=None,
            title="Film",
            filename=None,
            lane=Lane.STANDARD,
            lifetime_ms=lifetime_ms,
        )
    )
    token = catalogue.acquire_upload(upload.id, "test", 1000)
    catalogue.begin_source(upload.id, token, blobs.begin_multipart(upload.source_key))
    blobs.put(tail_key(upload.video, token, 10), b"0123456789")
    catalogue.release_upload(upload.id, token)
    return upload


def test_an_expired_upload_leaves_nothing_behind() -> None:
    catalogue, blobs = SqlCatalogue.in_memory(), MemoryBlobs()
    upload = an_unfinished_upload(catalogue, blobs, lifetime_ms=-1)
    a_sweeper(catalogue, blobs).sweep_once()
    assert catalogue.upload(upload.id).state == "terminated"
    assert catalogue.video(upload.video).state is VideoState.DELETED
    assert list(blobs.list_multiparts("")) == []
    assert list(blobs.list("")) == []


def test_an_upload_in_its_time_is_left_alone() -> None:
    catalogue, blobs = SqlCatalogue.in_memory(), MemoryBlobs()
    upload = an_unfinished_upload(catalogue, blobs, lifetime_ms=60_000)
    a_sweeper(catalogue, blobs).sweep_once()
    assert catalogue.upload(upload.id).state == "open"
    assert len(list(blobs.list_multiparts(""))) == 1


def test_one_failing_pass_does_not_end_the_sweeper(tmp_path: Path) -> None:
    stop = threading.Event()

    class Failing(SqlCatalogue):
        passes = 0

        def sweep(self, *, max_kills: int, stale_bell_ms: int) -> Swept:
            self.passes += 1
            if self.passes == 1:
                raise RuntimeError("a bug")
            stop.set()
            return super().sweep(max_kills=max_kills, stale_bell_ms=stale_bell_ms)

    catalogue, registry = Failing.in_memory(), CollectorRegistry()
    settings = WorkerSettings(sweep_interval_s=0.01)
    metrics = SweeperMetrics(registry)
    Sweeper(catalogue, MemoryBlobs(), RecordingBell(), settings, metrics=metrics).run(stop)
    assert catalogue.passes == 2
    assert registry.get_sample_value("fishladder_sweeper_failures_total") == 1


@pytest.mark.parametrize("changes", [{"lease_ms": 0}, {"drain_ms": -1}, {"sweep_interval_s": 0.0}])
def test_settings_that_make_no_sense_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"lease_ms|drain_ms"):
        WorkerSettings(**changes)  # type: ignore[arg-type]


def test_a_missing_object_is_as_good_as_deleted() -> None:
    catalogue, blobs = DoomingCatalogue.in_memory(), MemoryBlobs()
    catalogue.waiting = (Doomed(id=1, prefix=None, key="sources/v"),)
    a_sweeper(catalogue, blobs).sweep_once()
    assert catalogue.waiting == ()
    with pytest.raises(NotFound):
        blobs.head("sources/v")


def test_the_parts_of_a_source_that_was_given_up_while_it_came_in_are_dropped() -> None:
    blobs = MemoryBlobs()
    catalogue = DoomingCatalogue.in_memory()
    upload = an_unfinished_upload(catalogue, blobs, lifetime_ms=60_000)
    other = an_unfinished_upload(catalogue, blobs, lifetime_ms=60_000)
    catalogue.waiting = (Doomed(id=1, prefix=None, key=upload.source_key),)
    a_sweeper(catalogue, blobs).sweep_once()
    assert [key for key, _ in blobs.list_multiparts("")] == [other.source_key]
