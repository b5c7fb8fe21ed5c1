"""Renditions that cannot be made as planned give way to others of other names: nobody was told of them yet."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from storage.catalogue.sql.dooming import doom_prefix
from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.queueing import insert_jobs
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.tables import assets, jobs, renditions, segments
from storage.jobs import Job, JobState, Lane, Replanned, plain_recipe
from storage.records import to_record


def replan(tx: Transaction, video: Row, job: Job, outcome: Replanned) -> dict[Lane, int]:
    """Under the lock of ``video``. Other jobs that needed what ``job`` had are cancelled, leased ones too: their holders find
    out when they commit."""
    _cancel_jobs_of_its_kind(tx, job, outcome.reason)
    old = sa.and_(renditions.c.asset_id == job.asset, renditions.c.name.in_(outcome.dropped))
    positions = {row.name: row.position for row in tx.all(sa.select(renditions).where(old))}
    of_dropped = sa.and_(segments.c.asset_id == job.asset, segments.c.rendition.in_(outcome.dropped))
    lost = tx.scalar(sa.select(sa.func.count()).select_from(segments).where(of_dropped))
    tx.execute(sa.delete(segments).where(of_dropped))
    tx.execute(sa.delete(renditions).where(old))
    rows = [
        {"asset_id": job.asset, "name": rung.name, "position": positions[name], "rung": to_record(rung), "audio": None}
        for name, rung in zip(outcome.dropped, outcome.added, strict=True)
    ]
    tx.execute(sa.insert(renditions), rows)
    tx.execute(
        sa.update(assets)
        .where(assets.c.id == job.asset)
        .values(
            plan=to_record(outcome.plan),
            stored_segments=assets.c.stored_segments - lost,
            revision=assets.c.revision + 1,
        )
    )
    for name in outcome.dropped:
        doom_prefix(tx, f"{job.asset}/{name}/")
    insert_jobs(tx, video, outcome.jobs, asset_id=job.asset, recipe=plain_recipe(job.recipe))
    return dict(Counter(new.lane for new in outcome.jobs))


def _cancel_jobs_of_its_kind(tx: Transaction, job: Job, reason: str) -> None:
    tx.execute(
        sa.update(jobs)
        .where(
            jobs.c.asset_id == job.asset,
            jobs.c.recipe == job.recipe,
            jobs.c.id != job.id,
            jobs.c.state.in_([JobState.READY, JobState.LEASED]),
        )
        .values(state=JobState.CANCELLED, reason=reason, lease_until_ms=None, finished_at_ms=tx.now)
    )
