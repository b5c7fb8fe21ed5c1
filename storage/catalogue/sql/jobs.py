"""The queue: claims, leases, and the ways in which a job ends without an outcome."""

from __future__ import annotations

import sqlalchemy as sa

from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.moving import GIVEN_UP, give_up, locked_video, may_move
from storage.catalogue.sql.queueing import insert_job, make_ready, ready_publish_job
from storage.catalogue.sql.rows import Row, job_from
from storage.catalogue.sql.tables import assets, is_ready, jobs
from storage.errors import IllegalTransition, NotFound, StaleLease
from storage.ids import JobId, VideoId
from storage.jobs import Job, JobKind, JobState, Lane, NewJob
from storage.lifecycle import VideoState


class SqlJobs:
    _db: Database

    def claim(self, worker: str, lanes: tuple[Lane, ...], lease_ms: int) -> Job | None:
        with self._db.write() as tx:
            row = tx.connection.execute(claim_statement(tx.now, worker, lanes, lease_ms)).first()
            return job_from(row) if row is not None else None

    def renew(self, job: JobId, token: int, lease_ms: int) -> None:
        with self._db.write() as tx:
            renewed = tx.changed(
                sa.update(jobs)
                .where(jobs.c.id == job, jobs.c.token == token, jobs.c.state == JobState.LEASED)
                .values(lease_until_ms=tx.now + lease_ms)
            )
        if renewed != 1:
            raise StaleLease(job_id=job)

    def release(self, job: JobId, token: int) -> None:
        with self._db.write() as tx:
            try:
                _, row = held_job(tx, job, token)
            except StaleLease:
                return
            # No bell was rung for it since: the next sweep does.
            make_ready(tx, row, bell_at_ms=0)

    def retry_later(self, job: JobId, token: int, reason: str, delay_ms: int) -> None:
        with self._db.write() as tx:
            _, row = held_job(tx, job, token)
            make_ready(tx, row, attempts=row.attempts + 1, reason=reason, run_after_ms=tx.now + delay_ms)

    def bury(self, job: JobId, token: int, reason: str) -> None:
        with self._db.write() as tx:
            video, row = held_job(tx, job, token)
            bury_job(tx, video, row, reason)

    def refuse(self, job: JobId, token: int, code: str, sentence: str) -> None:
        with self._db.write() as tx:
            video, row = held_job(tx, job, token)
            finish(tx, row, JobState.CANCELLED, reason=sentence)
            # A video that is ready stays so: what came after it is not worth taking it away.
            if may_move(video, VideoState.REJECTED):
                give_up(tx, video, VideoState.REJECTED, code, sentence)

    def job(self, job: JobId) -> Job:
        with self._db.read() as tx:
            row = tx.first(sa.select(jobs).where(jobs.c.id == job))
        if row is None:
            raise NotFound(f"There is no job {job}.", job_id=job)
        return job_from(row)

    def jobs(self, *, video: VideoId | None = None, state: JobState | None = None, limit: int = 200) -> tuple[Job, ...]:
        query = sa.select(jobs).order_by(jobs.c.created_at_ms.desc(), jobs.c.position, jobs.c.id).limit(limit)
        if video is not None:
            query = query.where(jobs.c.video_id == video)
        if state is not None:
            query = query.where(jobs.c.state == state)
        with self._db.read() as tx:
            return tuple(job_from(row) for row in tx.all(query))

    def ready_counts(self) -> dict[Lane, int]:
        with self._db.read() as tx:
            counted = tx.all(
                sa.select(jobs.c.lane, sa.func.count().label("number"))
                .where(is_ready, jobs.c.run_after_ms <= tx.now)
                .group_by(jobs.c.lane)
            )
        return {Lane(row.lane): row.number for row in counted}

    def job_counts(self) -> dict[tuple[JobState, Lane], int]:
        with self._db.read() as tx:
            counted = tx.all(
                sa.select(jobs.c.state, jobs.c.lane, sa.func.count().label("number")).group_by(
                    jobs.c.state, jobs.c.lane
                )
            )
        return {(JobState(row.state), Lane(row.lane)): row.number for row in counted}

    def oldest_ready_ms(self) -> dict[Lane, int]:
        with self._db.read() as tx:
            waiting = tx.all(
                sa.select(jobs.c.lane, sa.func.min(jobs.c.run_after_ms).label("since_ms"))
                .where(is_ready, jobs.c.run_after_ms <= tx.now)
                .group_by(jobs.c.lane)
            )
            return {Lane(row.lane): tx.now - row.since_ms for row in waiting}

    def add_job(self, video: VideoId, new: NewJob) -> JobId:
        with self._db.write() as tx:
            row = locked_video(tx, video)
            if row.state in GIVEN_UP:
                raise IllegalTransition(f"There is nothing to do for a video that is {row.state}.", state=row.state)
            if new.kind is JobKind.PUBLISH and (ready := ready_publish_job(tx, video)) is not None:
                return JobId(ready)
            recipe: str = tx.scalar(sa.select(assets.c.recipe).where(assets.c.id == row.asset_id))
            return insert_job(tx, row, new, asset_id=row.asset_id, recipe=recipe)


def claim_statement(now: int, worker: str, lanes: tuple[Lane, ...], lease_ms: int) -> sa.UpdateBase:
    """Choose and lease in one statement. Claimers on PostgreSQL pass over rows that another is just taking; SQLite has
    one writer at a time anyway."""
    best = (
        sa.select(jobs.c.id)
        .where(is_ready, jobs.c.lane.in_(lanes), jobs.c.run_after_ms <= now)
        .order_by(jobs.c.urgency, jobs.c.position, jobs.c.created_at_ms, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return (
        sa.update(jobs)
        .where(jobs.c.id == best)
        .values(
            state=JobState.LEASED,
            worker=worker,
            token=jobs.c.token + 1,
            lease_until_ms=now + lease_ms,
        )
        .returning(*jobs.c)
    )


def held_job(tx: Transaction, job: str, token: int) -> tuple[Row, Row]:
    """The job's video and the job, both locked, if ``token`` holds its lease; raises `StaleLease` otherwise, also when
    the video was given up or went on to another asset meanwhile."""
    video_id = tx.scalar(sa.select(jobs.c.video_id).where(jobs.c.id == job))
    if video_id is None:
        raise StaleLease("There is no such job.", job_id=job)
    video = locked_video(tx, video_id)
    row = tx.first(
        sa.select(jobs)
        .where(jobs.c.id == job, jobs.c.token == token, jobs.c.state == JobState.LEASED)
        .with_for_update()
    )
    if row is None or video.state in GIVEN_UP or row.asset_id != video.asset_id:
        raise StaleLease(job_id=job, token=token)
    return video, row


def finish(tx: Transaction, job: Row, state: JobState, **values: object) -> None:
    """The end of a job whose lease we hold."""
    ended = tx.changed(
        sa.update(jobs)
        .where(jobs.c.id == job.id, jobs.c.token == job.token, jobs.c.state == JobState.LEASED)
        .values(state=state, lease_until_ms=None, finished_at_ms=tx.now, **values)
    )
    if ended != 1:
        raise StaleLease(job_id=job.id)


def bury_job(tx: Transaction, video: Row, job: Row, reason: str, **values: object) -> None:
    """A dead letter, and what it means for its video: one that is ready stays ready."""
    finish(tx, job, JobState.DEAD, reason=reason, **values)
    if may_move(video, VideoState.FAILED):
        give_up(tx, video, VideoState.FAILED, "job_dead", f"The {job.kind} job could not be done: {reason}")
