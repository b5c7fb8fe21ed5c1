"""How a video moves from state to state: by the table in `storage.lifecycle`, under its row's lock, with everything
that has to happen in the same transaction.

Lock order, the same everywhere, so that PostgreSQL never finds a deadlock: video, then upload, then jobs, then assets,
and the order of events last.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from storage import keys
from storage.catalogue.sql.dooming import doom_key, doom_prefix
from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.key_tables import content_keys
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.subtitle_tables import subtitles
from storage.catalogue.sql.tables import assets, jobs, names, segments, uploads, videos
from storage.errors import NotFound, StaleLease
from storage.jobs import JobKind, JobState
from storage.lifecycle import FOLLOWS, VideoState, advance

GIVEN_UP = frozenset({VideoState.REJECTED, VideoState.FAILED, VideoState.DELETED})
"""States in which no work is taken in any more. `READY` is not one: thumbnails may come after it."""


def locked_video(tx: Transaction, video_id: str) -> Row:
    """The video's row, ours until the transaction ends. Raises `NotFound`."""
    row = tx.first(sa.select(videos).where(videos.c.id == video_id).with_for_update())
    if row is None:
        raise NotFound("There is no such video.", video_id=video_id)
    return row


def move(tx: Transaction, video: Row, to: VideoState, **values: Any) -> None:
    """Compare-and-set the video's state, with ``values`` for its other columns, and tell the watchers."""
    advance(VideoState(video.state), to)
    changed = tx.changed(
        sa.update(videos)
        .where(videos.c.id == video.id, videos.c.state == video.state)
        .values(state=to, updated_at_ms=tx.now, **values)
    )
    if changed != 1:
        raise StaleLease("The video moved on meanwhile.", video_id=video.id)
    announce_state(tx, locked_video(tx, video.id))


def announce_state(tx: Transaction, video: Row) -> None:
    told = {name: getattr(video, name) for name in ("state", "progress", "reason_code", "reason")}
    tx.announce(video, "state", told)


def may_move(video: Row, to: VideoState) -> bool:
    return to in FOLLOWS[VideoState(video.state)]


def give_up(tx: Transaction, video: Row, to: VideoState, code: str | None, sentence: str | None) -> None:
    """The end of the way: no job of it runs on, nothing of it is public, and what is stored of it may go. Only a
    `FAILED` video keeps its source: it can be retried."""
    move(tx, video, to, reason_code=code, reason=sentence)
    _close_upload(tx, video, to, code, sentence)
    leave_asset(tx, video)
    cancel_jobs(tx, video.id, sentence)  # those that are left, and those that another left to this one in this moment
    if to is not VideoState.FAILED or video.uploaded_at_ms is None:
        doom_key(tx, video.source_key)


def cancel_jobs(tx: Transaction, video_id: str, reason: str | None) -> None:
    """Leased ones too: their holders find out when they renew or commit."""
    tx.execute(
        sa.update(jobs)
        .where(jobs.c.video_id == video_id, jobs.c.state.in_([JobState.READY, JobState.LEASED]))
        .values(state=JobState.CANCELLED, reason=reason, lease_until_ms=None, finished_at_ms=tx.now)
    )


def leave_asset(tx: Transaction, video: Row) -> None:
    """Drop the asset of a video that lets go of it, unless others point at it: then it is one of theirs. Two that let go
    at once take turns, as the asset's lock is held until the transaction ends."""
    lock_asset(tx, video.asset_id)
    other = tx.scalar(
        sa.select(videos.c.id)
        .where(videos.c.asset_id == video.asset_id, videos.c.id != video.id, videos.c.state.not_in(GIVEN_UP))
        .order_by(videos.c.id)
        .limit(1)
    )
    if other is None:
        drop_asset(tx, video.asset_id)
    else:
        tx.execute(sa.update(assets).where(assets.c.id == video.asset_id).values(video_id=other))
        _leave_jobs(tx, video, other)


def _leave_jobs(tx: Transaction, video: Row, other: str) -> None:
    """What is under way on the asset, as subtitles that are being cut, goes on for ``other``. But for publications: a video
    has one that is ready at a time, and whatever is unpublished gets one from the sweeper."""
    tx.execute(
        sa.update(jobs)
        .where(
            jobs.c.video_id == video.id,
            jobs.c.asset_id == video.asset_id,
            jobs.c.kind != JobKind.PUBLISH,
            jobs.c.state.in_([JobState.READY, JobState.LEASED]),
        )
        .values(video_id=other)
    )


def lock_asset(tx: Transaction, asset_id: str) -> bool:
    """False if there is none."""
    return tx.first(sa.select(assets.c.id).where(assets.c.id == asset_id).with_for_update()) is not None


def drop_asset(tx: Transaction, asset_id: str) -> None:
    """Public names, segments and keys of an asset go now, its objects after their grace: without keys copies of encrypted
    ones are noise."""
    tx.execute(sa.delete(names).where(names.c.asset_id == asset_id))
    tx.execute(sa.delete(segments).where(segments.c.asset_id == asset_id))
    tx.execute(sa.delete(subtitles).where(subtitles.c.asset_id == asset_id))
    tx.execute(sa.delete(content_keys).where(content_keys.c.asset_id == asset_id))
    doom_prefix(tx, f"{asset_id}/")


def _close_upload(tx: Transaction, video: Row, to: VideoState, code: str | None, sentence: str | None) -> None:
    """An upload that is still open ends with its video; its writer loses the lease."""
    if video.upload_id is None:
        return
    row = tx.first(sa.select(uploads).where(uploads.c.id == video.upload_id).with_for_update())
    if row is None or row.state != "open":
        return
    tx.execute(
        sa.update(uploads)
        .where(uploads.c.id == row.id)
        .values(
            state="refused" if to is VideoState.REJECTED else "terminated",
            reason_code=code,
            reason=sentence,
            token=uploads.c.token + 1,
            holder=None,
            lease_until_ms=None,
            let_go=False,
        )
    )
    doom_prefix(tx, keys.tails_prefix(video.id))
