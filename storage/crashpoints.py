"""Where a process may die: every point between two effects, by name.

A crash point does nothing, unless a test arms it: then the process ends there, at once and without cleaning up, as if it
were killed. Tests walk all of them (`CROSSED_BY`) and look at what is left afterwards. Whoever writes code with two effects
in a row puts a point between them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum

from storage.jobs import JobKind

EXIT_CODE = 137  # as a shell reports SIGKILL
VARIABLE = "LADDER_TEST_CRASH_AT"
"""``point`` or ``point:kind``: where to die, in a job of which kind."""


class CrashPoint(StrEnum):
    CLAIM_UNCOMMITTED = "claim_uncommitted"  # the claim is written, its transaction is not committed
    CLAIMED = "claimed"  # the row is ours, nothing was done for it yet
    OBJECT_STORED = "object_stored"  # an object is stored, others are still to be
    STEP_DONE = "step_done"  # all objects are stored, no row knows them
    COMMIT_UNCOMMITTED = "commit_uncommitted"  # the outcome is written, its transaction is not committed
    COMMITTED = "committed"  # committed, nobody was rung for
    RELEASED = "released"  # handed back, nobody was rung for
    SWEPT = "swept"  # leases are expired, nobody was rung for
    OBJECT_DELETED = "object_deleted"  # a doomed object is gone, and still on the list
    UPLOAD_EXPIRED = "upload_expired"  # the row is terminated, its bytes are still there
    SOURCE_JOINED = "source_joined"  # the source is an object, its upload is not completed yet


_EVERY_JOB = frozenset(JobKind)

CROSSED_BY: Mapping[CrashPoint, frozenset[JobKind]] = {
    CrashPoint.CLAIM_UNCOMMITTED: _EVERY_JOB,
    CrashPoint.CLAIMED: _EVERY_JOB,
    CrashPoint.OBJECT_STORED: _EVERY_JOB - {JobKind.INSPECT},
    CrashPoint.STEP_DONE: _EVERY_JOB,
    CrashPoint.COMMIT_UNCOMMITTED: _EVERY_JOB,
    CrashPoint.COMMITTED: _EVERY_JOB,
    CrashPoint.RELEASED: _EVERY_JOB,
    CrashPoint.SWEPT: frozenset(),
    CrashPoint.OBJECT_DELETED: frozenset(),
    CrashPoint.UPLOAD_EXPIRED: frozenset(),
    CrashPoint.SOURCE_JOINED: frozenset(),
}
"""The kinds of jobs that come by each point; none: it is crossed outside of any job."""

_armed: str | None = os.environ.get(VARIABLE)


def arm(at: str | None) -> None:
    """Die at ``at`` from now on, in this process."""
    global _armed
    _armed = at


def crashpoint(point: CrashPoint, kind: JobKind | None = None) -> None:
    if _armed is not None and _armed in (point, f"{point}:{kind}"):
        os._exit(EXIT_CODE)
