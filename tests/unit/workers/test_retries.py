"""What becomes of a job, error by error."""

from __future__ import annotations

import errno

import pytest

from storage import errors
from storage.errors import FishladderError
from tests.builders import a_job
from tests.errors import errors_of
from workers.ffmpeg.process import Interrupted
from workers.retries import (
    BUG_TRIES,
    MAX_ATTEMPTS,
    MAX_DELAY_MS,
    OUTAGE_TRIES,
    POLICIES,
    TOOL_TRIES,
    Bury,
    Decision,
    Drop,
    HandBack,
    Past,
    Refuse,
    RetryLater,
    backoff_ms,
    decide,
)


def decisions(*raised: Exception) -> list[Decision]:
    """What is decided for errors that come one after the other, as the catalogue keeps count."""
    past, made = Past(), []
    for error in raised:
        decision = decide(error, past)
        made.append(decision)
        if isinstance(decision, RetryLater):
            past = Past.of(a_job(attempts=past.attempts + 1, reason=decision.reason))
    return made


def test_every_error_has_a_decision_of_its_own() -> None:
    assert set(errors_of("storage", "workers")) - set(POLICIES) == set()


@pytest.mark.parametrize("kind", sorted(POLICIES, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_no_error_is_retried_for_ever(kind: type[FishladderError]) -> None:
    past = Past(attempts=MAX_ATTEMPTS, code=kind.code, repeats=MAX_ATTEMPTS)
    assert not isinstance(decide(kind(), past), RetryLater)


def test_a_source_that_we_cannot_read_is_refused_at_once_with_its_narrow_code() -> None:
    error = errors.UnsupportedSource("This is a text file.", reason_code="not_media")
    assert decide(error, Past()) == Refuse("not_media", "This is a text file.")


def test_a_damaged_source_is_refused_at_once() -> None:
    assert decide(errors.DamagedSource(), Past()) == Refuse("damaged_source", errors.DamagedSource().sentence)


def test_an_invalid_request_in_a_worker_is_our_bug_and_not_the_sources() -> None:
    assert isinstance(decisions(errors.InvalidRequest(), errors.InvalidRequest())[-1], Bury)


@pytest.mark.parametrize("crash", [errors.ToolCrashed, errors.ToolTimedOut])
def test_a_crash_is_retried_once_and_then_the_source_is_at_fault(crash: type[errors.ToolFailed]) -> None:
    first, second = decisions(crash(), crash())
    assert isinstance(first, RetryLater)
    assert isinstance(second, Refuse)
    assert second.code == "source_crashes_decoder"


def test_a_crash_and_a_time_out_are_two_crashes() -> None:
    assert isinstance(decisions(errors.ToolCrashed(), errors.ToolTimedOut())[-1], Refuse)


def test_an_outage_does_not_use_up_the_retry_of_a_crash() -> None:
    made = decisions(*[errors.StoreUnavailable()] * 10, errors.ToolCrashed())
    assert all(isinstance(decision, RetryLater) for decision in made)


def test_an_outage_does_not_use_up_the_tries_of_a_tool() -> None:
    made = decisions(*[errors.StoreUnavailable()] * 10, errors.ToolFailed())
    assert all(isinstance(decision, RetryLater) for decision in made)


def test_a_tool_that_keeps_failing_is_buried_with_what_it_said() -> None:
    error = errors.ToolFailed("ffmpeg ended with 1.", exit_code=1, stderr_tail="Invalid data found")
    made = decisions(*[error] * TOOL_TRIES)
    assert [type(decision) for decision in made] == [RetryLater] * (TOOL_TRIES - 1) + [Bury]
    assert isinstance(made[-1], Bury)
    assert "Invalid data found" in made[-1].reason


def test_a_bug_is_tried_once_more_and_then_buried_by_name() -> None:
    made = decisions(*[KeyError("rung")] * BUG_TRIES)
    assert [type(decision) for decision in made] == [RetryLater, Bury]
    assert isinstance(made[-1], Bury)
    assert "KeyError: 'rung'" in made[-1].reason


def test_an_outage_is_waited_for_with_growing_delays_up_to_a_cap() -> None:
    made = decisions(*[errors.CatalogueUnavailable()] * (OUTAGE_TRIES - 1))
    delays = [decision.delay_ms for decision in made if isinstance(decision, RetryLater)]
    assert delays == sorted(delays)
    assert len(delays) == OUTAGE_TRIES - 1
    assert delays[-1] <= MAX_DELAY_MS


def test_the_delay_that_an_error_asks_for_is_kept() -> None:
    decision = decide(errors.StoreUnavailable(retry_after_s=90), Past())
    assert isinstance(decision, RetryLater)
    assert decision.delay_ms == 90_000


def test_jitter_takes_up_to_half_of_the_delay() -> None:
    assert (backoff_ms(3, 0.0), backoff_ms(3, 1.0)) == (8_000, 4_000)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), MemoryError()])
def test_a_full_machine_is_an_outage_and_not_a_bug(error: Exception) -> None:
    decision = decide(error, Past(attempts=BUG_TRIES, code="no_room", repeats=BUG_TRIES))
    assert isinstance(decision, RetryLater)


def test_an_interrupted_job_is_handed_back() -> None:
    assert decide(Interrupted(), Past()) == HandBack()


def test_a_lost_lease_is_nobodys_business_any_more() -> None:
    assert decide(errors.StaleLease(), Past()) == Drop()


def test_an_error_of_another_room_is_decided_by_its_family() -> None:
    class Elsewhere(errors.DamagedSource):
        """Made up."""

    assert isinstance(decide(Elsewhere(), Past()), Refuse)


def test_a_reason_that_is_not_ours_leaves_no_past() -> None:
    assert Past.of(a_job(attempts=3, reason="3 workers died")) == Past(attempts=3)
