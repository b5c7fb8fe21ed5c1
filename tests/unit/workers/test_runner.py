"""One turn of work, and everything that may come between a claim and its commit."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import m3u8
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Catalogue, Committed
from storage.catalogue.sql import SqlCatalogue
from storage.errors import CatalogueUnavailable, StaleLease, ToolCrashed, UnsupportedSource
from storage.ids import JobId
from storage.jobs import LANES_BY_URGENCY, Job, JobKind, JobState, Lane, Outcome
from storage.lifecycle import VideoState
from storage.media.encoders import Encoder
from tests.workshop import MADE_UP, RecordingBell, a_workshop, an_uploaded_video
from workers.drain import Drain
from workers.ffmpeg.process import Interrupted
from workers.kept import KeptReads
from workers.measures import JobMeasured, JobMetrics
from workers.parts import RunnerParts
from workers.planning.on_cpu import on_cpu
from workers.planning.reads import Reads
from workers.sources import Fetched
from workers.steps.context import Step, StepContext
from workers.streams import SourceStream

EVENT_TIMEOUT_S = 20


@pytest.fixture
def catalogue() -> SqlCatalogue:
    return SqlCatalogue.in_memory()


def only(catalogue: Catalogue, state: JobState) -> Job:
    (job,) = catalogue.jobs(state=state)
    return job


def run(
    parts: RunnerParts, lanes: tuple[Lane, ...] = LANES_BY_URGENCY, drain: Drain | None = None
) -> list[JobMeasured]:
    """One turn; what was measured of it."""
    measured: list[JobMeasured] = []
    parts.runner(RecordingBell(), drain or Drain(), measure=measured.append).run_one(lanes)
    return measured


def work_off(parts: RunnerParts) -> None:
    runner = parts.runner(RecordingBell(), Drain())
    while runner.run_one(LANES_BY_URGENCY):
        pass


def raising(error: Exception) -> Step:
    def step(ctx: StepContext) -> Outcome:
        raise error

    return step


def tool_like(started: threading.Event, ended: threading.Event) -> Step:
    """A step that runs until it is stopped, as a tool does."""

    def step(ctx: StepContext) -> Outcome:
        started.set()
        assert ctx.stop.wait(EVENT_TIMEOUT_S)
        ended.set()
        raise Interrupted

    return step


# --- the good way ----------------------------------------------------------------------------------------------------


def test_there_is_nothing_to_run_in_an_empty_catalogue(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    assert not a_workshop(tmp_path, catalogue=catalogue).runner(RecordingBell(), Drain()).run_one(LANES_BY_URGENCY)


def test_a_step_that_is_done_is_committed_and_rings_for_what_follows(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    video = an_uploaded_video(catalogue)
    bell = RecordingBell()
    assert a_workshop(tmp_path, catalogue=catalogue).runner(bell, Drain()).run_one(LANES_BY_URGENCY)
    assert catalogue.video(video).state is VideoState.ENCODING
    assert {lane: bell.rung.count(lane) for lane in set(bell.rung)} == catalogue.ready_counts()


def test_a_runner_leaves_lanes_alone_that_it_does_not_serve(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    assert not a_workshop(tmp_path, catalogue=catalogue).runner(RecordingBell(), Drain()).run_one((Lane.BULK,))


def test_all_jobs_of_a_video_end_in_a_ready_one(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    video = an_uploaded_video(catalogue)
    work_off(a_workshop(tmp_path, catalogue=catalogue))
    seen = catalogue.video(video)
    assert seen.state is VideoState.READY
    assert {"master.m3u8", "manifest.mpd", "poster.jpg", "storyboard.vtt", "720p/media.m3u8"} <= seen.published


def test_a_finished_film_lists_playlists_that_caches_may_keep_for_good(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    video = an_uploaded_video(catalogue)
    blobs = MemoryBlobs()
    work_off(a_workshop(tmp_path, catalogue=catalogue, blobs=blobs))
    public = {name.name: name for name in catalogue.asset(catalogue.video(video).asset).names}
    master = m3u8.loads(blobs.get(public["master.m3u8"].key).decode())
    listed = [one.uri for one in (*master.playlists, *master.media, *master.iframe_playlists)]
    assert "720p/media" in {uri.partition("-")[0] for uri in listed}
    for uri in listed:
        assert public[uri].immutable
        # Players that began while the film grew go on asking for the name without a version.
        folder, _, file = uri.partition("/")
        assert public[f"{folder}/{file.partition('-')[0]}.m3u8"].key == public[uri].key
        assert not public[f"{folder}/{file.partition('-')[0]}.m3u8"].immutable


def test_every_job_gets_an_empty_scratch_folder_that_is_gone_afterwards(
    tmp_path: Path, catalogue: SqlCatalogue
) -> None:
    seen: list[Path] = []

    def inspect(ctx: StepContext) -> Outcome:
        assert list(ctx.scratch.iterdir()) == []
        (ctx.scratch / "leftover").write_text("x")
        seen.append(ctx.scratch)
        raise ToolCrashed

    an_uploaded_video(catalogue)
    run(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: inspect}))
    assert [folder.exists() for folder in seen] == [False]


def test_tools_of_other_lanes_step_back_for_what_makes_a_video_playable(
    tmp_path: Path, catalogue: SqlCatalogue
) -> None:
    nice: dict[Lane, int] = {}

    def encode(ctx: StepContext) -> Outcome:
        nice[ctx.job.lane] = ctx.nice
        return MADE_UP[JobKind.ENCODE](ctx)

    an_uploaded_video(catalogue, Lane.BULK)
    work_off(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.ENCODE: encode}))
    assert nice == {Lane.PLAYABLE: 0, Lane.BULK: 10}


def test_what_a_job_reads_of_its_source_is_measured_whole_in_part_or_as_a_stream(
    tmp_path: Path, catalogue: SqlCatalogue
) -> None:
    class Told:
        def fetch(self, key: str) -> Fetched:
            return Fetched(path=tmp_path, read_bytes=1000)

        def fetch_part(self, key: str, reads: Reads) -> Fetched:
            return Fetched(path=tmp_path, read_bytes=20)

        def stream(self, key: str, reads: Reads, counted: Callable[[int], None]) -> SourceStream | None:
            counted(3)
            return None

        def rehearsal(
            self, key: str, reads: Reads, share: Fraction, counted: Callable[[int], None]
        ) -> KeptReads | None:
            counted(400_000)
            return None

    def inspect(ctx: StepContext) -> Outcome:
        ctx.reading(Reads())
        ctx.source()
        assert ctx.stream is not None
        ctx.stream(Reads())
        assert ctx.rehearsal is not None
        ctx.rehearsal(Reads(), Fraction(1))
        return MADE_UP[JobKind.INSPECT](ctx)

    an_uploaded_video(catalogue)
    parts = a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: inspect})
    (measured,) = run(dataclasses.replace(parts, sources=Told()))
    assert measured.read_bytes == 401_023
    assert measured.peak_bytes > 10_000_000, "Python alone has more"


def test_renditions_that_move_to_the_cpu_are_counted_by_what_failed(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    def encode(ctx: StepContext) -> Outcome:
        plan = ctx.asset.plan
        assert plan is not None
        *others, top = plan.ladder.rungs
        ladder = dataclasses.replace(plan.ladder, rungs=(*others, dataclasses.replace(top, encoder=Encoder.NVENC)))
        return on_cpu(dataclasses.replace(plan, ladder=ladder), ctx.video.lane, "session_limit")

    an_uploaded_video(catalogue)
    parts = a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.ENCODE: encode})
    run(parts)
    (measured,) = run(parts)
    assert (measured.result, measured.failure) == ("moved_to_cpu", "session_limit")
    registry = CollectorRegistry()
    JobMetrics(registry).count(measured)
    assert registry.get_sample_value("fishladder_hardware_failures_total", {"failure": "session_limit"}) == 1


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_source_at_fault_rejects_its_video_with_the_reason(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    video = an_uploaded_video(catalogue)
    error = UnsupportedSource("This is a text file.", reason_code="not_media")
    run(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: raising(error)}))
    seen = catalogue.video(video)
    assert (seen.state, seen.reason_code, seen.reason) == (VideoState.REJECTED, "not_media", "This is a text file.")


def test_a_crash_is_charged_and_waits(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    (measured,) = run(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: raising(ToolCrashed())}))
    job = only(catalogue, JobState.READY)
    assert (job.attempts, measured.result) == (1, "retried")
    assert job.run_after_ms > catalogue.now_ms()


def test_a_bug_fails_the_video_on_its_second_try(tmp_path: Path) -> None:
    catalogue = NoDelays.in_memory()
    video = an_uploaded_video(catalogue)
    work_off(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: raising(KeyError("rung"))}))
    assert catalogue.video(video).state is VideoState.FAILED
    assert only(catalogue, JobState.DEAD).reason == "bug: KeyError: 'rung'"


class NoDelays(SqlCatalogue):
    """Retries are claimable at once."""

    def retry_later(self, job: JobId, token: int, reason: str, delay_ms: int) -> None:
        super().retry_later(job, token, reason, 0)


@pytest.mark.parametrize(
    "error", [UnsupportedSource(), KeyError("tile"), ToolCrashed()], ids=lambda it: type(it).__name__
)
def test_a_film_becomes_ready_although_its_thumbnails_cannot_be_made(tmp_path: Path, error: Exception) -> None:
    catalogue = NoDelays.in_memory()
    video = an_uploaded_video(catalogue)
    work_off(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.THUMBNAILS: raising(error)}))
    seen = catalogue.video(video)
    assert seen.state is VideoState.READY
    assert "poster.jpg" not in seen.published


def test_thumbnails_that_kill_workers_are_given_up_before_they_are_a_dead_letter(tmp_path: Path) -> None:
    catalogue = SqlCatalogue.in_memory()
    video = an_uploaded_video(catalogue)
    parts = a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.THUMBNAILS: raising(SystemExit(9))})
    bell, drain = RecordingBell(), Drain()
    for _ in range(parts.settings.max_kills):
        try:
            while parts.runner(bell, drain).run_one(LANES_BY_URGENCY):
                pass
        except SystemExit:
            expire_leases(catalogue)
            catalogue.sweep(max_kills=parts.settings.max_kills, stale_bell_ms=0)
    assert catalogue.video(video).state is VideoState.READY


def expire_leases(catalogue: Catalogue) -> None:
    for job in catalogue.jobs(state=JobState.LEASED):
        catalogue.renew(job.id, job.token, -1)


# --- leases ----------------------------------------------------------------------------------------------------------


def in_a_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_lease_is_renewed_for_as_long_as_the_step_runs(tmp_path: Path) -> None:
    renewed = threading.Event()

    class Counting(SqlCatalogue):
        renewals = 0

        def renew(self, job: JobId, token: int, lease_ms: int) -> None:
            super().renew(job, token, lease_ms)
            self.renewals += 1
            if self.renewals == 6:  # one and a half leases
                renewed.set()

    def inspect(ctx: StepContext) -> Outcome:
        assert renewed.wait(EVENT_TIMEOUT_S)
        assert not ctx.stop.is_set()
        return MADE_UP[JobKind.INSPECT](ctx)

    catalogue = Counting.in_memory()
    video = an_uploaded_video(catalogue)
    run(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: inspect}, lease_ms=800))
    assert catalogue.video(video).state is VideoState.ENCODING


def test_a_job_that_was_taken_away_stops_its_tool_and_leaves_no_trace(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    video = an_uploaded_video(catalogue)
    started, ended = threading.Event(), threading.Event()
    steps = {JobKind.INSPECT: tool_like(started, ended)}
    parts = a_workshop(tmp_path, catalogue=catalogue, steps=steps, lease_ms=400)
    measured: list[JobMeasured] = []
    runner = parts.runner(RecordingBell(), Drain(), measure=measured.append)
    thread = in_a_thread(lambda: runner.run_one(LANES_BY_URGENCY))
    assert started.wait(EVENT_TIMEOUT_S)
    with capture_logs() as logged:
        catalogue.cancel_video(video)
        thread.join(EVENT_TIMEOUT_S)
    assert ended.is_set()
    # It was told so by the next renewal, not by the end of the lease.
    assert [line["why"] for line in logged if line["event"] == "lease_lost"] == ["taken"]
    assert [it.result for it in measured] == ["lease_lost"]
    assert only(catalogue, JobState.CANCELLED).attempts == 0


def test_a_worker_that_cannot_renew_stops_its_tool_before_its_lease_is_over(tmp_path: Path) -> None:
    lease_ms = 2000

    class Unreachable(SqlCatalogue):
        def renew(self, job: JobId, token: int, lease_ms: int) -> None:
            raise CatalogueUnavailable

    catalogue = Unreachable.in_memory()
    left_ms: list[int] = []

    def inspect(ctx: StepContext) -> Outcome:
        assert ctx.stop.wait(EVENT_TIMEOUT_S)
        job = only(catalogue, JobState.LEASED)
        assert job.lease_until_ms is not None
        left_ms.append(job.lease_until_ms - catalogue.now_ms())
        raise Interrupted

    an_uploaded_video(catalogue)
    parts = a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: inspect}, lease_ms=lease_ms)
    (measured,) = run(parts)
    assert measured.result == "lease_lost"
    assert left_ms[0] > 0


def test_a_renewal_that_hangs_does_not_keep_the_tool_running(tmp_path: Path) -> None:
    let_go = threading.Event()

    class Hanging(SqlCatalogue):
        def renew(self, job: JobId, token: int, lease_ms: int) -> None:
            let_go.wait(EVENT_TIMEOUT_S)

    catalogue = Hanging.in_memory()
    an_uploaded_video(catalogue)
    started, ended = threading.Event(), threading.Event()
    steps = {JobKind.INSPECT: tool_like(started, ended)}
    run(a_workshop(tmp_path, catalogue=catalogue, steps=steps, lease_ms=400))
    let_go.set()
    assert ended.is_set()


def test_a_zombie_commits_nothing_and_nothing_is_doubled(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    """It slept past its lease, somebody else finished its job, and now it wakes up with a result."""
    parts = a_workshop(tmp_path, catalogue=catalogue)

    def slow_inspect(ctx: StepContext) -> Outcome:
        outcome = MADE_UP[JobKind.INSPECT](ctx)
        expire_leases(catalogue)
        catalogue.sweep(max_kills=3, stale_bell_ms=0)
        run(parts)
        return outcome

    video = an_uploaded_video(catalogue)
    (measured,) = run(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: slow_inspect}))
    assert measured.result == "lease_lost"
    planned = [job for job in catalogue.jobs(video=video) if job.kind is JobKind.THUMBNAILS]
    assert len(planned) == 1


def test_a_commit_waits_for_a_database_that_restarts(tmp_path: Path) -> None:
    class Restarting(SqlCatalogue):
        refusals = 2

        def commit(self, job: JobId, token: int, outcome: Outcome) -> Committed:
            if self.refusals:
                self.refusals -= 1
                raise CatalogueUnavailable
            return super().commit(job, token, outcome)

    catalogue = Restarting.in_memory()
    video = an_uploaded_video(catalogue)
    run(a_workshop(tmp_path, catalogue=catalogue))
    assert catalogue.video(video).state is VideoState.ENCODING
    assert only(catalogue, JobState.DONE).attempts == 0


def test_a_commit_whose_answer_was_lost_is_not_repeated(tmp_path: Path) -> None:
    class Forgetful(SqlCatalogue):
        answered = False

        def commit(self, job: JobId, token: int, outcome: Outcome) -> Committed:
            committed = super().commit(job, token, outcome)
            if not self.answered:
                self.answered = True
                raise CatalogueUnavailable
            return committed

    catalogue = Forgetful.in_memory()
    video = an_uploaded_video(catalogue)
    (measured,) = run(a_workshop(tmp_path, catalogue=catalogue))
    assert measured.result == "lease_lost"
    assert catalogue.video(video).state is VideoState.ENCODING


def test_a_database_that_does_not_answer_a_claim_is_no_reason_to_end(tmp_path: Path) -> None:
    class Down(SqlCatalogue):
        def claim(self, *arguments: object, **options: object) -> Job | None:
            raise CatalogueUnavailable

    assert run(a_workshop(tmp_path, catalogue=Down.in_memory())) == []


# --- draining --------------------------------------------------------------------------------------------------------


def test_a_draining_worker_claims_nothing(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    drain = Drain()
    drain.begin()
    assert run(a_workshop(tmp_path, catalogue=catalogue), drain=drain) == []
    assert only(catalogue, JobState.READY).token == 0


def test_a_drain_hands_back_what_takes_too_long_at_no_charge_and_rings(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    started, ended = threading.Event(), threading.Event()
    steps = {JobKind.INSPECT: tool_like(started, ended)}
    parts = a_workshop(tmp_path, catalogue=catalogue, steps=steps, drain_ms=50)
    bell, drain = RecordingBell(), Drain()
    thread = in_a_thread(lambda: parts.runner(bell, drain).run_one(LANES_BY_URGENCY))
    assert started.wait(EVENT_TIMEOUT_S)
    drain.begin()
    thread.join(EVENT_TIMEOUT_S)
    job = only(catalogue, JobState.READY)
    assert (job.attempts, job.kills) == (0, 0)
    assert bell.rung == [Lane.PLAYABLE]


def test_a_drain_lets_a_short_job_finish(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    drain = Drain()

    def inspect(ctx: StepContext) -> Outcome:
        drain.begin()
        return MADE_UP[JobKind.INSPECT](ctx)

    video = an_uploaded_video(catalogue)
    (measured,) = run(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: inspect}), drain=drain)
    assert measured.result == "done"
    assert catalogue.video(video).state is VideoState.ENCODING


def test_a_stale_lease_that_a_step_meets_itself_is_dropped(tmp_path: Path, catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    (measured,) = run(a_workshop(tmp_path, catalogue=catalogue, steps={JobKind.INSPECT: raising(StaleLease())}))
    assert measured.result == "lease_lost"
