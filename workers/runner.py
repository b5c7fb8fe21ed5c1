"""One turn of work: claim a job, run its step under a lease, commit what it made, ring for what follows.

The runner holds no state between turns, so any number of threads and processes may each have one. Whatever happens to
them, the row tells the truth: the token is checked at every commit, and a lease that runs out makes the job ready again.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from storage.blobs import BlobStore
from storage.catalogue import Catalogue, Committed
from storage.crashpoints import CrashPoint, crashpoint
from storage.errors import FishladderError, StaleLease, ToolFailed, Unavailable
from storage.jobs import (
    Bell,
    Encoded,
    Job,
    JobKind,
    Lane,
    Outcome,
    Replanned,
    Subtitled,
    Thumbnailed,
    recipe_needing,
)
from storage.media.source import Note
from workers.drain import Drain
from workers.ffmpeg.process import Interrupted, Tools
from workers.kept import KeptReads
from workers.keys import KeyCabinet
from workers.lease import LeaseKeeper
from workers.measures import JobMeasured, Measure, measure_nothing, peak_bytes
from workers.planning.reads import Reads
from workers.retries import Bury, Decision, Drop, HandBack, Past, Refuse, RetryLater, decide, translated
from workers.room import Room, room_at, shortage
from workers.scratch import scratch_folder
from workers.settings import WorkerSettings
from workers.sources import Fetched
from workers.steps.context import Step, StepContext
from workers.streams import SourceStream

log = structlog.get_logger(__name__)

T = TypeVar("T")

COMMIT_PAUSES_S = (0.1, 0.3, 1.0, 3.0)  # the last one repeats for as long as the lease is ours

INSTEAD: Mapping[JobKind, Outcome] = {
    JobKind.THUMBNAILS: Thumbnailed(names=(), storyboard={}),
    JobKind.SUBTITLES: Subtitled(
        tracks=(), notes=(Note(code="subtitles_unreadable", sentence="Subtitles could not be read and were left out."),)
    ),
}
"""What is committed for a job that cannot be done and that no film should fail for. Without its storyboard or subtitles the
video becomes ready all the same."""


class Sources(Protocol):
    """Local, read-only copies of sources: `workers.sources.SourceCache`."""

    def fetch(self, key: str) -> Fetched: ...

    def fetch_part(self, key: str, reads: Reads) -> Fetched: ...

    def stream(self, key: str, reads: Reads, counted: Callable[[int], None]) -> SourceStream | None: ...

    def rehearsal(
        self, key: str, reads: Reads, share: Fraction, counted: Callable[[int], None]
    ) -> KeptReads | None: ...


class Runner:
    """Runs jobs, one at a time."""

    def __init__(
        self,
        catalogue: Catalogue,
        blobs: BlobStore,
        bell: Bell,
        tools: Tools,
        settings: WorkerSettings,
        *,
        steps: Mapping[JobKind, Step],
        sources: Sources,
        drain: Drain | None = None,
        measure: Measure = measure_nothing,
        worker: str | None = None,
        jitter: Callable[[], float] = random.random,
        room: Callable[[Path], Room] = room_at,
        keys: KeyCabinet | None = None,
    ) -> None:
        """``drain`` stops it from claiming and, after its grace, from working. ``worker`` names it in job rows."""
        self._catalogue = catalogue
        self._blobs = blobs
        self._bell = bell
        self._tools = tools
        self._settings = settings
        self._steps = steps
        self._sources = sources
        self._drain = drain or Drain()
        self._measure = measure
        self._worker = worker or worker_name()
        self._jitter = jitter
        self._room = room
        self._keys = keys
        self._short: str | None = None
        self._read_bytes = 0  # of the job under way

    def run_one(self, lanes: tuple[Lane, ...]) -> bool:
        """Claim the best ready job of ``lanes`` and see it to an end of any kind; False if there was none to claim."""
        if self._drain.began or not self._has_room():
            return False
        asked_at_s = time.monotonic()
        try:
            job = self._claimed(lanes)
        except Unavailable as error:
            log.warning("claim_failed", error=error.sentence)
            return False
        if job is None:
            return False
        crashpoint(CrashPoint.CLAIMED, job.kind)
        with structlog.contextvars.bound_contextvars(**job.log_context()):
            self._turn(job, asked_at_s)
        return True

    def _claimed(self, lanes: tuple[Lane, ...]) -> Job | None:
        """What only this machine's hardware can do comes before what any CPU can."""
        known = self._settings.recipes
        families = self._tools.hardware.encodes if self._tools.hardware is not None else ()
        needing = tuple(recipe_needing(recipe, str(family)) for family in families for recipe in known)
        for recipes in filter(None, (needing, known)):
            job = self._catalogue.claim(self._worker, lanes, self._settings.lease_ms, recipes=recipes)
            if job is not None:
                return job
        return None

    def _has_room(self) -> bool:
        """False while this machine is short of disk or memory. Told once, not at every look."""
        short = shortage(
            self._room(self._settings.scratch),
            min_disk_bytes=self._settings.min_free_disk_bytes,
            min_memory_bytes=self._settings.min_free_memory_bytes,
        )
        if short is not None and self._short is None:
            log.warning("claiming_paused", reason=short)
        elif short is None and self._short is not None:
            log.info("claiming_resumed")
        self._short = short
        return short is None

    def _turn(self, job: Job, asked_at_s: float) -> None:
        lease = LeaseKeeper(
            partial(self._catalogue.renew, job.id, job.token, self._settings.lease_ms),
            lease_ms=self._settings.lease_ms,
            asked_at_s=asked_at_s,
            drain=self._drain,
            drain_ms=self._settings.drain_ms,
        )
        with lease:
            try:
                outcome = self._outcome(job, lease.stop)
                crashpoint(CrashPoint.STEP_DONE, job.kind)
                committed = self._insist(lambda: self._catalogue.commit(job.id, job.token, outcome), lease.stop)
            except Exception as error:
                self._settle(job, error, lease, asked_at_s)
            else:
                crashpoint(CrashPoint.COMMITTED, job.kind)
                self._done(job, outcome, committed, asked_at_s)

    def _outcome(self, job: Job, stop: threading.Event) -> Outcome:
        """What the job's step makes of it."""
        instead = INSTEAD.get(job.kind)
        if instead is not None and job.kills >= self._settings.max_kills - 1:
            # Once more would bury it, and its video with it.
            log.warning("optional_job_given_up", reason="its workers died")
            return instead
        self._read_bytes = 0
        video = self._catalogue.video(job.video)
        asset = self._catalogue.asset(job.asset, with_segments=job.kind is JobKind.PUBLISH)
        with scratch_folder(self._settings.jobs, f"{job.id}-{job.token}") as scratch:
            return self._steps[job.kind](
                StepContext(
                    job=job,
                    video=video,
                    asset=asset,
                    blobs=self._blobs,
                    source=partial(self._fetch_whole, video.source_key),
                    part=partial(self._fetch_part, video.source_key),
                    stream=partial(self._stream, video.source_key),
                    rehearsal=partial(self._rehearsal, video.source_key),
                    keys=self._keys,
                    scratch=scratch,
                    tools=self._tools,
                    stop=stop,
                    threads=self._settings.threads,
                    nice=self._settings.niceness.get(job.lane, 0),
                    now_ms=self._catalogue.now_ms(),
                )
            )

    def _fetch_whole(self, key: str) -> Path:
        fetched = self._sources.fetch(key)
        self._read_bytes += fetched.read_bytes
        return fetched.path

    def _fetch_part(self, key: str, reads: Reads) -> Fetched:
        fetched = self._sources.fetch_part(key, reads)
        self._read_bytes += fetched.read_bytes
        return fetched

    def _stream(self, key: str, reads: Reads) -> SourceStream | None:
        return self._sources.stream(key, reads, self._count_read)

    def _rehearsal(self, key: str, reads: Reads, share: Fraction) -> KeptReads | None:
        return self._sources.rehearsal(key, reads, share, self._count_read)

    def _count_read(self, size: int) -> None:
        self._read_bytes += size

    def _insist(self, write: Callable[[], T], stop: threading.Event) -> T:
        """``write()``, again and again while the database does not answer and the lease is ours: an hour of encoding is
        not thrown away for a restart of the database. A write whose answer was lost is `StaleLease` when repeated."""
        pauses = iter(COMMIT_PAUSES_S)
        pause_s = COMMIT_PAUSES_S[-1]
        while True:
            try:
                return write()
            except Unavailable as error:
                pause_s = next(pauses, pause_s)
                log.warning("commit_waits", error=error.sentence)
                if stop.wait(pause_s):
                    raise

    def _done(self, job: Job, outcome: Outcome, committed: Committed, since_s: float) -> None:
        cpu_ms = outcome.cpu_ms if isinstance(outcome, (Encoded, Thumbnailed, Subtitled, Replanned)) else 0
        wall_ms = _ms_since(since_s)
        log.info(
            "job_done",
            duration_ms=wall_ms,
            cpu_ms=cpu_ms,
            read_bytes=self._read_bytes,
            peak_bytes=peak_bytes(),
            video_state=None if committed.video_state is None else str(committed.video_state),
        )
        if isinstance(outcome, Replanned):
            self._count(job, "moved_to_cpu", wall_ms, cpu_ms, failure=outcome.reason)
        else:
            self._count(job, "done", wall_ms, cpu_ms)
        for lane, times in committed.bells.items():
            self._bell.ring(lane, times)

    # --- errors ------------------------------------------------------------------------------------------------------

    def _settle(self, job: Job, error: Exception, lease: LeaseKeeper, since_s: float) -> None:
        """Do with the job what its error calls for."""
        if lease.lost and isinstance(error, Interrupted):
            error = StaleLease()
        decision = decide(error, Past.of(job), jitter=self._jitter())
        instead = INSTEAD.get(job.kind)
        if instead is not None and isinstance(decision, (Refuse, Bury)):
            log.warning("optional_job_given_up", reason=_told(error))
            write: Callable[[], object] = partial(self._commit_and_ring, job, instead)
            result = "given_up"
        else:
            write, result = self._writing(job, decision)
        try:
            self._insist(write, lease.stop)
        except StaleLease:
            result = "lease_lost"
        except FishladderError as failure:
            # The lease runs out and the sweeper makes the job ready again.
            log.error("job_left_to_sweeper", error=failure.sentence)
            result = "left_to_sweeper"
        self._failed(job, error, decision, result, _ms_since(since_s))

    def _writing(self, job: Job, decision: Decision) -> tuple[Callable[[], object], str]:
        """What ``decision`` writes, and its name in metrics."""
        catalogue = self._catalogue
        match decision:
            case Refuse(code, sentence):
                return partial(catalogue.refuse, job.id, job.token, code, sentence), "refused"
            case RetryLater(delay_ms, reason):
                return partial(catalogue.retry_later, job.id, job.token, reason, delay_ms), "retried"
            case Bury(reason):
                return partial(catalogue.bury, job.id, job.token, reason), "buried"
            case HandBack():
                return partial(self._release_and_ring, job), "handed_back"
            case Drop():
                return _nothing, "lease_lost"

    def _commit_and_ring(self, job: Job, outcome: Outcome) -> None:
        for lane, times in self._catalogue.commit(job.id, job.token, outcome).bells.items():
            self._bell.ring(lane, times)

    def _release_and_ring(self, job: Job) -> None:
        self._catalogue.release(job.id, job.token)
        crashpoint(CrashPoint.RELEASED, job.kind)
        self._bell.ring(job.lane)

    def _failed(self, job: Job, error: Exception, decision: Decision, result: str, wall_ms: int) -> None:
        fields: dict[str, object] = {"result": result, "error": _told(error), "duration_ms": wall_ms}
        if isinstance(error, ToolFailed):
            fields |= {"exit_code": error.exit_code, "stderr_tail": error.stderr_tail[-500:]}
        if isinstance(decision, RetryLater):
            fields["delay_ms"] = decision.delay_ms
        if isinstance(decision, HandBack):
            log.info("job_handed_back", **fields)
        elif isinstance(translated(error), FishladderError):
            log.warning("job_failed", **fields)
        else:
            log.error("job_failed", where=_where(error), exc_info=error, **fields)
        self._count(job, result, wall_ms, 0)

    def _count(self, job: Job, result: str, wall_ms: int, cpu_ms: int, *, failure: str | None = None) -> None:
        self._measure(
            JobMeasured(
                kind=str(job.kind),
                lane=str(job.lane),
                result=result,
                wall_ms=wall_ms,
                cpu_ms=cpu_ms,
                read_bytes=self._read_bytes,
                peak_bytes=peak_bytes(),
                failure=failure,
            )
        )


def worker_name() -> str:
    """Names this thread of this process of this machine."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    thread = threading.current_thread()
    return name if thread is threading.main_thread() else f"{name}:{thread.name}"


def _nothing() -> None:
    return None


def _ms_since(since_s: float) -> int:
    return round((time.monotonic() - since_s) * 1000)


def _told(error: Exception) -> str:
    if isinstance(error, FishladderError):
        return f"{error.code}: {error.sentence}"
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
