"""Job rows: how they come to be, and how a leased one becomes ready again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from storage import leases
from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.moving import drop_asset, move
from storage.catalogue.sql.rows import Row, job_from
from storage.catalogue.sql.tables import assets, is_publish, is_ready, jobs
from storage.errors import IllegalTransition
from storage.fairness import due_at_ms
from storage.ids import JobId, new_asset_id, new_job_id
from storage.jobs import LANES_BY_URGENCY, Job, JobKind, JobState, Lane, NewJob, recipe_needing
from storage.lifecycle import VideoState

ALWAYS_DUE = 0
"""Publishing is short and makes what is done visible: before other work of its tenant and lane."""
PUBLISH_CPU_MS = 200
INSPECT_CPU_MS = 500

ENDED = frozenset({JobState.DONE, JobState.DEAD, JobState.CANCELLED})


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
    (job_id,) = insert_jobs(tx, video, (new,), asset_id=asset_id, recipe=recipe)
    return job_id


def insert_jobs(tx: Transaction, video: Row, new: Sequence[NewJob], *, asset_id: str, recipe: str) -> tuple[JobId, ...]:
    """``new`` in the order in which they are to be done: each one's deadline comes after the work before it."""
    rows, before_cpu_ms = [], 0
    uploaded_at_ms = video.uploaded_at_ms or tx.now
    for job in new:
        due_ms = due_at_ms(uploaded_at_ms, before_cpu_ms, job.cost_cpu_ms)
        before_cpu_ms += job.cost_cpu_ms
        rows.append(
            {
                "id": new_job_id(),
                "video_id": video.id,
                "asset_id": asset_id,
                "tenant": video.tenant,
                "kind": job.kind,
                "lane": job.lane,
                "urgency": LANES_BY_URGENCY.index(job.lane),
                "position": job.order,
                "due_at_ms": ALWAYS_DUE if job.kind is JobKind.PUBLISH else due_ms,
                "cost_cpu_ms": job.cost_cpu_ms,
                "state": JobState.READY,
                "payload": job.payload,
                "recipe": recipe_needing(recipe, job.needs),
                "token": 0,
                "attempts": 0,
                "kills": 0,
                "created_at_ms": tx.now,
                "run_after_ms": tx.now,
                "bell_at_ms": tx.now,
            }
        )
    if rows:
        tx.execute(sa.insert(jobs), rows)
    return tuple(row["id"] for row in rows)


def begin_inspection(tx: Transaction, video: Row, *, asset_id: str, recipe: str, **values: Any) -> Job:
    """The video → ``inspecting`` and its first job, which also fixes the recipe of its asset."""
    move(tx, video, VideoState.INSPECTING, asset_id=asset_id, **values)
    tx.execute(sa.update(assets).where(assets.c.id == asset_id).values(recipe=recipe))
    new = NewJob(kind=JobKind.INSPECT, lane=Lane.PLAYABLE, cost_cpu_ms=INSPECT_CPU_MS)
    job_id = insert_job(tx, video, new, asset_id=asset_id, recipe=recipe)
    return job_from(tx.connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one())


def begin_again(tx: Transaction, video: Row, *, recipe: str) -> Job:
    """A failed video from its source, under a new asset; the old one's objects may go. Raises `IllegalTransition`."""
    if video.uploaded_at_ms is None:
        raise IllegalTransition("This video was never uploaded whole: upload it again.", video_id=video.id)
    asset_id = new_asset_id()
    insert_asset(tx, asset_id=asset_id, video_id=video.id, recipe=recipe)
    job = begin_inspection(
        tx,
        video,
        asset_id=asset_id,
        recipe=recipe,
        progress=0.0,
        reason_code=None,
        reason=None,
        notes=[],
        duration_ms=None,
        playable_at_ms=None,
    )
    drop_asset(tx, video.asset_id)
    return job


@cache
def ready_publish(dialect: str) -> sa.Select[Any] | sa.TextClause:
    """The id of the ready `PUBLISH` job of a ``video``, locked."""
    query = sa.select(jobs.c.id).where(jobs.c.video_id == sa.bindparam("video"), is_publish, is_ready)
    if dialect != "sqlite":
        return query.with_for_update()
    # Without statistics, which nobody makes there, it would rather look through all ready jobs of the video; and
    # SQLAlchemy has no word for it.
    return sa.text(str(query).replace("FROM jobs", "FROM jobs INDEXED BY uq_jobs_ready_publish"))


def ready_publish_job(tx: Transaction, video_id: str) -> str | None:
    """The video's ready `PUBLISH` job, locked: nobody can claim it, and read the asset, before we have committed."""
    found: str | None = tx.scalar(ready_publish(tx.connection.dialect.name), video=video_id)
    return found


def ensure_publish_job(tx: Transaction, video: Row, *, recipe: str) -> bool:
    """True if a `PUBLISH` job was added; False if one is ready already. Under the video's lock."""
    if ready_publish_job(tx, video.id) is not None:
        return False
    new = NewJob(kind=JobKind.PUBLISH, lane=Lane.PLAYABLE, cost_cpu_ms=PUBLISH_CPU_MS)
    insert_job(tx, video, new, asset_id=video.asset_id, recipe=recipe)
    return True


def write_job(tx: Transaction, before: Job, after: Job, **columns: Any) -> bool:
    """What `storage.leases` made of a job, and other ``columns`` of it, by compare-and-set on its state and token. False if
    it was not as ``before`` any more."""
    values = {name: getattr(after, name) for name in MOVING} | {
        "finished_at_ms": tx.now if after.state in ENDED else None,
        **columns,
    }
    changed = tx.changed(
        _rewriting(tuple(values)),
        its_id=before.id,
        its_token=before.token,
        its_state=before.state,
        **{f"new_{name}": value for name, value in values.items()},
    )
    return changed == 1


MOVING = ("state", "worker", "token", "attempts", "kills", "reason", "run_after_ms", "lease_until_ms")
"""What `storage.leases` changes of a job."""


@cache
def _rewriting(columns: tuple[str, ...]) -> sa.Update:
    was = {name: sa.bindparam(f"its_{name}", type_=jobs.c[name].type) for name in ("id", "token", "state")}
    return (
        sa.update(jobs)
        .where(*(jobs.c[name] == value for name, value in was.items()))
        .values({name: sa.bindparam(f"new_{name}", type_=jobs.c[name].type) for name in columns})
    )


def make_ready(tx: Transaction, before: Job, after: Job, **columns: Any) -> bool:
    """A job back to ready. False if it is not: somebody else has it, or it is a `PUBLISH` job and a newer one is ready,
    which does its work. Under the video's lock."""
    if after.kind is JobKind.PUBLISH and ready_publish_job(tx, after.video) is not None:
        superseded = leases.cancelled(before, "a newer one is ready")
        if superseded is not None:
            write_job(tx, before, superseded)
        return False
    return write_job(tx, before, after, **columns)
