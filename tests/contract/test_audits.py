"""Audits: what is lost, doubled, orphaned or stuck is found, what may be deleted is, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.audit import Audit, Finding, FindingKind, deletable
from storage.blobs import BlobInfo
from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Concat, NewUpload
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.catalogue.sql.tables import jobs
from storage.errors import Conflict
from storage.grants import Visibility
from storage.ids import DEFAULT_TENANT, TenantId, VideoId
from storage.jobs import LANES_BY_URGENCY, JobKind, JobState, Lane, SilentBell
from storage.lifecycle import VideoState
from storage.media.ladder import RECIPE
from tests.builders import a_new_upload
from tests.journeys import HOUR_MS, a_ready_video, an_encoding_video, an_uploaded_video, let_time_pass, take
from tests.workshop import a_workshop
from workers.audit import audit, repair
from workers.drain import Drain
from workers.parts import RunnerParts


def a_finished_video(parts: RunnerParts) -> VideoId:
    new = NewUpload(
        tenant=DEFAULT_TENANT, length_bytes=4, metadata_raw=None, title="Film", filename=None, lane=Lane.STANDARD
    )
    upload = parts.catalogue.create_upload(new)
    token = parts.catalogue.acquire_upload(upload.id, "test", 60_000)
    parts.blobs.put(upload.source_key, b"film")
    parts.catalogue.record_progress(upload.id, token, offset_bytes=4, new_parts=(), tail=None)
    parts.catalogue.complete_upload(upload.id, token, recipe=RECIPE)
    work_off(parts)
    assert parts.catalogue.video(upload.video).state is VideoState.READY
    return upload.video


def work_off(parts: RunnerParts) -> None:
    runner = parts.runner(SilentBell(), Drain())
    while runner.run_one(LANES_BY_URGENCY):
        pass


@pytest.fixture
def parts(catalogue: SqlCatalogue, tmp_path: Path) -> RunnerParts:
    return a_workshop(tmp_path, catalogue=catalogue, min_free_disk_bytes=0, min_free_memory_bytes=0)


def kinds(found: Audit) -> dict[str, int]:
    return {str(kind): count for kind, count in found.counts().items() if count}


def test_a_finished_video_is_in_order(parts: RunnerParts) -> None:
    a_finished_video(parts)
    found = audit(parts.catalogue, parts.blobs, grace_ms=0)
    assert found.clean
    assert found.referenced > 10


def test_a_missing_and_a_truncated_object_are_lost(parts: RunnerParts) -> None:
    video = a_finished_video(parts)
    asset = parts.catalogue.video(video).asset
    segments = sorted(info.key for info in parts.blobs.list(f"{asset}/240p/") if info.key.endswith(".m4s"))
    parts.blobs.delete(segments[0])
    parts.blobs.delete(segments[1])
    parts.blobs.put(segments[1], b"half")
    found = audit(parts.catalogue, parts.blobs, grace_ms=0)
    assert kinds(found) == {"lost": 2}
    assert {it.key for it in found.findings} == set(segments[:2])
    assert all(it.video == video for it in found.findings)


def test_the_object_of_a_refused_commit_is_doubled_and_goes(parts: RunnerParts) -> None:
    asset = parts.catalogue.video(a_finished_video(parts)).asset
    parts.blobs.put(f"{asset}/240p/1-ffffffffffff.m4s", b"of a zombie")
    found = audit(parts.catalogue, parts.blobs, grace_ms=0)
    assert kinds(found) == {"doubled": 1}
    assert repair(parts.catalogue, parts.blobs, SilentBell(), found, confirmed=True).deleted == 1
    assert audit(parts.catalogue, parts.blobs, grace_ms=0).clean


def test_a_young_object_proves_nothing(parts: RunnerParts) -> None:
    asset = parts.catalogue.video(a_finished_video(parts)).asset
    parts.blobs.put(f"{asset}/240p/99-ffffffffffff.m4s", b"its commit is under way")
    found = audit(parts.catalogue, parts.blobs, grace_ms=HOUR_MS)
    assert found.clean
    assert found.young == 1


def test_what_is_doomed_and_what_comes_in_is_no_stray(parts: RunnerParts) -> None:
    video = a_finished_video(parts)
    parts.catalogue.delete_video(video)
    upload = parts.catalogue.create_upload(
        NewUpload(tenant=DEFAULT_TENANT, length_bytes=9, metadata_raw=None, title="", filename=None, lane=Lane.BULK)
    )
    parts.blobs.put(f"tails/{upload.video}/1-4", b"tail")
    assert audit(parts.catalogue, parts.blobs, grace_ms=0).clean


def test_a_video_at_work_without_a_job_is_stuck_and_set_going(parts: RunnerParts) -> None:
    assert isinstance(parts.catalogue, SqlCatalogue)
    video = an_encoding_video(parts.catalogue)
    with parts.catalogue._db.write() as tx:  # as if somebody had been at the rows
        tx.execute(jobs.delete().where(jobs.c.video_id == video))
    found = audit(parts.catalogue, MemoryBlobs(), grace_ms=0)
    assert [it.video for it in found.of(FindingKind.STUCK)] == [video]
    assert repair(parts.catalogue, parts.blobs, SilentBell(), found).set_going == 1
    assert audit(parts.catalogue, MemoryBlobs(), grace_ms=0).of(FindingKind.STUCK) == ()


def test_a_video_in_inspection_without_a_job_is_inspected(catalogue: SqlCatalogue) -> None:
    video, _ = an_uploaded_video(catalogue)
    with catalogue._db.write() as tx:
        tx.execute(jobs.delete().where(jobs.c.video_id == video))
    blobs = MemoryBlobs()
    assert repair(catalogue, blobs, SilentBell(), audit(catalogue, blobs)).set_going == 1
    assert [job.kind for job in catalogue.jobs(video=video)] == [JobKind.INSPECT]


@pytest.mark.parametrize("final", ["waits", "none yet"])
def test_finished_parts_of_an_upload_that_comes_in_are_kept(catalogue: SqlCatalogue, final: str) -> None:
    blobs = MemoryBlobs()
    partials = [catalogue.create_upload(a_new_upload(concat=Concat.PARTIAL)) for _ in range(2)]
    if final == "waits":
        joins = tuple(each.id for each in partials)
        catalogue.create_upload(a_new_upload(concat=Concat.FINAL, joins=joins, length_bytes=None))
    done, coming = partials
    token = catalogue.acquire_upload(done.id, "writer", HOUR_MS)
    blobs.put(done.source_key, b"x" * 1000)
    catalogue.record_progress(done.id, token, offset_bytes=1000, new_parts=(), tail=None)
    catalogue.complete_partial(done.id, token)
    blobs.put(coming.source_key, b"its row is being written")
    assert audit(catalogue, blobs, grace_ms=0).findings == ()
    blobs.delete(done.source_key)
    assert kinds(audit(catalogue, blobs, grace_ms=0)) == {"lost": 1}
    catalogue.terminate_upload(done.id)
    assert audit(catalogue, blobs, grace_ms=0).findings == ()


def test_what_a_row_names_by_now_is_no_stray(parts: RunnerParts) -> None:
    a_finished_video(parts)
    known = parts.catalogue.holdings()

    class Late(MemoryBlobs):
        def list(self, prefix: str) -> Iterator[BlobInfo]:
            yield from MemoryBlobs.list(self, prefix)
            parts.catalogue.holdings = lambda: known  # type: ignore[method-assign]

    blobs = Late()
    for reference in known.references:
        blobs.put(reference.key, b"x" * (reference.size_bytes or 1))
    parts.catalogue.holdings = lambda: replace(known, references=())  # type: ignore[method-assign]
    assert audit(parts.catalogue, blobs, grace_ms=0).clean


# --- limits ----------------------------------------------------------------------------------------------------------


def an_audit(strays: int, objects: int, *, unknown_owner: bool = False) -> Audit:
    findings = tuple(
        Finding(kind=FindingKind.ORPHANED, key=f"a-0/{number}", unknown_owner=unknown_owner) for number in range(strays)
    )
    return Audit(findings=findings, objects=objects, referenced=objects - strays, young=0)


def test_more_than_a_hundredth_of_the_store_is_never_deleted_unasked() -> None:
    assert len(deletable(an_audit(10, 1000))) == 10
    assert deletable(an_audit(11, 1000)) == ()
    assert len(deletable(an_audit(11, 1000), confirmed=True)) == 11


def test_what_belongs_to_an_unknown_asset_is_never_deleted_unasked() -> None:
    assert deletable(an_audit(1, 1000, unknown_owner=True)) == ()
    assert len(deletable(an_audit(1, 1000, unknown_owner=True), confirmed=True)) == 1


# --- an older backup -------------------------------------------------------------------------------------------------


def test_after_restoring_an_older_database_its_videos_are_taken_up_again(tmp_path: Path) -> None:
    """Videos that came after the backup are listed, nothing of them is deleted, and one is ready again under its old id."""
    database, backup = tmp_path / "catalogue.sqlite3", tmp_path / "backup.sqlite3"
    migrate(f"sqlite:///{database}")
    blobs = MemoryBlobs()
    before = opened(database, blobs, tmp_path)
    old = a_finished_video(before)
    before.catalogue.close()
    shutil.copy(database, backup)

    after = opened(database, blobs, tmp_path)
    new = a_finished_video(after)
    after.catalogue.close()
    for file in tmp_path.glob("catalogue.sqlite3*"):
        file.unlink()
    shutil.copy(backup, database)

    restored = opened(database, blobs, tmp_path)
    found = audit(restored.catalogue, blobs, grace_ms=0)
    assert [it.video for it in found.of(FindingKind.ADOPTABLE)] == [new]
    assert found.of(FindingKind.LOST) == ()
    objects = {info.key for info in blobs.list("")}
    assert repair(restored.catalogue, blobs, SilentBell(), found).deleted == 0
    assert {info.key for info in blobs.list("")} == objects

    keep_assets = replace(found, findings=found.of(FindingKind.ADOPTABLE))
    assert repair(restored.catalogue, blobs, SilentBell(), keep_assets, confirmed=True).adopted == 1
    work_off(restored)
    assert restored.catalogue.video(new).state is VideoState.READY
    assert restored.catalogue.video(old).state is VideoState.READY
    with pytest.raises(Conflict):
        restored.catalogue.adopt_source(new, tenant=DEFAULT_TENANT, size_bytes=4, title="", recipe=RECIPE)
    restored.catalogue.close()


def test_adopted_videos_are_of_whom_and_for_whom_a_person_says(catalogue: SqlCatalogue) -> None:
    blobs, lost = MemoryBlobs(), SqlCatalogue.in_memory()
    part = lost.create_upload(a_new_upload(concat=Concat.PARTIAL))
    films = [lost.create_upload(a_new_upload()) for _ in range(2)]
    for upload in (part, *films):
        blobs.put(upload.source_key, b"film")
    found = audit(catalogue, blobs, grace_ms=0)
    assert {it.video for it in found.of(FindingKind.ADOPTABLE)} == {film.video for film in films}
    assert deletable(found) == ()
    known, unknown = films
    catalogue.adopt_source(known.video, tenant=DEFAULT_TENANT, size_bytes=4, title="Known", recipe=RECIPE)
    acme = TenantId("acme")
    done = repair(catalogue, blobs, SilentBell(), found, confirmed=True, tenant=acme, visibility=Visibility.SIGNED)
    assert done.adopted == 1
    assert (catalogue.video(unknown.video).tenant, catalogue.visibility(unknown.video)) == (acme, Visibility.SIGNED)
    assert (catalogue.video(known.video).title, catalogue.visibility(known.video)) == ("Known", None)


def opened(database: Path, blobs: MemoryBlobs, scratch: Path) -> RunnerParts:
    catalogue = SqlCatalogue.open(f"sqlite:///{database}")
    return a_workshop(scratch, catalogue=catalogue, blobs=blobs, min_free_disk_bytes=0, min_free_memory_bytes=0)


# --- what an operator does with dead letters -------------------------------------------------------------------------


def test_a_dead_letter_of_a_failed_video_starts_it_again(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    job = take(catalogue, JobKind.ENCODE)
    catalogue.bury(job.id, job.token, "tool_failed: ffmpeg ended with 1\nstderr: no such filter")
    failed = catalogue.video(video)
    assert failed.reason is not None
    assert "ffmpeg" not in failed.reason  # a sentence for the creator, the cause for the operator
    assert "no such filter" in (catalogue.job(job.id).reason or "")
    again = catalogue.retry_job(job.id, recipe="1")
    assert again.kind is JobKind.INSPECT
    assert catalogue.video(video).state is VideoState.INSPECTING


def test_a_dead_letter_of_a_ready_video_is_tried_again_itself(catalogue: SqlCatalogue) -> None:
    video = a_ready_video(catalogue)
    job = take(catalogue, JobKind.THUMBNAILS)
    catalogue.bury(job.id, job.token, "why")
    again = catalogue.retry_job(job.id, recipe="1")
    assert (again.id, again.state, again.attempts, again.kills) == (job.id, JobState.READY, 0, 0)
    assert take(catalogue, JobKind.THUMBNAILS).token == job.token + 1
    assert catalogue.video(video).state is VideoState.READY


def test_a_discarded_dead_letter_is_not_told_of_any_more(catalogue: SqlCatalogue) -> None:
    an_encoding_video(catalogue)
    job = take(catalogue, JobKind.ENCODE)
    catalogue.bury(job.id, job.token, "why")
    catalogue.discard_job(job.id)
    assert catalogue.jobs(state=JobState.DEAD) == ()
    with pytest.raises(Conflict):
        catalogue.discard_job(job.id)
    with pytest.raises(Conflict):
        catalogue.retry_job(job.id, recipe="1")


# --- retention -------------------------------------------------------------------------------------------------------


def test_sources_and_failed_videos_go_when_their_time_is_over(catalogue: SqlCatalogue) -> None:
    ready, failed = a_ready_video(catalogue), an_encoding_video(catalogue)
    catalogue.fail_video(failed, "code", "Why.")
    keep = {"keep_source_ms": 2 * HOUR_MS, "keep_failed_ms": 2 * HOUR_MS, "limit": 10}
    let_time_pass(catalogue, HOUR_MS)
    assert catalogue.retire(**keep) == {}
    let_time_pass(catalogue, 2 * HOUR_MS)
    assert catalogue.retire(**keep) == {"source": 1, "video": 1}
    assert catalogue.retire(**keep) == {}
    assert catalogue.video(ready).state is VideoState.READY
    assert catalogue.video(failed).state is VideoState.DELETED
    let_time_pass(catalogue, HOUR_MS)
    assert catalogue.video(ready).source_key in {it.key for it in catalogue.doomed(100)}
    assert catalogue.retire(keep_source_ms=None, keep_failed_ms=None, limit=10) == {}
