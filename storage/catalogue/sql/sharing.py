"""Deduplication: a file that a tenant has uploaded before is not encoded again. Its video points at the asset that is
there; the last one to let go of an asset drops it (`moving.leave_asset`).

Only finished assets are shared: nothing is at work on them, so nothing that happens to one of their videos can take from
the others. What is done to an asset later (captions, a poster) shows on all of them.

Where the same file is at work already, the second video waits for the first: its `INSPECT` job is put off, a while at a
time, and every sweep looks what has become of the first. It is finished: shared. It is gone: the job is due, and who waits
besides waits for this one. Nobody sweeps: the job comes due by itself, and the file is encoded twice.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa

from storage.catalogue.sql.dooming import doom_key
from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.key_tables import encryption_wishes
from storage.catalogue.sql.moving import cancel_jobs, lock_asset, locked_video, move
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.tables import assets, is_ready, jobs, uploads, videos
from storage.jobs import LANES_BY_URGENCY, JobKind, JobState, Lane
from storage.lifecycle import VideoState
from storage.media.source import Note
from storage.records import to_record

REUSED = Note(code="reused", sentence="This file was uploaded before: what was made of it then is used again.")
WAITS = Note(code="waits_for_same", sentence="This file is being encoded already: what comes of it is used here too.")

WAIT_MS = 5 * 60_000
"""Longer than any pause between two sweeps."""
OVERLAP_MS = 60_000
"""A transaction that waited for another one began before it: what the other set to work is due in its future."""
MOST_WAIT_MS = 12 * 3600_000
"""Whoever has waited so long does not depend on others any more."""
BATCH = 200
WAITING = {"waits": True}
"""Payload of the job of a video that waits."""
AT_WORK = (VideoState.INSPECTING, VideoState.ENCODING, VideoState.PLAYABLE, VideoState.READY)


def take_turns(tx: Transaction, tenant: str, digest: str | None) -> None:
    """Of two uploads of the same bytes that are complete at the same moment, one sees the other. SQLite has one writer
    anyway."""
    if digest and tx.connection.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"{tenant}/{digest}"))))


def recognise(tx: Transaction, video: Row, upload: Row, recipe: str) -> bool:
    """True if ``video``, whose upload is whole, is ready at once with what was made of the same bytes before. Under its
    lock."""
    twin = _finished_twin(tx, video, upload, recipe)
    if twin is None:
        return False
    move(
        tx,
        video,
        VideoState.INSPECTING,
        uploaded_at_ms=tx.now,
        received_bytes=upload.length_bytes,
        source_bytes=upload.length_bytes,
    )
    _share(tx, locked_video(tx, video.id), twin)
    return True


def has_twin_at_work(tx: Transaction, video: Row, upload: Row, recipe: str) -> bool:
    """True if the same bytes are being encoded, no less urgently, for another video, which does not wait itself."""
    if not upload.digest:
        return False
    urgent_enough = LANES_BY_URGENCY[: LANES_BY_URGENCY.index(Lane(video.lane)) + 1]
    put_off = jobs.c.run_after_ms > tx.now + OVERLAP_MS
    waits = (
        sa.select(jobs.c.id)
        .where(jobs.c.video_id == videos.c.id, jobs.c.kind == JobKind.INSPECT, is_ready, put_off)
        .exists()
    )
    query = _same(video, upload, recipe).where(videos.c.state.in_(AT_WORK), videos.c.lane.in_(urgent_enough), ~waits)
    return tx.first(query.limit(1)) is not None


def wait(tx: Transaction, video: Row, job_id: str) -> None:
    """Put off the job of a video whose twin is at work."""
    put_off = {"run_after_ms": tx.now + WAIT_MS, "payload": WAITING}
    tx.execute(sa.update(jobs).where(jobs.c.id == job_id).values(**put_off))
    notes = [*video.notes, to_record(WAITS)]
    tx.execute(sa.update(videos).where(videos.c.id == video.id).values(notes=notes))


def settle_waiting(tx: Transaction, *, deduplicates: bool, repairs: Counter[str], bells: Counter[Lane]) -> None:
    """Everybody who waits, the first first: ready with what the twin became, put off again, or set to work."""
    put_off = sa.select(jobs).where(is_ready, jobs.c.kind == JobKind.INSPECT, jobs.c.run_after_ms > tx.now)
    for seen in tx.all(put_off.order_by(jobs.c.created_at_ms, jobs.c.id).limit(BATCH)):
        if seen.payload != WAITING:
            continue  # it waits after an error
        video = locked_video(tx, seen.video_id)
        job = tx.first(sa.select(jobs).where(jobs.c.id == seen.id, is_ready).with_for_update())
        upload = tx.first(sa.select(uploads).where(uploads.c.id == video.upload_id))
        if job is None or upload is None or video.state != VideoState.INSPECTING:
            continue  # deleted or cancelled in this moment
        twin = _finished_twin(tx, video, upload, job.recipe) if deduplicates else None
        if twin is not None:
            cancel_jobs(tx, video.id, REUSED.sentence)
            _share(tx, video, twin)
            repairs["reused"] += 1
        elif (
            deduplicates
            and tx.now - job.created_at_ms < MOST_WAIT_MS
            and has_twin_at_work(tx, video, upload, job.recipe)
        ):
            tx.execute(sa.update(jobs).where(jobs.c.id == job.id).values(run_after_ms=tx.now + WAIT_MS))
        else:
            due: dict[str, Any] = {"run_after_ms": tx.now, "bell_at_ms": tx.now, "payload": {}}
            tx.execute(sa.update(jobs).where(jobs.c.id == job.id).values(**due))
            tx.execute(sa.update(videos).where(videos.c.id == video.id).values(notes=_without_waits(video.notes)))
            repairs["left_alone"] += 1
            bells[Lane(job.lane)] += 1


def _share(tx: Transaction, video: Row, twin: Row) -> None:
    """``video``, in inspection, is ready with the asset of ``twin``."""
    placeholder = video.asset_id
    reused = to_record(REUSED)
    notes = [*twin.notes, *([] if reused in twin.notes else [reused])]
    move(
        tx,
        video,
        VideoState.ENCODING,
        asset_id=twin.asset_id,
        duration_ms=twin.duration_ms,
        notes=_without_waits(notes),
    )
    move(
        tx,
        locked_video(tx, video.id),
        VideoState.READY,
        progress=1.0,
        playable_at_ms=tx.now,
        ready_at_ms=tx.now,
        source_dropped_at_ms=tx.now,
    )
    doom_key(tx, video.source_key)  # one copy of the source is enough
    tx.execute(sa.delete(assets).where(assets.c.id == placeholder))


def _without_waits(notes: Any) -> list[Any]:
    return [note for note in notes if note != to_record(WAITS)]


def _finished_twin(tx: Transaction, video: Row, upload: Row, recipe: str) -> Row | None:
    """With its asset locked: it stays until the transaction ends."""
    if not upload.digest:
        return None
    found = tx.first(_twins(video, upload, recipe).order_by(videos.c.ready_at_ms.desc(), videos.c.id).limit(1))
    if found is None or not lock_asset(tx, found.asset_id):
        return None
    twin = tx.first(_twins(video, upload, recipe).where(videos.c.id == found.id))  # is it still there, with its asset?
    return None if twin is None or twin.asset_id != found.asset_id else twin


def _twins(video: Row, upload: Row, recipe: str) -> sa.Select[tuple[object, ...]]:
    """Videos of the same tenant that were made of the same bytes in the same way, and that nobody works on any more."""
    at_work = (
        sa.select(jobs.c.id)
        .where(jobs.c.video_id == videos.c.id, jobs.c.state.in_([JobState.READY, JobState.LEASED]))
        .exists()
    )
    return _same(video, upload, recipe).where(videos.c.state == VideoState.READY, ~at_work)


def _same(video: Row, upload: Row, recipe: str) -> sa.Select[tuple[object, ...]]:
    """Other videos of the same tenant, the same bytes, the same recipe and the same wish for encryption."""
    mine, theirs = (
        sa.select(encryption_wishes.c.encryption).where(encryption_wishes.c.video_id == whose).scalar_subquery()
        for whose in (video.id, videos.c.id)
    )
    return (
        sa.select(videos)
        .join(uploads, uploads.c.id == videos.c.upload_id)
        .join(assets, assets.c.id == videos.c.asset_id)
        .where(
            uploads.c.digest == upload.digest,
            uploads.c.length_bytes == upload.length_bytes,
            videos.c.tenant == video.tenant,
            videos.c.id != video.id,
            assets.c.recipe == recipe,
            mine.is_not_distinct_from(theirs),
        )
    )
