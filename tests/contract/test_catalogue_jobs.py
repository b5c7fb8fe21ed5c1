"""The queue: what is claimed first, who may go on with it, and how a job ends without an outcome."""

from __future__ import annotations

import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.errors import NotFound, StaleLease
from storage.ids import JobId, VideoId
from storage.jobs import LANES_BY_URGENCY, JobKind, JobState, Lane
from storage.lifecycle import VideoState
from tests.builders import a_new_job, a_published, a_thumbnailed, an_encoded, an_inspected
from tests.journeys import MINUTE_MS, a_playable_video, a_ready_video, an_encoding_video, do, let_time_pass, take


def a_video_without_jobs(catalogue: SqlCatalogue) -> VideoId:
    return an_encoding_video(catalogue, an_inspected(jobs=()))


def claim_all(catalogue: SqlCatalogue, *lanes: Lane) -> list[JobId]:
    claimed = []
    while (job := catalogue.claim("worker", lanes or LANES_BY_URGENCY, MINUTE_MS)) is not None:
        claimed.append(job.id)
    return claimed


# --- claiming --------------------------------------------------------------------------------------------------------


def test_an_empty_queue_gives_nothing(catalogue: SqlCatalogue) -> None:
    assert catalogue.claim("worker", LANES_BY_URGENCY, MINUTE_MS) is None


def test_a_claim_is_a_lease_with_a_new_token(catalogue: SqlCatalogue) -> None:
    video = a_video_without_jobs(catalogue)
    added = catalogue.add_job(video, a_new_job(payload={"chunk": 3, "rungs": ["360p"]}))
    job = catalogue.claim("worker-7", (Lane.STANDARD,), MINUTE_MS)
    assert job is not None
    assert (job.id, job.video, job.asset) == (added, video, catalogue.video(video).asset)
    assert (job.state, job.worker, job.token) == (JobState.LEASED, "worker-7", 1)
    assert job.payload == {"chunk": 3, "rungs": ["360p"]}
    assert job.lease_until_ms == pytest.approx(catalogue.now_ms() + MINUTE_MS, abs=10_000)


def test_jobs_are_claimed_by_lane_then_order_then_age(catalogue: SqlCatalogue) -> None:
    video = a_video_without_jobs(catalogue)
    expected = {}
    for name, lane, order in [
        ("bulk", Lane.BULK, 0),
        ("late chunk", Lane.STANDARD, 9),
        ("older", Lane.STANDARD, 1),
        ("younger", Lane.STANDARD, 1),
        ("interactive", Lane.INTERACTIVE, 5),
        ("playable", Lane.PLAYABLE, 50),
    ]:
        let_time_pass(catalogue, 10)
        expected[catalogue.add_job(video, a_new_job(lane=lane, order=order))] = name
    names = [expected[job] for job in claim_all(catalogue)]
    assert names == ["playable", "interactive", "older", "younger", "late chunk", "bulk"]


def test_only_the_lanes_of_the_worker_are_claimed(catalogue: SqlCatalogue) -> None:
    video = a_video_without_jobs(catalogue)
    bulk = catalogue.add_job(video, a_new_job(lane=Lane.BULK))
    playable = catalogue.add_job(video, a_new_job(lane=Lane.PLAYABLE))
    assert claim_all(catalogue, Lane.PLAYABLE) == [playable]
    assert claim_all(catalogue, Lane.STANDARD) == []
    assert claim_all(catalogue, Lane.BULK) == [bulk]


def test_tokens_grow_with_every_claim(catalogue: SqlCatalogue) -> None:
    catalogue.add_job(a_video_without_jobs(catalogue), a_new_job())
    tokens = []
    for _ in range(3):
        job = take(catalogue, JobKind.ENCODE)
        tokens.append(job.token)
        catalogue.release(job.id, job.token)
    assert tokens == [1, 2, 3]


# --- leases ----------------------------------------------------------------------------------------------------------


def test_a_renewed_lease_outlives_its_first_term(catalogue: SqlCatalogue) -> None:
    catalogue.add_job(a_video_without_jobs(catalogue), a_new_job())
    job = take(catalogue, JobKind.ENCODE, lease_ms=MINUTE_MS)
    catalogue.renew(job.id, job.token, 10 * MINUTE_MS)
    let_time_pass(catalogue, 5 * MINUTE_MS)
    assert catalogue.sweep(max_kills=3, stale_bell_ms=MINUTE_MS).repairs == {}
    catalogue.commit(job.id, job.token, an_encoded())


def test_a_token_of_an_older_claim_is_refused_everywhere(catalogue: SqlCatalogue) -> None:
    catalogue.add_job(a_video_without_jobs(catalogue), a_new_job())
    old = take(catalogue, JobKind.ENCODE)
    let_time_pass(catalogue, 2 * MINUTE_MS)
    catalogue.sweep(max_kills=3, stale_bell_ms=MINUTE_MS)
    new = take(catalogue, JobKind.ENCODE)
    assert new.id == old.id
    for refused in (
        lambda: catalogue.renew(old.id, old.token, MINUTE_MS),
        lambda: catalogue.commit(old.id, old.token, an_encoded()),
        lambda: catalogue.retry_later(old.id, old.token, "why", 0),
        lambda: catalogue.bury(old.id, old.token, "why"),
        lambda: catalogue.refuse(old.id, old.token, "code", "Why."),
    ):
        with pytest.raises(StaleLease):
            refused()
    catalogue.release(old.id, old.token)  # ignored
    assert catalogue.commit(new.id, new.token, an_encoded()).video_state is VideoState.ENCODING


def test_a_late_commit_is_taken_as_long_as_nobody_else_has_the_job(catalogue: SqlCatalogue) -> None:
    catalogue.add_job(a_video_without_jobs(catalogue), a_new_job())
    job = take(catalogue, JobKind.ENCODE)
    let_time_pass(catalogue, 10 * MINUTE_MS)
    catalogue.commit(job.id, job.token, an_encoded())


def test_an_unknown_job_is_a_stale_lease(catalogue: SqlCatalogue) -> None:
    with pytest.raises(StaleLease):
        catalogue.commit(JobId("nothing"), 1, an_encoded())


def test_a_job_handed_back_is_not_charged(catalogue: SqlCatalogue) -> None:
    video = a_video_without_jobs(catalogue)
    catalogue.add_job(video, a_new_job())
    job = take(catalogue, JobKind.ENCODE)
    catalogue.release(job.id, job.token)
    (ready,) = catalogue.jobs(video=video, state=JobState.READY)
    assert (ready.attempts, ready.kills, ready.worker, ready.lease_until_ms) == (0, 0, None, None)


# --- ends without an outcome -----------------------------------------------------------------------------------------


def test_a_job_that_failed_is_tried_again_after_its_delay(catalogue: SqlCatalogue) -> None:
    video = a_video_without_jobs(catalogue)
    catalogue.add_job(video, a_new_job())
    job = take(catalogue, JobKind.ENCODE)
    catalogue.retry_later(job.id, job.token, "the store did not answer", MINUTE_MS)
    assert catalogue.claim("worker", LANES_BY_URGENCY, MINUTE_MS) is None
    assert catalogue.ready_counts() == {}
    let_time_pass(catalogue, MINUTE_MS)
    again = take(catalogue, JobKind.ENCODE)
    assert (again.id, again.attempts, again.reason) == (job.id, 1, "the store did not answer")


def test_a_buried_job_fails_its_video(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    job = take(catalogue, JobKind.ENCODE)
    catalogue.bury(job.id, job.token, "ffmpeg crashed: \x00 tail")
    (dead,) = catalogue.jobs(video=video, state=JobState.DEAD)
    assert (dead.id, dead.reason) == (job.id, "ffmpeg crashed:  tail")
    failed = catalogue.video(video)
    assert (failed.state, failed.reason_code) == (VideoState.FAILED, "job_dead")
    assert claim_all(catalogue) == []


def test_a_refused_source_rejects_the_video_and_cancels_its_jobs(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    job = take(catalogue, JobKind.ENCODE)
    catalogue.refuse(job.id, job.token, "damaged_source", "Its second half is damaged.")
    rejected = catalogue.video(video)
    assert (rejected.state, rejected.reason_code, rejected.reason) == (
        VideoState.REJECTED,
        "damaged_source",
        "Its second half is damaged.",
    )
    assert claim_all(catalogue) == []


@pytest.mark.parametrize("end", ["bury", "refuse"])
def test_thumbnails_that_fail_do_not_take_a_ready_video_away(catalogue: SqlCatalogue, end: str) -> None:
    video = a_ready_video(catalogue)
    job = take(catalogue, JobKind.THUMBNAILS)
    if end == "bury":
        catalogue.bury(job.id, job.token, "no picture")
    else:
        catalogue.refuse(job.id, job.token, "damaged_source", "No picture.")
    assert catalogue.video(video).state is VideoState.READY
    assert catalogue.video(video).published


# --- one PUBLISH job at a time ---------------------------------------------------------------------------------------


def test_many_commits_leave_one_ready_publish_job(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    first, second = take(catalogue, JobKind.ENCODE), take(catalogue, JobKind.ENCODE)
    assert catalogue.commit(first.id, first.token, an_encoded()).bells == {Lane.PLAYABLE: 1}
    assert catalogue.commit(second.id, second.token, an_encoded({"360p": (1,)})).bells == {}
    do(catalogue, JobKind.THUMBNAILS, a_thumbnailed())
    ready = [job for job in catalogue.jobs(video=video, state=JobState.READY) if job.kind is JobKind.PUBLISH]
    assert len(ready) == 1
    assert catalogue.add_job(video, a_new_job(JobKind.PUBLISH, Lane.PLAYABLE)) == ready[0].id


@pytest.mark.parametrize("way", ["release", "retry_later", "sweep"])
def test_a_publish_job_handed_back_makes_way_for_a_newer_one(catalogue: SqlCatalogue, way: str) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded())
    old = take(catalogue, JobKind.PUBLISH)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1,), "720p": (1,)}))
    match way:
        case "release":
            catalogue.release(old.id, old.token)
        case "retry_later":
            catalogue.retry_later(old.id, old.token, "why", 0)
        case _:
            let_time_pass(catalogue, 2 * MINUTE_MS)
            catalogue.sweep(max_kills=3, stale_bell_ms=MINUTE_MS)
    states = {job.id: job.state for job in catalogue.jobs(video=video) if job.kind is JobKind.PUBLISH}
    assert states.pop(old.id) is JobState.CANCELLED
    assert list(states.values()) == [JobState.READY]
    do(catalogue, JobKind.PUBLISH, a_published(revision=2))


# --- counts ----------------------------------------------------------------------------------------------------------


def test_a_job_is_found_by_its_id(catalogue: SqlCatalogue) -> None:
    an_encoding_video(catalogue)
    listed = catalogue.jobs(limit=1)[0]
    assert catalogue.job(listed.id) == listed
    with pytest.raises(NotFound):
        catalogue.job(JobId("0000000000000000"))


def test_jobs_are_counted_by_lane_and_state(catalogue: SqlCatalogue) -> None:
    video = a_video_without_jobs(catalogue)
    for lane in (Lane.BULK, Lane.BULK, Lane.STANDARD):
        catalogue.add_job(video, a_new_job(lane=lane))
    take(catalogue, JobKind.ENCODE)
    assert catalogue.ready_counts() == {Lane.BULK: 2}
    assert catalogue.job_counts() == {
        (JobState.DONE, Lane.PLAYABLE): 1,  # its inspection
        (JobState.LEASED, Lane.STANDARD): 1,
        (JobState.READY, Lane.BULK): 2,
    }
