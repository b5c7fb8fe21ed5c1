"""PostgreSQL lets writers run side by side: what has to wait for what, step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from storage.catalogue.sql import SqlCatalogue, commits, moving
from storage.catalogue.sql.tables import jobs
from storage.errors import StaleLease
from storage.jobs import LANES_BY_URGENCY, JobKind, JobState
from storage.lifecycle import VideoState
from tests.builders import a_new_job, an_encoded, an_inspected
from tests.journeys import MINUTE_MS, an_encoding_video, do, take

pytestmark = pytest.mark.integration


@pytest.fixture
def catalogue(empty_postgres_url: str) -> Iterator[SqlCatalogue]:
    opened = SqlCatalogue.open(empty_postgres_url)
    yield opened
    opened.close()


class Pause:
    """Stops whoever comes by until told to go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def after(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def paused(*args: Any, **values: Any) -> Any:
            result = call(*args, **values)
            self.reached.set()
            assert self.go_on.wait(30)
            return result

        return paused


def until_somebody_waits_for_a_lock(catalogue: SqlCatalogue) -> None:
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    for _ in range(10_000):
        with catalogue._db.read() as tx:
            if tx.connection.execute(waiting).scalar_one():
                return
    raise AssertionError("nobody waits")


def test_a_cancellation_waits_for_a_commit_under_way(catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    video = an_encoding_video(catalogue)
    job = take(catalogue, JobKind.ENCODE)
    pause = Pause()
    monkeypatch.setattr(commits, "finish", pause.after(commits.finish))
    with ThreadPoolExecutor(2) as pool:
        commit = pool.submit(catalogue.commit, job.id, job.token, an_encoded())
        assert pause.reached.wait(30)
        cancel = pool.submit(catalogue.cancel_video, video)
        until_somebody_waits_for_a_lock(catalogue)
        pause.go_on.set()
        assert commit.result().video_state is VideoState.ENCODING
        assert cancel.result().state is VideoState.FAILED
    assert catalogue.jobs(video=video, state=JobState.READY) == ()
    assert all(row.segments == () for row in catalogue.asset(job.asset).renditions)


def test_a_commit_waits_for_a_cancellation_under_way_and_is_refused(
    catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = an_encoding_video(catalogue)
    job = take(catalogue, JobKind.ENCODE)
    pause = Pause()
    monkeypatch.setattr(moving, "move", pause.after(moving.move))
    with ThreadPoolExecutor(2) as pool:
        cancel = pool.submit(catalogue.cancel_video, video)
        assert pause.reached.wait(30)
        commit = pool.submit(catalogue.commit, job.id, job.token, an_encoded())
        until_somebody_waits_for_a_lock(catalogue)
        pause.go_on.set()
        assert cancel.result().state is VideoState.FAILED
        assert isinstance(commit.exception(), StaleLease)


def test_a_publish_job_cannot_be_claimed_while_a_commit_counts_on_it(
    catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its claimer would read the asset without that commit, and nobody would publish it."""
    an_encoding_video(catalogue, an_inspected(jobs=(a_new_job(), a_new_job())))
    do(catalogue, JobKind.ENCODE, an_encoded())
    job = take(catalogue, JobKind.ENCODE)
    claim = partial(catalogue.claim, "publisher", LANES_BY_URGENCY, MINUTE_MS)
    pause = Pause()
    monkeypatch.setattr(commits, "ensure_publish_job", pause.after(commits.ensure_publish_job))
    with ThreadPoolExecutor(1) as pool:
        commit = pool.submit(catalogue.commit, job.id, job.token, an_encoded({"360p": (1,), "720p": (1,)}))
        assert pause.reached.wait(30)
        assert claim() is None
        pause.go_on.set()
        assert commit.result().bells == {}
    publishing = claim()
    assert publishing is not None
    assert catalogue.asset(publishing.asset).revision == 2


def test_claimers_pass_over_a_job_that_is_being_taken(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue, an_inspected(jobs=()))
    first, second = (catalogue.add_job(video, a_new_job(order=order)) for order in (1, 2))
    with catalogue._db.write() as tx:
        tx.first(sa.select(jobs).where(jobs.c.id == first).with_for_update())
        claimed = catalogue.claim("worker", LANES_BY_URGENCY, MINUTE_MS)
    assert claimed is not None
    assert claimed.id == second
