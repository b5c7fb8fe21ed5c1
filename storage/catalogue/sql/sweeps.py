"""Repair: what processes that died left behind, leadership, and objects that may go. Every rule is idempotent."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa

from storage import leases
from storage.catalogue import Doomed, Swept
from storage.catalogue.sql.audits import stuck_videos
from storage.catalogue.sql.dooming import SECOND_PASS_MS, doom_key
from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.jobs import bury_job
from storage.catalogue.sql.moving import give_up, locked_video
from storage.catalogue.sql.queueing import INSPECT_CPU_MS, ensure_publish_job, insert_job, make_ready
from storage.catalogue.sql.rows import Row, doomed_from, job_from
from storage.catalogue.sql.sharing import settle_waiting
from storage.catalogue.sql.subtitles import in_use
from storage.catalogue.sql.tables import (
    assets,
    doomed,
    events,
    is_leased,
    is_ready,
    is_unpublished,
    jobs,
    leaders,
    names,
    videos,
)
from storage.jobs import Job, JobKind, JobState, Lane, NewJob
from storage.lifecycle import VideoState

KEEP_EVENTS_MS = 24 * 3600 * 1000
"""A watcher that was away for longer asks for the videos anew."""
BATCH = 500
"""Repairs per rule and pass: a sweep holds its locks for a moment only."""

MOST_LOOKED_AT = 20 * BATCH
"""Doomed rows per pass: some may have been named again."""

STUCK_AFTER_MS = 10 * 60 * 1000

WATCHABLE = (VideoState.ENCODING, VideoState.PLAYABLE, VideoState.READY)


class SqlSweeps:
    _db: Database
    _deduplicates: bool

    def sweep(self, *, max_kills: int, stale_bell_ms: int) -> Swept:
        repairs: Counter[str] = Counter()
        bells: Counter[Lane] = Counter()
        # A transaction per rule, and in each the videos in one order: two sweepers never wait for each other in a ring.
        with self._db.write() as tx:
            _expire_leases(tx, max_kills, repairs, bells)
        with self._db.write() as tx:
            _publish_what_is_left(tx, repairs, bells)
        with self._db.write() as tx:
            _set_going(tx, repairs, bells)
        with self._db.write() as tx:
            settle_waiting(tx, deduplicates=self._deduplicates, repairs=repairs, bells=bells)
        with self._db.write() as tx:
            _ring_again(tx, stale_bell_ms, repairs, bells)
            tx.execute(sa.delete(events).where(events.c.at_ms < tx.now - KEEP_EVENTS_MS))
        return Swept(repairs=dict(repairs), bells=dict(bells))

    def retire(self, *, keep_source_ms: int | None, keep_failed_ms: int | None, limit: int) -> dict[str, int]:
        retired: Counter[str] = Counter()
        with self._db.write() as tx:
            if keep_source_ms is not None:
                retired["source"] = _retire_sources(tx, tx.now - keep_source_ms, limit)
            if keep_failed_ms is not None:
                retired["video"] = _retire_failed(tx, tx.now - keep_failed_ms, limit)
        return {rule: count for rule, count in retired.items() if count}

    def lead(self, name: str, holder: str, ttl_ms: int) -> bool:
        with self._db.write() as tx:
            mine = {"holder": holder, "until_ms": tx.now + ttl_ms}
            upsert = (
                tx.insert(leaders)
                .values(name=name, **mine)
                .on_conflict_do_update(
                    index_elements=["name"],
                    set_=mine,
                    where=sa.or_(leaders.c.holder == holder, leaders.c.until_ms <= tx.now),
                )
            )
            return tx.execute(upsert.returning(leaders.c.holder)).first() is not None

    def doomed(self, limit: int) -> tuple[Doomed, ...]:
        found: list[Doomed] = []
        with self._db.read() as tx:
            due = _due(tx).order_by(doomed.c.after_ms, doomed.c.id)
            for start in range(0, MOST_LOOKED_AT, BATCH):
                rows = tx.all(due.limit(BATCH).offset(start))
                found += _unnamed(tx, rows)
                if len(rows) < BATCH or len(found) >= limit:
                    break
        return tuple(found[:limit])

    def may_go(self, entry: Doomed) -> bool:
        with self._db.read() as tx:
            return bool(_unnamed(tx, tx.all(_due(tx).where(doomed.c.id == entry.id))))

    def forget_doomed(self, ids: tuple[int, ...]) -> None:
        with self._db.write() as tx:
            tx.execute(sa.delete(doomed).where(doomed.c.id.in_(ids), doomed.c.passes <= 1))
            tx.execute(
                sa.update(doomed)
                .where(doomed.c.id.in_(ids))
                .values(passes=doomed.c.passes - 1, after_ms=tx.now + SECOND_PASS_MS)
            )


def _due(tx: Transaction) -> sa.Select[Any]:
    """Doomed rows whose grace has passed."""
    # Manifests are named by their content, so a version that was superseded can come back.
    named = sa.select(names.c.key).where(names.c.key == doomed.c.key).exists()
    return sa.select(doomed).where(doomed.c.after_ms <= tx.now, ~named)


def _unnamed(tx: Transaction, rows: list[Row]) -> list[Doomed]:
    """Those of ``rows`` that nobody names again, or is just about to."""
    keys = [row.key for row in rows if row.key is not None]
    used, written = in_use(tx, keys), _being_written(tx, {_owner(key) for key in keys})
    return [
        doomed_from(row) for row in rows if row.key is None or (row.key not in used and _owner(row.key) not in written)
    ]


def _owner(key: str) -> str:
    return key.partition("/")[0]


def _being_written(tx: Transaction, asset_ids: set[str]) -> set[str]:
    """Those of ``asset_ids`` that somebody is at work on who might name an object again, as names say what is in it:
    manifests that come back, segments of a text with one word corrected. Until new subtitles are cut, manifests name the
    old ones."""
    at_work = sa.or_(
        sa.and_(jobs.c.state == JobState.LEASED, jobs.c.kind.in_((JobKind.PUBLISH, JobKind.THUMBNAILS))),
        sa.and_(jobs.c.state.in_((JobState.READY, JobState.LEASED)), jobs.c.kind == JobKind.SUBTITLES),
    )
    query = (
        sa.select(jobs.c.asset_id)
        .join(videos, sa.and_(videos.c.id == jobs.c.video_id, videos.c.asset_id == jobs.c.asset_id))
        .where(videos.c.asset_id.in_(asset_ids), jobs.c.state.in_((JobState.READY, JobState.LEASED)), at_work)
    )
    return set(tx.connection.scalars(query)) if asset_ids else set()


def _expire_leases(tx: Transaction, max_kills: int, repairs: Counter[str], bells: Counter[Lane]) -> None:
    """A worker that stopped renewing is dead: its job is ready again, or a dead letter if workers keep dying of it."""
    expired = tx.all(
        sa.select(jobs)
        .where(is_leased, jobs.c.lease_until_ms <= tx.now)
        .order_by(jobs.c.video_id, jobs.c.id)  # videos are locked in one order by all sweepers
        .limit(BATCH)
    )
    for seen in expired:
        video = locked_video(tx, seen.video_id)
        job = _still_held(tx, seen)
        if job is None:
            continue
        after = leases.expired(job, tx.now, max_kills)
        if after is None:
            continue
        if after.state is JobState.DEAD:
            bury_job(tx, video, job, after)
            repairs["dead_letter"] += 1
        elif make_ready(tx, job, after, bell_at_ms=tx.now):
            repairs["expired_lease"] += 1
            bells[job.lane] += 1


def _still_held(tx: Transaction, seen: Row) -> Job | None:
    row = tx.first(sa.select(jobs).where(jobs.c.id == seen.id, jobs.c.token == seen.token, is_leased).with_for_update())
    return None if row is None else job_from(row)


def _publish_what_is_left(tx: Transaction, repairs: Counter[str], bells: Counter[Lane]) -> None:
    """Every revision gets published: a `PUBLISH` job for each asset that has none under way. One that died is not
    tried again."""
    under_way = (
        sa.select(jobs.c.id)
        .where(
            jobs.c.asset_id == assets.c.id,
            jobs.c.video_id == assets.c.video_id,
            jobs.c.kind == JobKind.PUBLISH,
            jobs.c.state.in_([JobState.READY, JobState.LEASED, JobState.DEAD]),
        )
        .exists()
    )
    left = tx.all(
        sa.select(assets.c.video_id, assets.c.id, assets.c.recipe)
        .join(videos, sa.and_(videos.c.id == assets.c.video_id, videos.c.asset_id == assets.c.id))
        .where(is_unpublished, videos.c.state.in_(WATCHABLE), ~under_way)
        .order_by(assets.c.video_id)
        .limit(BATCH)
    )
    for asset in left:
        video = locked_video(tx, asset.video_id)
        if video.asset_id != asset.id or video.state not in WATCHABLE:
            continue
        if ensure_publish_job(tx, video, recipe=asset.recipe):
            repairs["missing_publish"] += 1
            bells[Lane.PLAYABLE] += 1


def _set_going(tx: Transaction, repairs: Counter[str], bells: Counter[Lane]) -> None:
    """A video at work without a job that would move it on: inspected or published anew. Seldom, for one that does not get
    on by it is for a person to look at."""
    lately = (
        sa.select(jobs.c.id)
        .where(jobs.c.video_id == videos.c.id, jobs.c.finished_at_ms > tx.now - STUCK_AFTER_MS)
        .exists()
    )
    left = tx.all(stuck_videos().where(~lately, videos.c.updated_at_ms <= tx.now - STUCK_AFTER_MS).limit(BATCH))
    for seen in left:
        video = locked_video(tx, seen.id)
        recipe = tx.scalar(sa.select(assets.c.recipe).where(assets.c.id == video.asset_id))
        if not tx.first(stuck_videos().where(videos.c.id == video.id)):
            continue
        if video.state == VideoState.INSPECTING:
            new = NewJob(kind=JobKind.INSPECT, lane=Lane.PLAYABLE, cost_cpu_ms=INSPECT_CPU_MS)
            insert_job(tx, video, new, asset_id=video.asset_id, recipe=recipe)
        else:
            ensure_publish_job(tx, video, recipe=recipe)
        repairs["stuck"] += 1
        bells[Lane.PLAYABLE] += 1


def _retire_sources(tx: Transaction, before_ms: int, limit: int) -> int:
    """The sources of finished videos: nothing needs them any more but a retry, and those are done."""
    old = tx.all(
        sa.select(videos.c.id)
        .where(
            videos.c.state == VideoState.READY,
            videos.c.ready_at_ms < before_ms,
            videos.c.source_dropped_at_ms.is_(None),
        )
        .order_by(videos.c.id)
        .limit(limit)
    )
    for row in old:
        video = locked_video(tx, row.id)
        if video.state == VideoState.READY and video.source_dropped_at_ms is None:
            tx.execute(sa.update(videos).where(videos.c.id == video.id).values(source_dropped_at_ms=tx.now))
            doom_key(tx, video.source_key)
    return len(old)


def _retire_failed(tx: Transaction, before_ms: int, limit: int) -> int:
    """Videos that failed or were refused, and that nobody retried or deleted."""
    old = tx.all(
        sa.select(videos.c.id)
        .where(videos.c.state.in_((VideoState.FAILED, VideoState.REJECTED)), videos.c.updated_at_ms < before_ms)
        .order_by(videos.c.id)
        .limit(limit)
    )
    for row in old:
        video = locked_video(tx, row.id)
        if video.state in (VideoState.FAILED, VideoState.REJECTED):
            give_up(tx, video, VideoState.DELETED, video.reason_code, video.reason)
    return len(old)


def _ring_again(tx: Transaction, stale_bell_ms: int, repairs: Counter[str], bells: Counter[Lane]) -> None:
    """Bells get lost, and nobody rings for a delay that has passed."""
    unheard = sa.or_(jobs.c.bell_at_ms <= tx.now - stale_bell_ms, jobs.c.bell_at_ms < jobs.c.run_after_ms)
    waiting = tx.all(
        sa.select(jobs.c.id, jobs.c.lane)
        .where(is_ready, jobs.c.run_after_ms <= tx.now, unheard)
        .limit(BATCH)  # who answers a bell rings again while there is more to do
        .with_for_update(skip_locked=True)  # just being claimed or cancelled
    )
    if waiting:
        tx.execute(sa.update(jobs).where(jobs.c.id.in_([row.id for row in waiting])).values(bell_at_ms=tx.now))
    for row in waiting:
        repairs["unheard_bell"] += 1
        bells[Lane(row.lane)] += 1
