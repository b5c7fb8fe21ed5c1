"""Deduplication: a file that a tenant has uploaded before is not encoded again. Its video points at the asset that is
there; the last one to let go of an asset drops it (`moving.leave_asset`).

Only finished assets are shared: nothing is at work on them, so nothing that happens to one of their videos can take from
the others. What is done to an asset later (captions, a poster) shows on all of them.
"""

from __future__ import annotations

import sqlalchemy as sa

from storage.catalogue.sql.dooming import doom_key
from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.key_tables import encryption_wishes
from storage.catalogue.sql.moving import lock_asset, locked_video, move
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.tables import assets, jobs, uploads, videos
from storage.jobs import JobState
from storage.lifecycle import VideoState
from storage.media.source import Note
from storage.records import to_record

REUSED = Note(code="reused", sentence="This file was uploaded before: what was made of it then is used again.")


def recognise(tx: Transaction, video: Row, upload: Row, recipe: str) -> bool:
    """True if ``video``, whose upload is whole, is ready at once with what was made of the same bytes before. Under its
    lock."""
    if not upload.digest:
        return False
    found = tx.first(_twins(video, upload, recipe).order_by(videos.c.ready_at_ms.desc(), videos.c.id).limit(1))
    if found is None or not lock_asset(tx, found.asset_id):
        return False
    twin = tx.first(_twins(video, upload, recipe).where(videos.c.id == found.id))  # is it still there, with its asset?
    if twin is None or twin.asset_id != found.asset_id:
        return False
    placeholder = video.asset_id
    move(
        tx,
        video,
        VideoState.INSPECTING,
        asset_id=twin.asset_id,
        uploaded_at_ms=tx.now,
        received_bytes=upload.length_bytes,
        source_bytes=upload.length_bytes,
    )
    move(
        tx,
        locked_video(tx, video.id),
        VideoState.ENCODING,
        duration_ms=twin.duration_ms,
        notes=[*twin.notes, *([] if to_record(REUSED) in twin.notes else [to_record(REUSED)])],
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
    return True


def _twins(video: Row, upload: Row, recipe: str) -> sa.Select[tuple[object, ...]]:
    """Videos of the same tenant that were made of the same bytes in the same way, and that nobody works on any more."""
    mine, theirs = (
        sa.select(encryption_wishes.c.encryption).where(encryption_wishes.c.video_id == whose).scalar_subquery()
        for whose in (video.id, videos.c.id)
    )
    at_work = (
        sa.select(jobs.c.id)
        .where(jobs.c.video_id == videos.c.id, jobs.c.state.in_([JobState.READY, JobState.LEASED]))
        .exists()
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
            videos.c.state == VideoState.READY,
            assets.c.recipe == recipe,
            mine.is_not_distinct_from(theirs),
            ~at_work,
        )
    )
