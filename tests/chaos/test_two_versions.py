"""A rolling deploy as it happens: worker processes of two versions on one queue, with real films and real tools. What each
version makes is, to the byte, what it makes alone.

This version's recipe is the shipped one; that of the version before has another preset and shorter GOPs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from storage.blobs.local import LocalBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.ids import JobId, VideoId
from storage.jobs import JobState
from storage.lifecycle import VideoState
from storage.media.ladder import RECIPE
from tests.chaos.report import begun
from tests.chaos.weather import make_film
from tests.chaos.worker import BEFORE
from tests.services import stop
from tests.workshop import an_upload_of
from workers.audit import audit

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240
UNKNOWN = "2"
"""Of a version that is still to come."""


class Queue:
    """A folder with a database, a store, and the ledger of the workers there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.database = f"sqlite:///{folder / 'catalogue.sqlite3'}"
        migrate(self.database)
        self.catalogue = SqlCatalogue.open(self.database)
        self.blobs = LocalBlobs(folder / "objects")

    def upload(self, film: bytes, recipe: str) -> VideoId:
        """To an upload API of the version that gives videos ``recipe``."""
        return an_upload_of(film, self.catalogue, self.blobs, recipe=recipe)

    @contextmanager
    def worker(self, *recipes: str) -> Iterator[int]:
        """Of the version whose own recipe is the first of ``recipes``; its process id."""
        environment = {
            **os.environ,
            "LADDER_TEST_FOLDER": str(self.folder),
            "LADDER_TEST_DATABASE": self.database,
            "LADDER_TEST_FILMS": "1",
            "LADDER_TEST_LEASE_MS": "30000",
            "LADDER_TEST_RECIPES": " ".join(recipes),
        }
        with (self.folder / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            yield process.pid
        finally:
            stop(process, patience_s=60)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, (self.folder / "workers.log").read_text()[-6000:]
            time.sleep(0.05)

    def at_work(self, *videos: VideoId) -> bool:
        unfinished = {JobState.READY, JobState.LEASED}
        return any(unfinished & {job.state for job in self.catalogue.jobs(video=video)} for video in videos)

    def until_ready(self, *videos: VideoId) -> None:
        self.until(lambda: not self.at_work(*videos))
        assert {self.catalogue.video(video).state for video in videos} == {VideoState.READY}

    def published(self, video: VideoId) -> dict[str, bytes]:
        asset = self.catalogue.asset(self.catalogue.video(video).asset)
        return {name.name: self.blobs.get(name.key) for name in asset.names}

    def worked_at(self) -> dict[int, set[tuple[str, VideoId]]]:
        """By process, the recipes and videos of the jobs that it began."""
        jobs = {job.id: job for job in self.catalogue.jobs(limit=10_000)}
        found: defaultdict[int, set[tuple[str, VideoId]]] = defaultdict(set)
        for pid, job, _ in begun(self.folder):
            found[pid].add((jobs[JobId(job)].recipe, jobs[JobId(job)].video))
        return found


def recipes(worked: set[tuple[str, VideoId]]) -> set[str]:
    return {recipe for recipe, _ in worked}


def test_two_versions_side_by_side_make_what_each_makes_alone(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", seconds=6).read_bytes()
    alone = {recipe: Queue(tmp_path / f"alone-{recipe}") for recipe in (BEFORE, RECIPE)}
    expected: dict[str, dict[str, bytes]] = {}
    with ExitStack() as stack:
        for recipe, queue in alone.items():
            stack.enter_context(queue.worker(recipe))
        for recipe, queue in alone.items():
            video = queue.upload(film, recipe)
            queue.until_ready(video)
            expected[recipe] = queue.published(video)
    assert expected[BEFORE]["240p/media.m3u8"] != expected[RECIPE]["240p/media.m3u8"]

    queue = Queue(tmp_path / "both")
    unknown = queue.upload(film, UNKNOWN)
    first = queue.upload(film, BEFORE)
    videos = {first: BEFORE}
    with queue.worker(RECIPE, BEFORE) as now:
        # Planned by this version, by the other one's rules.
        queue.until(lambda: queue.catalogue.asset(queue.catalogue.video(first).asset).plan is not None)
        with queue.worker(BEFORE) as before:
            videos |= {queue.upload(film, recipe): recipe for recipe in (RECIPE, BEFORE)}

            def both_worked_at_one_film() -> bool:
                if not queue.at_work(*videos) and len(videos) < 20:
                    videos[queue.upload(film, BEFORE)] = BEFORE
                worked = queue.worked_at()
                return bool(worked[before] & worked[now]) and RECIPE in recipes(worked[now])

            queue.until(both_worked_at_one_film)
        # The version before is gone; what it had begun goes on.
        queue.until_ready(*videos)

    worked = queue.worked_at()
    assert (recipes(worked[before]), recipes(worked[now])) == ({BEFORE}, {RECIPE, BEFORE})
    for video, recipe in videos.items():
        plan = queue.catalogue.asset(queue.catalogue.video(video).asset).plan
        assert plan is not None
        assert plan.recipe == recipe
        assert queue.published(video) == expected[recipe]
    # Nobody touched what neither knows.
    (waiting,) = queue.catalogue.jobs(video=unknown)
    assert (waiting.state, waiting.token, waiting.attempts, waiting.kills) == (JobState.READY, 0, 0, 0)
    assert audit(queue.catalogue, queue.blobs, grace_ms=0).clean
