"""Every point between two effects: a process dies there, others go on, and nothing is lost, stuck or done twice.

Processes are real: forked, dead with exit code 137 at a point by its name. The steps make up what they store.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import crashpoints
from storage.audit import FindingKind
from storage.blobs.local import LocalBlobs
from storage.catalogue import NewUpload
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.crashpoints import CROSSED_BY, EXIT_CODE, CrashPoint
from storage.ids import DEFAULT_TENANT, VideoId
from storage.jobs import LANES_BY_URGENCY, JobKind, JobState, Lane, Outcome, SilentBell
from storage.keys import source_key
from storage.lifecycle import VideoState
from storage.media.ladder import RECIPE
from tests.journeys import HOUR_MS, MINUTE_MS, let_time_pass
from tests.workshop import MADE_UP, a_workshop, inspect_talkie
from workers.audit import audit
from workers.drain import Drain
from workers.ffmpeg.process import Interrupted
from workers.parts import RunnerParts
from workers.steps.context import StepContext

CASES = [
    pytest.param(point, kind, id=f"{point} {kind}") for point, kinds in CROSSED_BY.items() for kind in sorted(kinds)
]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At head, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "catalogue.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def place(tmp_path: Path, empty_database: Path) -> Path:
    (tmp_path / "catalogue.sqlite3").write_bytes(empty_database.read_bytes())
    return tmp_path


def parts_at(place: Path, **steps: Callable[[StepContext], Outcome]) -> RunnerParts:
    return a_workshop(
        place / "scratch",
        catalogue=SqlCatalogue.open(f"sqlite:///{place / 'catalogue.sqlite3'}"),
        blobs=LocalBlobs(place / "objects"),
        steps={JobKind.INSPECT: inspect_talkie, **{JobKind(kind): step for kind, step in steps.items()}},
        min_free_disk_bytes=0,
        min_free_memory_bytes=0,
        sweep_interval_s=0.001,
    )


def dying(point: CrashPoint, kind: JobKind | None, work: Callable[[], None]) -> int:
    """The exit code of a process that does ``work`` and dies at ``point``."""
    child = os.fork()
    if child == 0:
        try:
            crashpoints.arm(f"{point}:{kind}" if kind else point)
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def upload(parts: RunnerParts) -> VideoId:
    new = NewUpload(
        tenant=DEFAULT_TENANT, length_bytes=4, metadata_raw=None, title="Film", filename=None, lane=Lane.STANDARD
    )
    made = parts.catalogue.create_upload(new)
    token = parts.catalogue.acquire_upload(made.id, "test", 60_000)
    parts.blobs.put(made.source_key, b"film")
    parts.catalogue.record_progress(made.id, token, offset_bytes=4, new_parts=(), tail=None)
    parts.catalogue.complete_upload(made.id, token, recipe=RECIPE)
    return made.video


def work_off(parts: RunnerParts) -> None:
    runner = parts.runner(SilentBell(), Drain())
    while runner.run_one(LANES_BY_URGENCY):
        pass


def recover(place: Path) -> RunnerParts:
    """What other workers do, once the lease of the dead one has run out."""
    parts = parts_at(place)
    assert isinstance(parts.catalogue, SqlCatalogue)
    work_off(parts)
    let_time_pass(parts.catalogue, MINUTE_MS)
    parts.sweeper(SilentBell()).sweep_once()
    work_off(parts)
    return parts


def is_whole(parts: RunnerParts, video: VideoId) -> None:
    """Nothing lost, nothing stuck, nothing twice."""
    assert parts.catalogue.video(video).state is VideoState.READY
    states = {job.id: job.state for job in parts.catalogue.jobs(video=video)}
    assert set(states.values()) <= {JobState.DONE, JobState.CANCELLED}
    found = audit(parts.catalogue, parts.blobs, grace_ms=0)
    assert found.of(FindingKind.LOST, FindingKind.STUCK, FindingKind.DOUBLED, FindingKind.ADOPTABLE) == ()
    # Of what a dead process stored, only manifests may be left over: they tell the time at which they were made.
    assert all(it.key is not None and ".m" in it.key for it in found.of(FindingKind.ORPHANED))


@pytest.mark.parametrize(("point", "kind"), CASES)
def test_a_worker_dies(point: CrashPoint, kind: JobKind, place: Path) -> None:
    def work() -> None:
        steps: dict[str, Callable[[StepContext], Outcome]] = {}
        if point is CrashPoint.RELEASED:
            steps[kind] = interrupted
        work_off(parts_at(place, **steps))

    video = upload(parts_at(place))
    assert dying(point, kind, work) == EXIT_CODE
    parts = recover(place)
    is_whole(parts, video)
    done = [job for job in parts.catalogue.jobs(video=video, state=JobState.DONE) if job.kind is kind]
    kills = sum(job.kills for job in parts.catalogue.jobs(video=video))
    assert done
    # Only a death while the row was leased is charged, and only once.
    assert kills <= 1


def interrupted(ctx: StepContext) -> Outcome:
    raise Interrupted


def test_a_sweeper_dies_before_it_rings(place: Path) -> None:
    parts = parts_at(place)
    video = upload(parts)
    parts.catalogue.claim("dead worker", LANES_BY_URGENCY, -1)

    assert dying(CrashPoint.SWEPT, None, lambda: swept(place)) == EXIT_CODE
    is_whole(recover(place), video)


def test_a_sweeper_dies_between_an_object_and_the_list(place: Path) -> None:
    parts = parts_at(place)
    video = upload(parts)
    work_off(parts)
    parts.catalogue.delete_video(video)
    assert isinstance(parts.catalogue, SqlCatalogue)
    let_time_pass(parts.catalogue, HOUR_MS)

    assert dying(CrashPoint.OBJECT_DELETED, None, lambda: swept(place)) == EXIT_CODE
    swept(place)
    assert list(parts.blobs.list("")) == []
    assert audit(parts.catalogue, parts.blobs, grace_ms=0).clean


def test_a_sweeper_dies_between_an_upload_and_its_bytes(place: Path) -> None:
    parts = parts_at(place)
    made = parts.catalogue.create_upload(
        NewUpload(
            tenant=DEFAULT_TENANT,
            length_bytes=4,
            metadata_raw=None,
            title="Film",
            filename=None,
            lane=Lane.STANDARD,
            lifetime_ms=-1,
        )
    )
    assert isinstance(parts.blobs, LocalBlobs)
    token = parts.catalogue.acquire_upload(made.id, "test", 1)
    parts.catalogue.begin_source(made.id, token, parts.blobs.begin_multipart(made.source_key))
    parts.catalogue.release_upload(made.id, token)

    assert dying(CrashPoint.UPLOAD_EXPIRED, None, lambda: swept(place)) == EXIT_CODE
    assert isinstance(parts.catalogue, SqlCatalogue)
    let_time_pass(parts.catalogue, HOUR_MS)
    swept(place)
    assert list(parts.blobs.list_multiparts("")) == []


def swept(place: Path) -> None:
    assert parts_at(place).sweeper(SilentBell()).sweep_once()


def test_an_upload_dies_between_its_object_and_its_row(place: Path) -> None:
    """The client, or the janitor of the upload API, completes it later."""
    from upload_api.ports import Ports
    from upload_api.tus.completion import finish_source

    parts = parts_at(place)
    assert isinstance(parts.blobs, LocalBlobs)
    new = NewUpload(
        tenant=DEFAULT_TENANT, length_bytes=4, metadata_raw=None, title="Film", filename=None, lane=Lane.STANDARD
    )
    made = parts.catalogue.create_upload(new)
    token = parts.catalogue.acquire_upload(made.id, "test", 60_000)
    multipart = parts.blobs.begin_multipart(made.source_key)
    parts.catalogue.begin_source(made.id, token, multipart)
    part = parts.blobs.put_part(made.source_key, multipart, 1, b"film")
    parts.catalogue.record_progress(made.id, token, offset_bytes=4, new_parts=(part,), tail=None)

    def complete() -> None:
        ours = parts_at(place)
        assert isinstance(ours.blobs, LocalBlobs)
        finish_source(Ports(catalogue=ours.catalogue, blobs=ours.blobs, bell=SilentBell()), made.id, token)

    assert dying(CrashPoint.SOURCE_JOINED, None, complete) == EXIT_CODE
    assert parts.blobs.head(source_key(made.video)).size_bytes == 4
    complete()
    is_whole(recover(place), made.video)


def test_every_crash_point_is_walked() -> None:
    elsewhere = {CrashPoint.SWEPT, CrashPoint.OBJECT_DELETED, CrashPoint.UPLOAD_EXPIRED, CrashPoint.SOURCE_JOINED}
    assert {point for point, kinds in CROSSED_BY.items() if not kinds} == elsewhere
    assert set(CROSSED_BY) == set(CrashPoint)


def test_deleting_a_video_while_it_is_encoded_leaves_nothing(place: Path) -> None:
    """The worker is in the middle of a chunk when its video goes: it stores on, commits in vain, and all of it goes too."""
    parts = parts_at(place)
    video = upload(parts)
    midway, go_on = threading.Event(), threading.Event()

    def encode(ctx: StepContext) -> Outcome:
        midway.set()
        assert go_on.wait(30)
        return MADE_UP[JobKind.ENCODE](ctx)

    slow = parts_at(place, encode=encode)
    worker = threading.Thread(target=lambda: work_off(slow))
    worker.start()
    assert midway.wait(30)
    parts.catalogue.delete_video(video)
    assert isinstance(parts.catalogue, SqlCatalogue)
    let_time_pass(parts.catalogue, HOUR_MS)
    parts.sweeper(SilentBell()).sweep_once()  # the first pass comes before the worker's objects
    go_on.set()
    worker.join(30)
    assert list(parts.blobs.list("")) != []  # what a worker stored that did not know yet
    let_time_pass(parts.catalogue, 2 * HOUR_MS)
    parts.sweeper(SilentBell()).sweep_once()
    assert list(parts.blobs.list("")) == []
    assert parts.catalogue.jobs(video=video, state=JobState.READY) == ()
    assert audit(parts.catalogue, parts.blobs, grace_ms=0).clean


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    crashpoints.arm(None)
