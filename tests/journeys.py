"""Videos brought to where a test begins, by the catalogue's own methods."""

from __future__ import annotations

import sqlalchemy as sa

from storage.catalogue import NewUpload
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.tables import metadata
from storage.ids import UploadId, VideoId
from storage.jobs import LANES_BY_URGENCY, Inspected, Job, JobKind, Outcome
from tests.builders import a_new_upload, a_published, an_encoded, an_inspected

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def an_uploaded_video(catalogue: SqlCatalogue, new: NewUpload | None = None) -> tuple[VideoId, UploadId]:
    """A video that waits for its inspection."""
    upload = catalogue.create_upload(new or a_new_upload())
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.begin_source(upload.id, token, "multipart")
    catalogue.record_progress(upload.id, token, offset_bytes=upload.length_bytes or 0, new_parts=(), tail=None)
    catalogue.complete_upload(upload.id, token, recipe="1")
    return upload.video, upload.id


def an_encoding_video(catalogue: SqlCatalogue, inspected: Inspected | None = None) -> VideoId:
    """A video whose chunks wait to be encoded."""
    video, _ = an_uploaded_video(catalogue)
    do(catalogue, JobKind.INSPECT, inspected or an_inspected())
    return video


def a_playable_video(catalogue: SqlCatalogue) -> VideoId:
    """A video with its first chunk encoded and published at revision 1."""
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded())
    do(catalogue, JobKind.PUBLISH, a_published(revision=1))
    return video


def a_ready_video(catalogue: SqlCatalogue) -> VideoId:
    """A video whose last manifest is published; its thumbnails still wait."""
    video = a_playable_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1, 2, 3), "720p": (1, 2, 3)}))
    do(catalogue, JobKind.PUBLISH, a_published(revision=2, final=True))
    return video


def do(catalogue: SqlCatalogue, kind: JobKind, outcome: Outcome) -> Job:
    """Claim the next job of ``kind`` and commit ``outcome`` for it."""
    job = take(catalogue, kind)
    catalogue.commit(job.id, job.token, outcome)
    return job


def take(catalogue: SqlCatalogue, kind: JobKind, worker: str = "worker", lease_ms: int = MINUTE_MS) -> Job:
    """The next job of ``kind``, claimed; other jobs that come first are claimed and handed back."""
    passed: list[Job] = []
    try:
        while (job := catalogue.claim(worker, LANES_BY_URGENCY, lease_ms)) is not None:
            if job.kind is kind:
                return job
            passed.append(job)
        raise AssertionError(f"no {kind} job is ready")
    finally:
        for job in passed:
            catalogue.release(job.id, job.token)


def let_time_pass(catalogue: SqlCatalogue, ms: int) -> None:
    """Nobody can set the database's clock: so everything that is in it happened ``ms`` earlier."""
    with catalogue._db.write() as tx:
        for table in metadata.sorted_tables:
            times = [column for column in table.c if column.name.endswith(("at_ms", "after_ms", "until_ms"))]
            if times:
                tx.execute(sa.update(table).values({column.name: column - ms for column in times}))
