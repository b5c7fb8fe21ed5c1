"""What becomes of a job whose step raised an error: one total mapping from the error tree to a decision. Pure.

Every class of `storage.errors` (and `Interrupted`) is named here; a test walks the tree. What is not in the tree is a
bug of ours: tried once more, because the next machine may not have it, then buried for a person to look at.

Budgets count how often *the same* error came in a row, not all errors of a job: an hour without the object store must not
use up the one retry that a crashed decoder gets. The count travels in the job's ``reason`` (``tool_crashed×1: …``).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass

from storage import errors
from storage.errors import FishladderError
from storage.jobs import Job
from workers.ffmpeg.process import Interrupted

TOOL_TRIES = 3
CRASH_TRIES = 2  # retried once: the second time the source is at fault
CONFLICT_TRIES = 4
BUG_TRIES = 2
OUTAGE_TRIES = 50  # about four hours of backoff
MAX_ATTEMPTS = 200  # whatever the mixture, a job ends

FIRST_DELAY_MS = 2_000
MAX_DELAY_MS = 300_000
STDERR_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Refuse:
    """The source is at fault: the video is rejected."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class RetryLater:
    delay_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Bury:
    """A dead letter; a person may retry it."""

    reason: str


@dataclass(frozen=True, slots=True)
class HandBack:
    """Ready again at once, at no charge: the worker is at fault, not the job."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The job is somebody else's by now: say nothing about it."""


Decision = Refuse | RetryLater | Bury | HandBack | Drop


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a job has behind it. ``attempts``: errors so far; ``code``: of the last one, which came ``repeats`` times."""

    attempts: int = 0
    code: str | None = None
    repeats: int = 0

    @classmethod
    def of(cls, job: Job) -> Past:
        noted = _REASON.match(job.reason or "")
        if noted is None or job.attempts == 0:
            return cls(attempts=job.attempts)
        return cls(attempts=job.attempts, code=noted["code"], repeats=int(noted["repeats"]))

    def tries(self, code: str) -> int:
        """How often ``code`` came in a row, this time included."""
        return self.repeats + 1 if code == self.code else 1


_REASON = re.compile(r"(?P<code>\w+)×(?P<repeats>\d+): ")


def decide(error: Exception, past: Past, *, jitter: float = 0.5) -> Decision:
    """What becomes of a job that has ``past`` behind it after ``error``. ``jitter`` in [0, 1) spreads retries so that
    workers which failed together do not come back together."""
    error = translated(error)
    for kind in type(error).__mro__:
        if (policy := POLICIES.get(kind)) is not None:
            return policy(error, past, jitter)
    return _bug(error, past, jitter)


def translated(error: Exception) -> Exception:
    """``error``, or the word of ours for what the operating system ran out of."""
    if isinstance(error, MemoryError):
        return errors.NoRoom("There is not enough memory for this now.")
    if isinstance(error, OSError) and error.errno in _OUT_OF_ROOM:
        return errors.NoRoom(f"{errors.NoRoom.__doc__} ({error.strerror})")
    return error


_OUT_OF_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


def backoff_ms(tries: int, jitter: float) -> int:
    """Delay before the next try after ``tries`` failures: doubling up to a cap, of which jitter takes up to a half."""
    full = min(FIRST_DELAY_MS << min(tries - 1, 20), MAX_DELAY_MS)
    return round(full * (1 - jitter / 2))


# --- policies --------------------------------------------------------------------------------------------------------

Policy = Callable[[Exception, Past, float], Decision]


def _code(error: Exception) -> str:
    return error.code if isinstance(error, FishladderError) else "bug"


def _sentence(error: Exception) -> str:
    return error.sentence if isinstance(error, FishladderError) else f"{type(error).__name__}: {error}"


def _up_to(tries: int) -> Policy:
    """Retried with backoff until it came ``tries`` times in a row, then buried."""

    def policy(error: Exception, past: Past, jitter: float) -> Decision:
        count = past.tries(_code(error))
        if count >= tries or past.attempts >= MAX_ATTEMPTS:
            return Bury(_last_words(error))
        asked_ms = (getattr(error, "retry_after_s", None) or 0) * 1000
        delay_ms = max(backoff_ms(count, jitter), round(asked_ms))
        return RetryLater(delay_ms, f"{_code(error)}×{count}: {_sentence(error)}")

    return policy


def _last_words(error: Exception) -> str:
    words = f"{_code(error)}: {_sentence(error)}"
    if isinstance(error, errors.ToolFailed) and error.stderr_tail:
        words += f"\n{error.stderr_tail[-STDERR_CHARACTERS:]}"
    return words


def _refuse(error: Exception, past: Past, jitter: float) -> Decision:
    return Refuse(getattr(error, "reason_code", _code(error)), _sentence(error))


def _refuse_if_it_repeats(error: Exception, past: Past, jitter: float) -> Decision:
    """A crash may be the machine's fault; a crash on two tries is the file's, however it shows itself."""
    before = past.repeats if past.code in _CRASHES else 0
    if before + 1 >= CRASH_TRIES or past.attempts >= MAX_ATTEMPTS:
        return Refuse("source_crashes_decoder", "Decoding this file crashes our tools or takes them over their limits.")
    return RetryLater(backoff_ms(1, jitter), f"{_code(error)}×{before + 1}: {_sentence(error)}")


_CRASHES = frozenset({errors.ToolCrashed.code, errors.ToolTimedOut.code})


def _hand_back(error: Exception, past: Past, jitter: float) -> Decision:
    return HandBack()


def _drop(error: Exception, past: Past, jitter: float) -> Decision:
    return Drop()


_bug = _up_to(BUG_TRIES)
_outage = _up_to(OUTAGE_TRIES)
_conflict = _up_to(CONFLICT_TRIES)
_tool = _up_to(TOOL_TRIES)

POLICIES: dict[type[FishladderError], Policy] = {
    FishladderError: _bug,
    # The source is at fault …
    errors.Rejected: _refuse,
    errors.UnsupportedSource: _refuse,
    errors.DamagedSource: _refuse,
    errors.TooLarge: _refuse,
    errors.OverQuota: _refuse,
    # … but these are about a request, and in a worker the request is ours.
    errors.InvalidRequest: _bug,
    errors.UploadTerminated: _bug,
    errors.NotAllowed: _conflict,
    errors.GrantExpired: _conflict,
    # Something else moved meanwhile; the next look may find it at rest.
    errors.NotFoundOrConflict: _conflict,
    errors.NotFound: _conflict,
    errors.Conflict: _conflict,
    errors.OffsetMismatch: _conflict,
    errors.UploadBusy: _conflict,
    errors.IllegalTransition: _conflict,
    # Another build of the encoder ran here; the rendition's own may run where the job is claimed next.
    errors.InitMismatch: _conflict,
    errors.StaleLease: _drop,
    errors.Unavailable: _outage,
    errors.StoreUnavailable: _outage,
    errors.CatalogueUnavailable: _outage,
    errors.NoRoom: _outage,
    errors.KeyUnavailable: _outage,
    errors.ToolFailed: _tool,
    errors.WrongOutput: _tool,
    errors.ToolCrashed: _refuse_if_it_repeats,
    errors.ToolTimedOut: _refuse_if_it_repeats,
    Interrupted: _hand_back,
}
