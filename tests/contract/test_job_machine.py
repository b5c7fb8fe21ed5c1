"""The laws of jobs, whatever happens in whatever order: over the pure core in memory, and over both databases.

A Hypothesis state machine plays workers, dead workers, sleepers that wake up too late, the sweeper and people who cancel. It
keeps its own books of who was given which token and what was taken from whom, and compares every row with what
`storage.leases` says it should be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from storage import leases
from storage.catalogue.sql import SqlCatalogue
from storage.errors import StaleLease
from storage.ids import JobId, VideoId, new_job_id, new_video_id
from storage.jobs import Job, JobKind, JobState, Lane
from tests.builders import a_job, a_new_job, a_published, an_inspected
from tests.journeys import an_encoding_video, let_time_pass

LEASE_MS = 60_000
DELAY_MS = 40_000
STEPS_MS = (25_000, 70_000)  # no sum of these is a lease or a delay: nothing depends on a tie
MAX_KILLS = 3
LANES = (Lane.INTERACTIVE, Lane.BULK)


class Queue(Protocol):
    """What the machine plays on."""

    def new_video(self) -> VideoId: ...
    def add(self, video: VideoId, lane: Lane) -> JobId: ...
    def claim(self, worker: str, lanes: tuple[Lane, ...]) -> Job | None: ...
    def renew(self, job: JobId, token: int) -> None: ...
    def complete(self, job: JobId, token: int) -> None: ...
    def release(self, job: JobId, token: int) -> None: ...
    def fail(self, job: JobId, token: int) -> None: ...
    def bury(self, job: JobId, token: int) -> None: ...
    def cancel(self, video: VideoId) -> None: ...
    def sweep(self) -> None: ...
    def let_time_pass(self, ms: int) -> None: ...
    def rows(self, video: VideoId) -> dict[JobId, Job]: ...


class CoreQueue:
    """The core over a dictionary. It is also the model that databases are held to."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.jobs: dict[JobId, Job] = {}

    def new_video(self) -> VideoId:
        return new_video_id()

    def add(self, video: VideoId, lane: Lane) -> JobId:
        return self.put(new_job_id(), video, lane)

    def put(self, job: JobId, video: VideoId, lane: Lane) -> JobId:
        self.jobs[job] = a_job(
            id=job, video=video, lane=lane, state=JobState.READY, token=0, run_after_ms=self.now_ms, lease_until_ms=None
        )
        return job

    def claimable(self, lanes: tuple[Lane, ...]) -> list[JobId]:
        return [it.id for it in self.jobs.values() if it.lane in lanes and leases.claimable(it, self.now_ms)]

    def claim(self, worker: str, lanes: tuple[Lane, ...]) -> Job | None:
        best = self.claimable(lanes)
        return self.claim_this(best[0], worker) if best else None

    def claim_this(self, job: JobId, worker: str) -> Job:
        self.jobs[job] = leases.claimed(self.jobs[job], worker, self.now_ms, LEASE_MS)
        return self.jobs[job]

    def renew(self, job: JobId, token: int) -> None:
        self.jobs[job] = leases.renewed(self.jobs[job], token, self.now_ms, LEASE_MS)

    def complete(self, job: JobId, token: int) -> None:
        self.jobs[job] = leases.completed(self.jobs[job], token)

    def release(self, job: JobId, token: int) -> None:
        if self.holds(job, token):
            self.jobs[job] = leases.released(self.jobs[job], token)

    def fail(self, job: JobId, token: int) -> None:
        self.jobs[job] = leases.postponed(self.jobs[job], token, "why", self.now_ms, DELAY_MS)

    def bury(self, job: JobId, token: int) -> None:
        self.jobs[job] = leases.buried(self.jobs[job], token, "why")
        self.cancel(self.jobs[job].video)

    def cancel(self, video: VideoId) -> None:
        for job in [it for it in self.jobs.values() if it.video == video]:
            self.jobs[job.id] = leases.cancelled(job, "cancelled") or job

    def sweep(self) -> None:
        for seen in sorted(self.jobs.values(), key=lambda it: (it.video, it.id)):
            swept = leases.expired(self.jobs[seen.id], self.now_ms, MAX_KILLS)
            if swept is not None:
                self.jobs[seen.id] = swept
                if swept.state is JobState.DEAD:
                    self.cancel(swept.video)

    def let_time_pass(self, ms: int) -> None:
        self.now_ms += ms

    def rows(self, video: VideoId) -> dict[JobId, Job]:
        return {it.id: it for it in self.jobs.values() if it.video == video}

    def holds(self, job: JobId, token: int) -> bool:
        return self.jobs[job].state is JobState.LEASED and self.jobs[job].token == token


class CatalogueQueue:
    """The same over the tables."""

    def __init__(self, catalogue: SqlCatalogue) -> None:
        self._catalogue = catalogue

    def new_video(self) -> VideoId:
        return an_encoding_video(self._catalogue, an_inspected(jobs=()))

    def add(self, video: VideoId, lane: Lane) -> JobId:
        return self._catalogue.add_job(video, a_new_job(lane=lane))

    def claim(self, worker: str, lanes: tuple[Lane, ...]) -> Job | None:
        return self._catalogue.claim(worker, lanes, LEASE_MS)

    def renew(self, job: JobId, token: int) -> None:
        self._catalogue.renew(job, token, LEASE_MS)

    def complete(self, job: JobId, token: int) -> None:
        # The smallest outcome there is: it changes nothing but the job.
        self._catalogue.commit(job, token, a_published(revision=0, names=(), playable=False))

    def release(self, job: JobId, token: int) -> None:
        self._catalogue.release(job, token)

    def fail(self, job: JobId, token: int) -> None:
        self._catalogue.retry_later(job, token, "why", DELAY_MS)

    def bury(self, job: JobId, token: int) -> None:
        self._catalogue.bury(job, token, "why")

    def cancel(self, video: VideoId) -> None:
        self._catalogue.cancel_video(video)

    def sweep(self) -> None:
        self._catalogue.sweep(max_kills=MAX_KILLS, stale_bell_ms=10**12)

    def let_time_pass(self, ms: int) -> None:
        let_time_pass(self._catalogue, ms)

    def rows(self, video: VideoId) -> dict[JobId, Job]:
        return {it.id: it for it in self._catalogue.jobs(video=video) if it.kind is JobKind.ENCODE}


@dataclass(frozen=True)
class Grant:
    job: JobId
    token: int


class JobMachine(RuleBasedStateMachine):
    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self.queue = queue
        self.model = CoreQueue()
        self.videos: list[VideoId] = []
        self.given_up: set[VideoId] = set()
        self.grants: list[Grant] = []  # of living workers, sleepers among them
        self.tokens: defaultdict[JobId, list[int]] = defaultdict(list)
        self.taken: Counter[JobId] = Counter()  # results that were accepted

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(lane=st.sampled_from(LANES), which=st.integers(0, 1))
    def add(self, lane: Lane, which: int) -> None:
        alive = [video for video in self.videos if video not in self.given_up]
        if len(alive) < 2:
            alive.append(self.queue.new_video())
            self.videos.append(alive[-1])
        video = alive[which % len(alive)]
        self.model.put(self.queue.add(video, lane), video, lane)

    @rule(lanes=st.sampled_from([LANES, LANES[:1], LANES[1:]]), worker=st.sampled_from(["one", "two", "three"]))
    def claim(self, lanes: tuple[Lane, ...], worker: str) -> None:
        job = self.queue.claim(worker, lanes)
        if job is None:
            assert self.model.claimable(lanes) == []
            return
        assert job.id in self.model.claimable(lanes)
        assert all(token < job.token for token in self.tokens[job.id])
        self.tokens[job.id].append(job.token)
        self.grants.append(Grant(job.id, job.token))
        self.model.claim_this(job.id, worker)

    @precondition(lambda self: self.grants)
    @rule(data=st.data(), act=st.sampled_from(["renew", "complete", "release", "fail", "bury"]))
    def say(self, data: st.DataObject, act: str) -> None:
        """A worker that was given a job says something about it, however long ago that was."""
        grant = data.draw(st.sampled_from(self.grants))
        valid = self.model.holds(grant.job, grant.token)
        refused = False
        try:
            getattr(self.queue, act)(grant.job, grant.token)
        except StaleLease:
            refused = True
        assert refused == (not valid and act != "release")
        if valid:
            getattr(self.model, act)(grant.job, grant.token)
            self.taken[grant.job] += act == "complete"
            if act == "bury":
                self.given_up.add(self.model.jobs[grant.job].video)

    @precondition(lambda self: self.grants)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """A worker that is never heard of again."""
        self.grants.remove(data.draw(st.sampled_from(self.grants)))

    @rule(ms=st.sampled_from(STEPS_MS))
    def pass_time(self, ms: int) -> None:
        self.queue.let_time_pass(ms)
        self.model.let_time_pass(ms)

    @rule()
    def sweep(self) -> None:
        self.queue.sweep()
        self.model.sweep()
        self.given_up |= {it.video for it in self.model.jobs.values() if it.state is JobState.DEAD}

    @precondition(lambda self: set(self.videos) - self.given_up)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        video = data.draw(st.sampled_from([video for video in self.videos if video not in self.given_up]))
        self.queue.cancel(video)
        self.model.cancel(video)
        self.given_up.add(video)

    # --- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def every_row_is_what_the_core_says(self) -> None:
        for video in self.videos:
            rows = self.queue.rows(video)
            assert {job: _told(row) for job, row in rows.items()} == {
                job: _told(row) for job, row in self.model.rows(video).items()
            }

    @invariant()
    def nothing_is_lost_and_nothing_is_taken_twice(self) -> None:
        for job, row in self.model.jobs.items():
            assert self.taken[job] == (row.state is JobState.DONE)
            if row.state is JobState.LEASED:
                assert row.token == max(self.tokens[job])
                assert row.lease_until_ms is not None  # a lease always ends

    def teardown(self) -> None:
        """Whatever happened, all that is left can be brought to an end."""
        for _ in range(MAX_KILLS + 2):
            self.pass_time(STEPS_MS[1])
            self.sweep()
            while (job := self.queue.claim("last", LANES)) is not None:
                self.model.claim_this(job.id, "last")
                self.queue.complete(job.id, job.token)
                self.model.complete(job.id, job.token)
                self.taken[job.id] += 1
        assert all(it.state not in (JobState.READY, JobState.LEASED) for it in self.model.jobs.values())
        self.every_row_is_what_the_core_says()
        self.nothing_is_lost_and_nothing_is_taken_twice()


def _told(job: Job) -> tuple[object, ...]:
    return job.state, job.token, job.attempts, job.kills, job.lease_until_ms is None, job.worker


def play(make: Callable[[], Queue], examples: int) -> None:
    run_state_machine_as_test(
        lambda: JobMachine(make()),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            phases=[Phase.generate],  # ids are random: examples do not replay
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_core_keeps_the_laws() -> None:
    play(CoreQueue, examples=150)


@pytest.mark.parametrize("where", ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def test_the_databases_keep_the_laws(where: str, request: pytest.FixtureRequest) -> None:
    with opened(where, request) as catalogue:
        play(lambda: CatalogueQueue(catalogue), examples=12)


@contextmanager
def opened(where: str, request: pytest.FixtureRequest) -> Iterator[SqlCatalogue]:
    if where == "sqlite":
        catalogue = SqlCatalogue.in_memory()
    else:
        catalogue = SqlCatalogue.open(request.getfixturevalue("empty_postgres_url"))
    yield catalogue
    catalogue.close()


def test_a_queue_that_takes_results_from_anybody_is_caught() -> None:
    """The machine notices what it is there to notice."""

    class Credulous(CoreQueue):
        def complete(self, job: JobId, token: int) -> None:
            self.jobs[job] = replace(self.jobs[job], state=JobState.DONE, lease_until_ms=None)

    with pytest.raises(AssertionError):
        play(Credulous, examples=600)
