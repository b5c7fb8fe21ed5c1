from __future__ import annotations

import json

import pytest

from storage.errors import FishladderError, NotFound, OffsetMismatch, StoreUnavailable, UploadBusy
from tests.errors import errors_of
from upload_api.problems import STATUSES, problem_of


@pytest.mark.parametrize("kind", errors_of("storage", "upload_api"))
def test_every_error_has_its_status(kind: type[FishladderError]) -> None:
    assert kind in STATUSES
    problem = json.loads(problem_of(kind()).body())
    assert problem["status"] == STATUSES[kind]
    assert problem["code"] == kind.code
    assert problem["detail"]


def test_an_error_of_another_room_is_answered_like_its_nearest_ancestor() -> None:
    class MissingSegment(NotFound):
        """A segment is missing."""

        code = "missing_segment"

    problem = problem_of(MissingSegment())
    assert (problem.status, problem.code) == (404, "missing_segment")


def test_facts_stand_beside_the_sentence_but_never_replace_it() -> None:
    problem = json.loads(problem_of(OffsetMismatch(expected_offset=5, code="x", weird=object())).body())
    assert problem["expected_offset"] == 5
    assert problem["code"] == "offset_mismatch"
    assert "weird" not in problem


def test_what_is_worth_trying_again_says_when() -> None:
    assert dict(problem_of(UploadBusy()).fields) == {"Retry-After": "1"}
    assert dict(problem_of(StoreUnavailable(retry_after_s=2.3)).fields) == {"Retry-After": "3"}
    assert dict(problem_of(NotFound()).fields) == {}
