"""Every rule of repair, by its name: it mends what it is for, nothing else claims to have mended it, it may run again
without doing anything, and it is counted. The names are those that the manual tells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from infra.edge.purging import EdgePurger
from storage.audit import GRACE_MS
from storage.blobs import BlobInfo
from storage.blobs.memory import MemoryBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.dooming import doom_superseded
from storage.catalogue.sql.tables import doomed, jobs
from storage.ids import VideoId
from storage.jobs import LANES_BY_URGENCY, JobKind, JobState, Lane, SilentBell
from storage.lifecycle import VideoState
from storage.media.ladder import RECIPE
from tests.builders import a_new_upload, a_published, an_encoded
from tests.journeys import (
    HOUR_MS,
    MINUTE_MS,
    a_playable_video,
    a_ready_video,
    an_encoding_video,
    an_uploaded_video,
    do,
    let_time_pass,
    take,
)
from tests.workshop import RecordingBell, a_workshop, an_upload_of
from upload_api.ports import Ports
from upload_api.tus.recovery import Janitor
from workers.auditing import Auditor
from workers.drain import Drain
from workers.settings import WorkerSettings
from workers.sweeper import Sweeper, SweeperMetrics

MANUAL = Path(__file__).parents[3] / "docs" / "how-to" / "audit-and-repair.md"
DAY_MS = 24 * HOUR_MS
SETTINGS = WorkerSettings(audit_interval_s=0.001, keep_source_ms=DAY_MS, keep_failed_ms=DAY_MS)


class OldBlobs(MemoryBlobs):
    """Everything in it was stored before the grace time."""

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        for info in super().list(prefix):
            yield replace(info, modified_at_ms=(info.modified_at_ms or 0) - GRACE_MS - 1000)


@dataclass
class Place:
    """What is repaired, those who repair, and what they count."""

    scratch: Path
    catalogue: SqlCatalogue = field(default_factory=SqlCatalogue.in_memory)
    blobs: OldBlobs = field(default_factory=OldBlobs)
    bell: RecordingBell = field(default_factory=RecordingBell)
    by_the_api: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._registry = CollectorRegistry()
        self._metrics = SweeperMetrics(self._registry)
        ports = Ports(catalogue=self.catalogue, blobs=self.blobs, bell=self.bell)
        self._janitor = Janitor(ports, count=lambda rule, repairs: self.by_the_api.update({rule: repairs}))
        purger = EdgePurger(self.catalogue, ["http://cache.invalid/"], again_after_ms=0)
        purger._purged = lambda url, tag: self.cache_answers  # type: ignore[method-assign]
        self._purger = purger
        self.cache_answers = True

    def pass_(self) -> None:
        """Everybody who repairs makes one round."""
        sweeper = Sweeper(self.catalogue, self.blobs, self.bell, SETTINGS, holder="sweeper", metrics=self._metrics)
        self._janitor.tidy()
        assert sweeper.sweep_once()
        assert Auditor(
            self.catalogue, self.blobs, self.bell, SETTINGS, holder="auditor", repairs=self._metrics
        ).audit_once()
        self._purger.purge_once()

    def counted(self) -> dict[str, float]:
        """Repairs by rule; rules that repaired nothing are left out."""
        found: Counter[str] = Counter()
        for family in self._registry.collect():
            for sample in family.samples:
                if sample.name == "fishladder_sweeper_repairs_total":
                    found[sample.labels["rule"]] += int(sample.value)
                elif sample.name in ("fishladder_sweeper_deleted_total", "fishladder_sweeper_expired_uploads_total"):
                    found[sample.name] += int(sample.value)
        return dict(+(found + self.by_the_api))

    def job(self, video: VideoId, kind: JobKind) -> tuple[JobState, int]:
        (found,) = (it for it in self.catalogue.jobs(video=video) if it.kind is kind)
        return found.state, found.kills

    def work_off(self) -> None:
        parts = a_workshop(
            self.scratch,
            catalogue=self.catalogue,
            blobs=self.blobs,
            min_free_disk_bytes=0,
            min_free_memory_bytes=0,
        )
        runner = parts.runner(SilentBell(), Drain())
        while runner.run_one(LANES_BY_URGENCY):
            pass


Healed = Callable[[], bool]
RULES: dict[str, Callable[[Place], Healed]] = {}
"""By the rule that is counted: does the damage, and returns what is true once it is repaired."""


def rule(name: str) -> Callable[[Callable[[Place], Healed]], Callable[[Place], Healed]]:
    def enter(damage: Callable[[Place], Healed]) -> Callable[[Place], Healed]:
        RULES[name] = damage
        return damage

    return enter


@rule("expired_lease")
def a_worker_died(place: Place) -> Healed:
    video, _ = an_uploaded_video(place.catalogue)
    take(place.catalogue, JobKind.INSPECT, lease_ms=-1)
    return lambda: place.job(video, JobKind.INSPECT) == (JobState.READY, 1) and place.bell.rung == [Lane.PLAYABLE]


@rule("dead_letter")
def a_third_worker_died_of_the_same_job(place: Place) -> Healed:
    video, _ = an_uploaded_video(place.catalogue)
    for number in range(SETTINGS.max_kills):
        take(place.catalogue, JobKind.INSPECT, lease_ms=-1)
        if number < SETTINGS.max_kills - 1:
            place.catalogue.sweep(max_kills=SETTINGS.max_kills, stale_bell_ms=HOUR_MS)
    return lambda: (
        place.job(video, JobKind.INSPECT) == (JobState.DEAD, 3)
        and place.catalogue.video(video).state is VideoState.FAILED
    )


@rule("unheard_bell")
def a_bell_was_lost(place: Place) -> Healed:
    an_uploaded_video(place.catalogue)
    let_time_pass(place.catalogue, MINUTE_MS)
    return lambda: place.bell.rung == [Lane.PLAYABLE]


@rule("missing_publish")
def chunks_landed_and_nobody_goes_on(place: Place) -> Healed:
    """The parent of finished children that did not advance."""
    video = a_playable_video(place.catalogue)
    do(place.catalogue, JobKind.ENCODE, an_encoded({"360p": (1,), "720p": (1,)}))
    job = take(place.catalogue, JobKind.PUBLISH)
    place.catalogue.commit(job.id, job.token, a_published(revision=1))
    return lambda: any(it.kind is JobKind.PUBLISH for it in place.catalogue.jobs(video=video, state=JobState.READY))


@rule("stuck")
def a_video_lost_its_jobs(place: Place) -> Healed:
    video, _ = an_uploaded_video(place.catalogue)
    with place.catalogue._db.write() as tx:
        tx.execute(jobs.delete())
    let_time_pass(place.catalogue, HOUR_MS)
    return lambda: place.job(video, JobKind.INSPECT) == (JobState.READY, 0)


@rule("retired_source")
def a_source_is_not_needed_any_more(place: Place) -> Healed:
    video = an_upload_of(b"film", place.catalogue, place.blobs)
    place.work_off()
    let_time_pass(place.catalogue, 2 * DAY_MS)

    def dropped() -> bool:
        return any(it.key == place.catalogue.video(video).source_key for it in _due_later(place))

    return dropped


@rule("retired_video")
def a_failed_video_that_nobody_wants(place: Place) -> Healed:
    video = an_encoding_video(place.catalogue)
    job = take(place.catalogue, JobKind.ENCODE)
    place.catalogue.bury(job.id, job.token, "it cannot be done")
    let_time_pass(place.catalogue, 2 * DAY_MS)
    return lambda: place.catalogue.video(video).state is VideoState.DELETED


@rule("orphan")
def an_object_that_no_row_names(place: Place) -> Healed:
    an_encoding_video(place.catalogue)
    do(place.catalogue, JobKind.ENCODE, an_encoded({"360p": tuple(range(100))}))  # of a hundred objects one may go
    known = {reference.key for reference in place.catalogue.holdings().references}
    for key in known:
        place.blobs.put(key, b"known")
    place.blobs.put(min(known).rpartition("/")[0] + "/stray.m4s", b"of a commit that was refused")
    return lambda: {info.key for info in place.blobs.list("")} == known


@rule("fishladder_sweeper_deleted_total")
def an_object_that_lost_its_race(place: Place) -> Healed:
    """As whatever is deleted or superseded it is on the list of what goes."""
    place.blobs.put("a-0000000000000000/master-000000000000.m3u8", b"of a moment ago")
    with place.catalogue._db.write() as tx:
        doom_superseded(tx, {"a-0000000000000000/master-000000000000.m3u8"})
    let_time_pass(place.catalogue, HOUR_MS)
    return lambda: list(place.blobs.list("")) == []


@rule("stranded")
def an_upload_that_was_never_completed(place: Place) -> Healed:
    upload = place.catalogue.create_upload(a_new_upload(length_bytes=4))
    token = place.catalogue.acquire_upload(upload.id, "dead server", MINUTE_MS)
    multipart = place.blobs.begin_multipart(upload.source_key)
    place.catalogue.begin_source(upload.id, token, multipart)
    part = place.blobs.put_part(upload.source_key, multipart, 1, b"film")
    place.catalogue.record_progress(upload.id, token, offset_bytes=4, new_parts=(part,), tail=None)
    place.catalogue.release_upload(upload.id, token)
    return lambda: (
        place.catalogue.video(upload.video).state is VideoState.INSPECTING
        and place.blobs.get(upload.source_key) == b"film"
    )


@rule("expired")
def an_upload_that_nobody_goes_on_with(place: Place) -> Healed:
    upload = place.catalogue.create_upload(a_new_upload(length_bytes=4, lifetime_ms=-1))
    return lambda: place.catalogue.video(upload.video).state is VideoState.DELETED


@rule("multipart")
def parts_of_an_upload_that_nobody_knows(place: Place) -> Healed:
    place.blobs.begin_multipart("sources/0000000000000000")
    place.pass_()  # it may have been begun this moment: the second look counts
    return lambda: list(place.blobs.list_multiparts("")) == []


def two_of_the_same_bytes(place: Place) -> tuple[VideoId, VideoId]:
    """The second waits for what the first becomes."""

    def uploaded() -> VideoId:
        upload = place.catalogue.create_upload(a_new_upload(length_bytes=4))
        token = place.catalogue.acquire_upload(upload.id, "server", MINUTE_MS)
        place.blobs.put(upload.source_key, b"film")
        place.catalogue.record_progress(upload.id, token, offset_bytes=4, new_parts=(), tail=None)
        place.catalogue.set_upload_digest(upload.id, "0" * 64)
        place.catalogue.complete_upload(upload.id, token, recipe=RECIPE)
        return upload.video

    return uploaded(), uploaded()


@rule("reused")
def what_was_waited_for_is_ready(place: Place) -> Healed:
    first, second = two_of_the_same_bytes(place)
    place.work_off()
    assert place.catalogue.video(first).state is VideoState.READY
    return lambda: place.catalogue.video(second).state is VideoState.READY


@rule("left_alone")
def what_was_waited_for_came_to_nothing(place: Place) -> Healed:
    first, second = two_of_the_same_bytes(place)
    place.catalogue.delete_video(first)

    def set_to_work() -> bool:
        job = place.catalogue.claim("worker", LANES_BY_URGENCY, MINUTE_MS)
        return job is not None and job.video == second

    return set_to_work


def _due_later(place: Place) -> list[object]:
    """All that is on the list of what goes."""
    let_time_pass(place.catalogue, HOUR_MS)
    return list(place.catalogue.doomed(100))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_repairs_is_counted_and_may_run_again(name: str, tmp_path: Path) -> None:
    place = Place(tmp_path)
    healed = RULES[name](place)
    if name != "fishladder_sweeper_deleted_total":
        with place.catalogue._db.write() as tx:  # as if what was to go by the way had gone
            tx.execute(doomed.delete())
    assert place.counted() == {}
    place.pass_()
    assert place.counted() == {name: 1}
    again = place.counted()
    place.pass_()
    assert place.counted() == again
    assert healed()


def test_what_a_cache_was_not_told_is_told_until_it_answers(tmp_path: Path) -> None:
    """The outbox: what is not acted on is counted as a lag, and goes out again."""
    place = Place(tmp_path)
    place.pass_()
    video = a_ready_video(place.catalogue)
    place.catalogue.delete_video(video)
    let_time_pass(place.catalogue, MINUTE_MS)
    place.cache_answers = False
    for _ in range(2):
        place.pass_()
        assert all(lag_ms > 0 for lag_ms in place.catalogue.follower_lags_ms().values())
    place.cache_answers = True
    for _ in range(2):
        place.pass_()
        assert set(place.catalogue.follower_lags_ms().values()) == {0}


def test_the_manual_names_every_rule() -> None:
    told = MANUAL.read_text()
    table = set(re.findall(r"^\| (`[a-z_`, ]+`) \|", told, re.MULTILINE))
    assert {name for cell in table for name in re.findall(r"[a-z_]+", cell)} == {
        name for name in RULES if not name.startswith("fishladder_")
    }
    assert all(name in told for name in RULES)


def test_a_long_queue_is_rung_for_bit_by_bit() -> None:
    """A sweep holds its locks for a moment only, however much waits."""
    catalogue = SqlCatalogue.in_memory()
    an_uploaded_video(catalogue)
    with catalogue._db.write() as tx:
        (row,) = (dict(it._mapping) for it in tx.all(jobs.select()))
        tx.execute(jobs.insert(), [row | {"id": f"j{number}", "kind": "encode"} for number in range(1200)])
    let_time_pass(catalogue, MINUTE_MS)
    rung = [catalogue.sweep(max_kills=3, stale_bell_ms=30_000).repairs.get("unheard_bell", 0) for _ in range(4)]
    assert rung == [500, 500, 201, 0]
