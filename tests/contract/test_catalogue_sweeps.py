"""Repair, leadership and events' age."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.tables import jobs
from storage.jobs import LANES_BY_URGENCY, JobKind, JobState, Lane
from storage.lifecycle import VideoState
from tests.builders import a_published, a_thumbnailed, an_encoded
from tests.journeys import (
    HOUR_MS,
    MINUTE_MS,
    a_playable_video,
    a_ready_video,
    an_encoding_video,
    an_uploaded_video,
    do,
    let_time_pass,
    take,
)


def sweep(catalogue: SqlCatalogue, *, stale_bell_ms: int = 100 * HOUR_MS) -> tuple[dict[str, int], dict[Lane, int]]:
    """Repairs and bells, with bells that nobody hears left out unless asked for."""
    swept = catalogue.sweep(max_kills=3, stale_bell_ms=stale_bell_ms)
    return swept.repairs, swept.bells


def test_a_healthy_catalogue_needs_no_repair(catalogue: SqlCatalogue) -> None:
    a_ready_video(catalogue)
    an_encoding_video(catalogue)
    assert sweep(catalogue) == ({}, {})


def test_the_job_of_a_dead_worker_is_ready_again_and_rung_for(catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    job = take(catalogue, JobKind.INSPECT)
    assert sweep(catalogue) == ({}, {})
    let_time_pass(catalogue, 2 * MINUTE_MS)
    assert sweep(catalogue) == ({"expired_lease": 1}, {Lane.PLAYABLE: 1})
    assert sweep(catalogue) == ({}, {})
    again = take(catalogue, JobKind.INSPECT)
    assert (again.id, again.kills, again.attempts) == (job.id, 1, 0)


def test_a_job_that_kills_its_workers_becomes_a_dead_letter(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    for _ in range(3):
        job = take(catalogue, JobKind.ENCODE)
        let_time_pass(catalogue, 2 * MINUTE_MS)
        repairs, _bells = sweep(catalogue)
    assert repairs == {"dead_letter": 1}
    (dead,) = catalogue.jobs(video=video, state=JobState.DEAD)
    assert (dead.id, dead.kills) == (job.id, 3)
    assert catalogue.video(video).state is VideoState.FAILED
    assert catalogue.claim("worker", LANES_BY_URGENCY, MINUTE_MS) is None


def test_a_job_that_nobody_claims_is_rung_for_again(catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    let_time_pass(catalogue, MINUTE_MS)
    assert sweep(catalogue, stale_bell_ms=MINUTE_MS) == ({"unheard_bell": 1}, {Lane.PLAYABLE: 1})
    assert sweep(catalogue, stale_bell_ms=MINUTE_MS) == ({}, {})


def test_a_delay_that_has_passed_is_rung_for(catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    job = take(catalogue, JobKind.INSPECT)
    catalogue.retry_later(job.id, job.token, "why", MINUTE_MS)
    assert sweep(catalogue) == ({}, {})
    let_time_pass(catalogue, MINUTE_MS)
    assert sweep(catalogue) == ({"unheard_bell": 1}, {Lane.PLAYABLE: 1})
    assert sweep(catalogue) == ({}, {})


def test_a_job_handed_back_is_rung_for(catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    job = take(catalogue, JobKind.INSPECT)
    catalogue.release(job.id, job.token)
    assert sweep(catalogue) == ({"unheard_bell": 1}, {Lane.PLAYABLE: 1})


def test_a_revision_without_a_publish_job_gets_one(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1,), "720p": (1,)}))
    # As if the process had published an older state and said it was this one's job.
    job = take(catalogue, JobKind.PUBLISH)
    catalogue.commit(job.id, job.token, a_published(revision=1))
    assert sweep(catalogue) == ({"missing_publish": 1}, {Lane.PLAYABLE: 1})
    assert sweep(catalogue) == ({}, {})
    do(catalogue, JobKind.PUBLISH, a_published(revision=2))
    assert sweep(catalogue) == ({}, {})
    assert catalogue.video(video).state is VideoState.PLAYABLE


def test_a_publish_job_that_died_is_not_tried_for_ever(catalogue: SqlCatalogue) -> None:
    video = a_ready_video(catalogue)
    do(catalogue, JobKind.THUMBNAILS, a_thumbnailed())
    job = take(catalogue, JobKind.PUBLISH)
    catalogue.bury(job.id, job.token, "the manifests cannot be made")
    assert sweep(catalogue) == ({}, {})
    assert catalogue.video(video).state is VideoState.READY


@pytest.mark.parametrize(("begin", "kind"), [(an_uploaded_video, "inspect"), (a_playable_video, "publish")])
def test_a_video_at_work_without_a_job_is_set_going_seldom(
    begin: Callable[[SqlCatalogue], object], kind: str, catalogue: SqlCatalogue
) -> None:
    begin(catalogue)
    with catalogue._db.write() as tx:  # as if somebody had been at the rows
        tx.execute(jobs.delete())
    assert sweep(catalogue) == ({}, {})  # it may just be moving on
    let_time_pass(catalogue, HOUR_MS)
    assert sweep(catalogue) == ({"stuck": 1}, {Lane.PLAYABLE: 1})
    assert sweep(catalogue) == ({}, {})
    (job,) = catalogue.jobs()
    assert (job.kind, job.state) == (kind, JobState.READY)
    catalogue.claim("worker", LANES_BY_URGENCY, MINUTE_MS)
    assert sweep(catalogue) == ({}, {})


def test_one_holder_leads_until_it_stops_renewing(catalogue: SqlCatalogue) -> None:
    assert catalogue.lead("sweeper", "one", MINUTE_MS)
    assert not catalogue.lead("sweeper", "two", MINUTE_MS)
    assert catalogue.lead("sweeper", "one", MINUTE_MS)
    assert catalogue.lead("other office", "two", MINUTE_MS)
    let_time_pass(catalogue, MINUTE_MS)
    assert catalogue.lead("sweeper", "two", MINUTE_MS)
    assert not catalogue.lead("sweeper", "one", MINUTE_MS)


def test_old_events_go_and_ids_still_only_grow(catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    before = catalogue.last_event_id()
    let_time_pass(catalogue, 25 * HOUR_MS)
    sweep(catalogue)
    assert catalogue.events_after(0) == ()
    an_uploaded_video(catalogue)
    assert catalogue.events_after(0)[0].id > before
