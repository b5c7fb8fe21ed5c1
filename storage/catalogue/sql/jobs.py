"""The queue: claims, leases, and the ways in which a job ends without an outcome."""

from __future__ import annotations

import sqlalchemy as sa

from storage import leases
from storage.catalogue.sql.engine import Database, Transaction, now_ms
from storage.catalogue.sql.moving import GIVEN_UP, give_up, locked_video, may_move
from storage.catalogue.sql.queueing import begin_again, insert_job, make_ready, ready_publish_job, write_job
from storage.catalogue.sql.rows import Row, job_from
from storage.catalogue.sql.tables import assets, is_ready, jobs, videos
from storage.catalogue.sql.turns import charge, correct, next_turn
from storage.crashpoints import CrashPoint, crashpoint
from storage.errors import IllegalTransition, NotFound, StaleLease
from storage.fairness import FairPolicy
from storage.ids import JobId, VideoId
from storage.jobs import Job, JobKind, JobState, Lane, NewJob
from storage.lifecycle import VideoState

JOB_DEAD: dict[JobKind, str] = {
    JobKind.INSPECT: "We could not look into this file, through no fault of its own. It can be tried again.",
    JobKind.ENCODE: "We could not encode a part of this video. It can be tried again.",
    JobKind.AUDIO: "We could not encode the sound of this video. It can be tried again.",
    JobKind.THUMBNAILS: "We could not make the thumbnails of this video. It can be tried again.",
    JobKind.SUBTITLES: "We could not read the subtitles of this video. It can be tried again.",
    JobKind.PUBLISH: "We could not publish this video. It can be tried again.",
}
"""What a creator is told."""


class SqlJobs:
    _db: Database
    _policy: FairPolicy

    def claim(
        self, worker: str, lanes: tuple[Lane, ...], lease_ms: int, *, recipes: tuple[str, ...] | None = None
    ) -> Job | None:
        with self._db.write() as tx:
            found = next_turn(tx, lanes, recipes, self._policy)
            if found is None:
                return None
            row, turn = found
            ready = job_from(row)
            job = leases.claimed(ready, worker, tx.now, lease_ms)
            write_job(tx, ready, job)
            charge(tx, job.lane, turn, job.cost_cpu_ms, self._policy)
            crashpoint(CrashPoint.CLAIM_UNCOMMITTED, job.kind)
        return job

    def renew(self, job: JobId, token: int, lease_ms: int) -> None:
        with self._db.write() as tx:
            # The one transition without a look first: it is made every few seconds for every running job.
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
                _, held = held_job(tx, job, token)
            except StaleLease:
                return
            # No bell was rung for it since: the next sweep does.
            make_ready(tx, held, leases.released(held, token), bell_at_ms=0)
            correct(tx, held.tenant, -held.cost_cpu_ms, self._policy)

    def retry_later(self, job: JobId, token: int, reason: str, delay_ms: int) -> None:
        with self._db.write() as tx:
            _, held = held_job(tx, job, token)
            make_ready(tx, held, leases.postponed(held, token, reason, tx.now, delay_ms))

    def bury(self, job: JobId, token: int, reason: str) -> None:
        with self._db.write() as tx:
            video, held = held_job(tx, job, token)
            bury_job(tx, video, held, leases.buried(held, token, reason))

    def refuse(self, job: JobId, token: int, code: str, sentence: str) -> None:
        with self._db.write() as tx:
            video, held = held_job(tx, job, token)
            ended = leases.cancelled(held, sentence)
            assert ended is not None
            finish(tx, held, ended)
            # A video that is ready stays so: what came after it is not worth taking it away.
            if may_move(video, VideoState.REJECTED):
                give_up(tx, video, VideoState.REJECTED, code, sentence)

    def retry_job(self, job: JobId, *, recipe: str) -> Job:
        with self._db.write() as tx:
            video, dead = _locked(tx, job)
            ready = leases.revived(dead, tx.now)
            if video.state == VideoState.FAILED:
                # Its asset is gone, and with it what this job was a part of.
                return begin_again(tx, video, recipe=recipe)
            if video.state in GIVEN_UP or dead.asset != video.asset_id:
                raise IllegalTransition(f"There is nothing to do for a video that is {video.state}.", job_id=job)
            return ready if make_ready(tx, dead, ready, bell_at_ms=tx.now) else dead

    def discard_job(self, job: JobId) -> None:
        with self._db.write() as tx:
            _, dead = _locked(tx, job)
            write_job(tx, dead, leases.discarded(dead))

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


def held_job(tx: Transaction, job: str, token: int) -> tuple[Row, Job]:
    """The job's video and the job, both locked, if ``token`` holds its lease; raises `StaleLease` otherwise, also when
    the video was given up or went on to another asset meanwhile."""
    try:
        video, found = _locked(tx, job)
    except NotFound as error:
        raise StaleLease("There is no such job.", job_id=job) from error
    leased = found.state is JobState.LEASED and found.token == token
    if not leased or video.state in GIVEN_UP or found.asset != video.asset_id:
        raise StaleLease(job_id=job, token=token)
    return video, found


def _locked(tx: Transaction, job: str) -> tuple[Row, Job]:
    """The job's video and the job, locked in this order. Raises `NotFound`."""
    video = tx.first(_VIDEO_OF_JOB, job=job)
    row = None if video is None else tx.first(_JOB, job=job)
    if video is None or row is None:
        raise NotFound(f"There is no job {job}.", job_id=job)
    tx.told_time(row.now_ms)
    return video, job_from(row)


_VIDEO_OF_JOB = (
    sa.select(videos)
    .join(jobs, jobs.c.video_id == videos.c.id)
    .where(jobs.c.id == sa.bindparam("job"))
    .with_for_update(of=videos)
)
_JOB = sa.select(jobs, now_ms().label("now_ms")).where(jobs.c.id == sa.bindparam("job")).with_for_update()


def finish(tx: Transaction, before: Job, after: Job, **columns: object) -> None:
    """The end of a job whose lease we hold."""
    if not write_job(tx, before, after, **columns):
        raise StaleLease(job_id=before.id)


def bury_job(tx: Transaction, video: Row, before: Job, dead: Job) -> None:
    """A dead letter, and what it means for its video: one that is ready stays ready. The operator reads the cause in the
    job, the creator a sentence."""
    finish(tx, before, dead)
    if may_move(video, VideoState.FAILED):
        give_up(tx, video, VideoState.FAILED, "job_dead", JOB_DEAD[dead.kind])
