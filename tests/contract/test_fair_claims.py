"""The policy in the claim: what `storage.fairness` promises, seen through the tables of both databases."""

from __future__ import annotations

from collections import Counter

from storage.catalogue.sql import SqlCatalogue
from storage.fairness import FairPolicy
from storage.ids import TenantId, VideoId
from storage.jobs import LANES_BY_URGENCY, Inspected, Job, JobKind, JobState, Lane, NewJob
from tests.builders import a_new_job, a_new_upload, a_published, an_encoded, an_inspected
from tests.journeys import MINUTE_MS, an_uploaded_video


def a_video_of(catalogue: SqlCatalogue, tenant: str, lane: Lane = Lane.STANDARD) -> VideoId:
    video, _ = an_uploaded_video(catalogue, a_new_upload(tenant=TenantId(tenant), lane=lane))
    return video


def claim(catalogue: SqlCatalogue, worker: str = "worker") -> Job | None:
    return catalogue.claim(worker, LANES_BY_URGENCY, MINUTE_MS)


def inspected(*jobs: NewJob) -> Inspected:
    return an_inspected(jobs=jobs)


def queue_up(catalogue: SqlCatalogue, tenant: str, *jobs: NewJob) -> VideoId:
    """A video of ``tenant`` whose ``jobs`` wait; nothing else of anybody is ready when this begins."""
    video = a_video_of(catalogue, tenant)
    job = catalogue.claim("worker", (Lane.PLAYABLE,), MINUTE_MS)
    assert job is not None
    assert job.video == video
    catalogue.commit(job.id, job.token, inspected(*jobs))
    return video


def a_chunk(cost_cpu_ms: int = 10_000, lane: Lane = Lane.STANDARD) -> NewJob:
    return a_new_job(lane=lane, cost_cpu_ms=cost_cpu_ms)


def test_tenants_take_turns_however_much_one_of_them_has(catalogue: SqlCatalogue) -> None:
    queue_up(catalogue, "big", *[a_chunk()] * 30)
    for tenant in ("a", "b"):
        queue_up(catalogue, tenant, *[a_chunk()] * 3)
    order = [job.tenant for job in iter(lambda: claim(catalogue), None)]
    assert len(order) == 36
    # Within the first turns the small ones are through, and nobody had two turns more than another who still waited.
    assert Counter(order[:9])["a"] == Counter(order[:9])["b"] == 3
    assert set(order[9:]) == {"big"}


def test_turns_are_counted_in_cpu_time_not_in_jobs(catalogue: SqlCatalogue) -> None:
    queue_up(catalogue, "4k", *[a_chunk(100_000)] * 10)
    queue_up(catalogue, "clip", *[a_chunk(10_000)] * 10)
    order = [job.tenant for job in iter(lambda: claim(catalogue), None)]
    assert Counter(order[:12])["clip"] == 10


def test_what_was_measured_corrects_what_was_estimated(catalogue: SqlCatalogue) -> None:
    for tenant in ("honest", "cheap"):
        queue_up(catalogue, tenant, *[a_chunk(10_000)] * 8)
    spent_ms = {"honest": 10_000, "cheap": 1_000}
    order = []
    for _ in range(12):
        job = claim(catalogue)
        assert job is not None
        order.append(job.tenant)
        catalogue.commit(job.id, job.token, an_encoded({}, cpu_ms=spent_ms[job.tenant]))
        publish = catalogue.claim("publisher", (Lane.PLAYABLE,), MINUTE_MS)
        if publish is not None:
            catalogue.commit(publish.id, publish.token, a_published(revision=0, names=(), playable=False))
    assert order.count("cheap") == 8


def test_a_job_handed_back_costs_its_tenant_nothing(catalogue: SqlCatalogue) -> None:
    queue_up(catalogue, "a", a_chunk(50_000))
    queue_up(catalogue, "b", a_chunk(50_000))
    first = claim(catalogue)
    assert first is not None
    catalogue.release(first.id, first.token)
    again = claim(catalogue)
    assert again is not None
    assert again.id == first.id


def test_a_retried_video_and_a_short_one_keep_their_deadlines(catalogue: SqlCatalogue) -> None:
    """Of one tenant: a short video that came later overtakes the rest of a long one, not its beginning."""
    long = queue_up(catalogue, "one", *[a_chunk(60_000)] * 5)
    short = queue_up(catalogue, "one", *[a_chunk(60_000)] * 2)
    order = [job.video for job in iter(lambda: claim(catalogue), None)]
    assert order == [long, short, long, short, long, long, long]


def test_caps_and_weights_are_the_policys(catalogue: SqlCatalogue) -> None:
    catalogue._policy = FairPolicy(weights={TenantId("gold"): 3.0}, max_running=3)
    queue_up(catalogue, "gold", *[a_chunk()] * 12)
    queue_up(catalogue, "tin", *[a_chunk()] * 12)
    order = [job.tenant for job in iter(lambda: claim(catalogue), None)]
    assert Counter(order) == {"gold": 3, "tin": 3}
    assert Counter(order[:4])["gold"] == 3


def test_workers_of_two_versions_leave_each_other_what_they_do_not_know(catalogue: SqlCatalogue) -> None:
    """A rolling deploy: recipe 2 is out, jobs of recipe 1 are still there."""
    old = a_video_of(catalogue, "old")
    upload = catalogue.create_upload(a_new_upload(tenant=TenantId("new")))
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.record_progress(upload.id, token, offset_bytes=upload.length_bytes or 0, new_parts=(), tail=None)
    catalogue.complete_upload(upload.id, token, recipe="2")
    before = catalogue.claim("before", LANES_BY_URGENCY, MINUTE_MS, recipes=("1",))
    assert before is not None
    assert before.video == old
    assert catalogue.claim("before", LANES_BY_URGENCY, MINUTE_MS, recipes=("1",)) is None
    catalogue.release(before.id, before.token)
    after = [catalogue.claim("after", LANES_BY_URGENCY, MINUTE_MS, recipes=("1", "2")) for _ in range(2)]
    assert {job.recipe for job in after if job is not None} == {"1", "2"}
    assert catalogue.claim("after", LANES_BY_URGENCY, MINUTE_MS, recipes=("1", "2")) is None


def test_two_hundred_videos_of_twenty_tenants_on_two_workers() -> None:
    """Order and shares: what makes videos playable first, then all tenants alike at any moment, whatever each has queued."""
    catalogue = SqlCatalogue.in_memory()
    tenants = [f"tenant-{number:02}" for number in range(20)]
    queued = Counter({tenant: (2, 5, 13, 20)[number % 4] for number, tenant in enumerate(tenants)})
    assert queued.total() == 200
    for tenant, count in queued.items():
        for _ in range(count):
            a_video_of(catalogue, tenant)
    served: Counter[str] = Counter(dict.fromkeys(tenants, 0))
    order: list[Job] = []
    while True:
        running = [job for worker in ("one", "two") if (job := claim(catalogue, worker)) is not None]
        if not running:
            break
        for job in running:
            order.append(job)
            served[job.tenant] += job.lane is Lane.STANDARD
            if min(queued[tenant] - served[tenant] for tenant in tenants) > 0:  # all of them still wait
                assert max(served.values()) - min(served.values()) <= 2
            match job.kind:
                case JobKind.INSPECT:
                    jobs = (a_new_job(lane=Lane.PLAYABLE, cost_cpu_ms=1_000), a_chunk(20_000))
                    catalogue.commit(job.id, job.token, inspected(*jobs))
                case JobKind.PUBLISH:
                    catalogue.commit(job.id, job.token, a_published(revision=0, names=(), playable=False))
                case _:
                    catalogue.commit(job.id, job.token, an_encoded({}, cpu_ms=job.cost_cpu_ms))
    assert catalogue.jobs(state=JobState.READY) == ()
    assert served == queued
    # The first turns are inspections and beginnings, but for the share that other lanes are guaranteed.
    assert Counter(job.lane for job in order[:200])[Lane.PLAYABLE] >= 170
    catalogue.close()
