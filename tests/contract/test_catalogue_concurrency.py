"""Many at once: what is decided once stays decided once, whoever comes at the same moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.errors import FishladderError, IllegalTransition, StaleLease, UploadBusy
from storage.ids import JobId
from storage.jobs import LANES_BY_URGENCY, JobKind, JobState
from storage.lifecycle import VideoState
from tests.builders import a_new_job, a_new_upload, an_encode_plan, an_encoded, an_inspected
from tests.journeys import MINUTE_MS, an_encoding_video, let_time_pass, take


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each call returned or raised, all having started together."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return call()
        except FishladderError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in calls]]


def test_no_job_is_claimed_twice_and_none_is_passed_over(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue, an_inspected(jobs=()))
    added = {catalogue.add_job(video, a_new_job()) for _ in range(40)}

    def claim_until_empty(worker: str) -> list[JobId]:
        claimed = []
        # PostgreSQL passes over rows that another is taking, so an empty answer may come early: ask until all are gone.
        while catalogue.ready_counts():
            job = catalogue.claim(worker, LANES_BY_URGENCY, MINUTE_MS)
            if job is not None:
                claimed.append(job.id)
        return claimed

    claims = at_once([partial(claim_until_empty, f"worker-{number}") for number in range(4)])
    claimed = Counter(job for its in claims for job in its)
    assert set(claimed) == added
    assert set(claimed.values()) == {1}


def test_of_two_who_claim_the_last_job_one_goes_away_empty(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue, an_inspected(jobs=()))
    for _ in range(10):
        catalogue.add_job(video, a_new_job())
        claims = at_once([partial(catalogue.claim, name, LANES_BY_URGENCY, MINUTE_MS) for name in ("one", "two")])
        assert sorted(claim is None for claim in claims) == [False, True]


def test_of_two_writers_one_gets_the_upload(catalogue: SqlCatalogue) -> None:
    for _ in range(5):
        upload = catalogue.create_upload(a_new_upload())
        answers = at_once([partial(catalogue.acquire_upload, upload.id, name, MINUTE_MS) for name in ("one", "two")])
        assert Counter(type(answer) for answer in answers) == {int: 1, UploadBusy: 1}


def test_an_upload_completed_twice_at_once_has_one_job(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload(length_bytes=10))
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.record_progress(upload.id, token, offset_bytes=10, new_parts=(), tail=None)
    answers = at_once([partial(catalogue.complete_upload, upload.id, token, recipe="1")] * 4)
    assert sum(answer is not None for answer in answers) == 1
    assert len(catalogue.jobs(video=upload.video)) == 1


@pytest.mark.parametrize("round_", range(3))
def test_commits_at_the_same_moment_all_count_and_leave_one_publish_job(catalogue: SqlCatalogue, round_: int) -> None:
    video = an_encoding_video(catalogue, an_inspected(jobs=tuple(a_new_job() for _ in range(4))))
    jobs = [take(catalogue, JobKind.ENCODE) for _ in range(4)]
    outcomes = [an_encoded({"360p": (number,), "720p": (number,)}) for number in range(4)]
    answers = at_once(
        [partial(catalogue.commit, job.id, job.token, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]
    )
    assert sum(sum(answer.bells.values()) for answer in answers) == 1
    asset = catalogue.asset(jobs[0].asset)
    assert asset.revision == 4
    assert [len(row.segments) for row in asset.renditions] == [4, 4]
    assert catalogue.video(video).progress == 1.0
    ready = catalogue.jobs(video=video, state=JobState.READY)
    assert [job.kind for job in ready] == [JobKind.PUBLISH]


@pytest.mark.parametrize("round_", range(3))
def test_a_publisher_never_misses_what_was_committed_as_it_claimed(catalogue: SqlCatalogue, round_: int) -> None:
    """Whoever claims the ready job reads an asset that has the commit, or the commit leaves another ready job."""
    video = an_encoding_video(catalogue, an_inspected(jobs=tuple(a_new_job() for _ in range(4))))
    first, *others = [take(catalogue, JobKind.ENCODE) for _ in range(4)]
    catalogue.commit(first.id, first.token, an_encoded())

    def claim_and_read() -> int | None:
        job = catalogue.claim("publisher", LANES_BY_URGENCY, MINUTE_MS)
        return None if job is None else catalogue.asset(job.asset).revision

    for number, job in enumerate(others, start=1):
        outcome = an_encoded({"360p": (number,), "720p": (number,)})
        _, read = at_once([partial(catalogue.commit, job.id, job.token, outcome), claim_and_read])
        left = [it for it in catalogue.jobs(video=video, state=JobState.READY) if it.kind is JobKind.PUBLISH]
        assert read == number + 1 or len(left) == 1


@pytest.mark.parametrize("round_", range(5))
def test_a_commit_and_a_cancellation_at_once_agree_on_who_came_first(catalogue: SqlCatalogue, round_: int) -> None:
    video = an_encoding_video(catalogue)
    job = take(catalogue, JobKind.ENCODE)
    commit, cancel = at_once(
        [partial(catalogue.commit, job.id, job.token, an_encoded()), partial(catalogue.cancel_video, video)]
    )
    assert cancel.state is VideoState.FAILED
    state = next(it.state for it in catalogue.jobs(video=video) if it.id == job.id)
    if isinstance(commit, StaleLease):
        assert state is JobState.CANCELLED
    else:
        assert state is JobState.DONE
    assert {it.state for it in catalogue.jobs(video=video)} <= {JobState.DONE, JobState.CANCELLED}


def test_two_sweepers_at_once_charge_a_lost_lease_once(catalogue: SqlCatalogue) -> None:
    for _ in range(3):
        an_encoding_video(catalogue)
    for _ in range(6):
        take(catalogue, JobKind.ENCODE)
    let_time_pass(catalogue, 2 * MINUTE_MS)
    swept = at_once([partial(catalogue.sweep, max_kills=3, stale_bell_ms=60 * MINUTE_MS)] * 3)
    assert sum(it.repairs.get("expired_lease", 0) for it in swept) == 6
    assert {job.kills for job in catalogue.jobs() if job.kind is JobKind.ENCODE} == {1}


def test_one_of_many_becomes_the_leader(catalogue: SqlCatalogue) -> None:
    answers = at_once([partial(catalogue.lead, "sweeper", f"holder-{number}", MINUTE_MS) for number in range(6)])
    assert Counter(answers) == {True: 1, False: 5}


def test_a_terminated_and_a_completed_upload_agree(catalogue: SqlCatalogue) -> None:
    for _ in range(5):
        upload = catalogue.create_upload(a_new_upload(length_bytes=10))
        token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
        catalogue.record_progress(upload.id, token, offset_bytes=10, new_parts=(), tail=None)
        complete, terminate = at_once(
            [
                partial(catalogue.complete_upload, upload.id, token, recipe="1"),
                partial(catalogue.terminate_upload, upload.id),
            ]
        )
        state = catalogue.video(upload.video).state
        if isinstance(complete, StaleLease):
            assert state is VideoState.DELETED
        else:
            assert isinstance(terminate, IllegalTransition)
            assert state is VideoState.INSPECTING


def test_events_become_visible_in_the_order_of_their_ids(catalogue: SqlCatalogue) -> None:
    """A watcher that has seen an id has seen all before it."""
    writers = 4
    done = threading.Event()
    seen: list[int] = []

    def write() -> None:
        for _ in range(8):
            catalogue.create_upload(a_new_upload())

    def watch() -> None:
        while True:
            last_round = done.is_set()
            seen.extend(event.id for event in catalogue.events_after(seen[-1] if seen else 0, limit=3))
            if last_round and len(seen) >= catalogue.last_event_id():
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    at_once([write] * writers)
    done.set()
    watcher.join(30)
    assert seen == [event.id for event in catalogue.events_after(0)]
    assert len(seen) == writers * 8


def test_long_plans_and_big_commits_fit(catalogue: SqlCatalogue) -> None:
    """A twelve-hour video has tens of thousands of segments."""
    plan = an_encode_plan(total_frames=100 * 2000)
    an_encoding_video(catalogue, an_inspected(plan=plan))
    job = take(catalogue, JobKind.ENCODE)
    catalogue.commit(job.id, job.token, an_encoded({"360p": tuple(range(2000))}))
    assert len(catalogue.asset(job.asset).renditions[0].segments) == 2000
