"""Job rows: how they come to be, and how a leased one becomes ready again."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.moving import move
from storage.catalogue.sql.rows import Row, job_from
from storage.catalogue.sql.tables import assets, is_publish, is_ready, jobs
from storage.ids import JobId, new_job_id
from storage.jobs import LANES_BY_URGENCY, Job, JobKind, JobState, Lane, NewJob
from storage.lifecycle import VideoState

PUBLISH_ORDER = -1
"""Publishing is short and makes what is done visible: before other work of its lane."""


def insert_asset(tx: Transaction, *, asset_id: str, video_id: str, recipe: str) -> None:
    tx.execute(
        sa.insert(assets).values(
            id=asset_id,
            video_id=video_id,
            recipe=recipe,
            revision=0,
            published_revision=0,
            stored_segments=0,
            expected_segments=0,
            available_from_ms=tx.now,
            created_at_ms=tx.now,
        )
    )


def insert_job(tx: Transaction, video: Row, new: NewJob, *, asset_id: str, recipe: str) -> JobId:
    job_id = new_job_id()
    tx.execute(
        sa.insert(jobs).values(
            id=job_id,
            video_id=video.id,
            asset_id=asset_id,
            tenant=video.tenant,
            kind=new.kind,
            lane=new.lane,
            urgency=LANES_BY_URGENCY.index(new.lane),
            position=new.order,
            cost_cpu_ms=new.cost_cpu_ms,
            state=JobState.READY,
            payload=new.payload,
            recipe=recipe,
            token=0,
            attempts=0,
            kills=0,
            created_at_ms=tx.now,
            run_after_ms=tx.now,
            bell_at_ms=tx.now,
        )
    )
    return job_id


def begin_inspection(tx: Transaction, video: Row, *, asset_id: str, recipe: str, **values: Any) -> Job:
    """The video → ``inspecting`` and its first job, which also fixes the recipe of its asset."""
    move(tx, video, VideoState.INSPECTING, asset_id=asset_id, **values)
    tx.execute(sa.update(assets).where(assets.c.id == asset_id).values(recipe=recipe))
    new = NewJob(kind=JobKind.INSPECT, lane=Lane.PLAYABLE)
    job_id = insert_job(tx, video, new, asset_id=asset_id, recipe=recipe)
    return job_from(tx.connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one())


def ready_publish_job(tx: Transaction, video_id: str) -> str | None:
    """The video's ready `PUBLISH` job, locked: nobody can claim it, and read the asset, before we have committed."""
    found: str | None = tx.scalar(
        sa.select(jobs.c.id).where(jobs.c.video_id == video_id, is_publish, is_ready).with_for_update()
    )
    return found


def ensure_publish_job(tx: Transaction, video: Row, *, recipe: str) -> bool:
    """True if a `PUBLISH` job was added; False if one is ready already. Under the video's lock."""
    if ready_publish_job(tx, video.id) is not None:
        return False
    new = NewJob(kind=JobKind.PUBLISH, lane=Lane.PLAYABLE, order=PUBLISH_ORDER)
    insert_job(tx, video, new, asset_id=video.asset_id, recipe=recipe)
    return True


def make_ready(tx: Transaction, job: Row, **values: Any) -> bool:
    """A leased job back to ready, by compare-and-set on its token. False if it was not: somebody else has it, or it is
    a `PUBLISH` job and a newer one is ready, which does its work. Under the video's lock."""
    superseded = job.kind == JobKind.PUBLISH and ready_publish_job(tx, job.video_id) is not None
    if superseded:
        values = {"state": JobState.CANCELLED, "reason": "a newer one is ready", "finished_at_ms": tx.now}
    else:
        values = {"state": JobState.READY, "worker": None, **values}
    changed = tx.changed(
        sa.update(jobs)
        .where(jobs.c.id == job.id, jobs.c.token == job.token, jobs.c.state == JobState.LEASED)
        .values(lease_until_ms=None, **values)
    )
    return changed == 1 and not superseded
