"""The job core: what may happen to a job, and what it is afterwards. Pure: no clock, no database; ``now_ms`` is an argument.

::

    ready ──claim──▶ leased ──complete──▶ done
      ▲                │ │ └──bury / too many kills──▶ dead ──discard──▶ cancelled
      │                │ └────cancel──▶ cancelled         │
      ├──release, retry later, expire──┘                  │
      └──────────────────────revive───────────────────────┘

Every claim gives a job a new, larger token: a fencing token. Whoever writes about a job shows its token; one that is not
the job's own any more raises `StaleLease`, whatever its holder believes. A lease that ran out is still good as long as
nobody took the job away: time alone never makes a result wrong, only another claim does.

Two budgets, counted apart: ``attempts`` are errors that a worker lived to tell of (how many are too many is
`workers.retries`' matter, as it depends on the error); ``kills`` are leases that ran out, because their worker died or fell
silent. Handing a job back costs neither.

Adapters keep the rows: they read a job under a lock, ask one of these functions, and write what it returns by
compare-and-set on state and token.
"""

from __future__ import annotations

from dataclasses import replace

from storage.errors import IllegalTransition, StaleLease
from storage.jobs import Job, JobState

FOLLOWS: dict[JobState, frozenset[JobState]] = {
    JobState.READY: frozenset({JobState.LEASED, JobState.CANCELLED}),
    JobState.LEASED: frozenset({JobState.READY, JobState.DONE, JobState.DEAD, JobState.CANCELLED}),
    JobState.DONE: frozenset(),
    JobState.DEAD: frozenset({JobState.READY, JobState.CANCELLED}),  # only a person moves a dead letter
    JobState.CANCELLED: frozenset(),
}


def claimable(job: Job, now_ms: int) -> bool:
    return job.state is JobState.READY and job.run_after_ms <= now_ms


def claimed(job: Job, worker: str, now_ms: int, lease_ms: int) -> Job:
    """``job`` in the hands of ``worker`` until ``now_ms + lease_ms``. Raises `IllegalTransition` if it is not claimable."""
    if not claimable(job, now_ms):
        raise IllegalTransition(f"A job that is {job.state} cannot be claimed now.", job_id=job.id)
    return replace(_moved(job, JobState.LEASED), worker=worker, token=job.token + 1, lease_until_ms=now_ms + lease_ms)


def renewed(job: Job, token: int, now_ms: int, lease_ms: int) -> Job:
    return replace(_held(job, token), lease_until_ms=now_ms + lease_ms)


def completed(job: Job, token: int) -> Job:
    return _ended(_held(job, token), JobState.DONE)


def released(job: Job, token: int) -> Job:
    """Handed back by a worker that stops: charged with nothing, claimable at once."""
    return _ready(_held(job, token))


def postponed(job: Job, token: int, reason: str, now_ms: int, delay_ms: int) -> Job:
    """An error that is worth another try, ``delay_ms`` from now."""
    again = _ready(_held(job, token))
    return replace(again, attempts=job.attempts + 1, reason=reason, run_after_ms=now_ms + delay_ms)


def buried(job: Job, token: int, reason: str) -> Job:
    return replace(_ended(_held(job, token), JobState.DEAD), reason=reason)


def expired(job: Job, now_ms: int, max_kills: int) -> Job | None:
    """What the sweeper makes of ``job`` if its lease has run out: ready again, or a dead letter once ``max_kills`` workers
    fell silent over it; its last error stays told. None if there is nothing to repair."""
    if job.state is not JobState.LEASED or job.lease_until_ms is None or job.lease_until_ms > now_ms:
        return None
    kills = job.kills + 1
    if kills < max_kills:
        return replace(_ready(job), kills=kills)
    words = f"{kills} workers died while they had it"
    if job.reason:
        words += f"; before that: {job.reason}"
    return replace(_ended(job, JobState.DEAD), kills=kills, reason=words)


def cancelled(job: Job, reason: str | None) -> Job | None:
    """Its video was given up, or it was superseded. None if it has ended already."""
    if job.state not in (JobState.READY, JobState.LEASED):
        return None
    return replace(_ended(job, JobState.CANCELLED), reason=reason)


def revived(job: Job, now_ms: int) -> Job:
    """A dead letter gets fresh budgets; what it died of stays told. Raises `IllegalTransition` for any other job."""
    if job.state is not JobState.DEAD:
        raise IllegalTransition(f"Only a dead job can be tried again; this one is {job.state}.", job_id=job.id)
    return replace(_ready(job), attempts=0, kills=0, run_after_ms=now_ms)


def discarded(job: Job) -> Job:
    """Nobody will try it again. Raises `IllegalTransition` for a job that is not dead."""
    if job.state is not JobState.DEAD:
        raise IllegalTransition(f"Only a dead job can be discarded; this one is {job.state}.", job_id=job.id)
    return _ended(job, JobState.CANCELLED)


def _held(job: Job, token: int) -> Job:
    if job.state is not JobState.LEASED or job.token != token:
        raise StaleLease(job_id=job.id, token=token)
    return job


def _ready(job: Job) -> Job:
    return replace(_moved(job, JobState.READY), worker=None, lease_until_ms=None)


def _ended(job: Job, state: JobState) -> Job:
    return replace(_moved(job, state), lease_until_ms=None)


def _moved(job: Job, to: JobState) -> Job:
    if to not in FOLLOWS[job.state]:
        raise IllegalTransition(f"A job that is {job.state} cannot become {to}.", job_id=job.id)
    return replace(job, state=to)
