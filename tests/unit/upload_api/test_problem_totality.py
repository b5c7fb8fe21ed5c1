from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from storage.errors import FishladderError, NotFound, OffsetMismatch, StoreUnavailable, UploadBusy
from upload_api import errors as upload_errors
from upload_api.problems import STATUSES, problem_of

assert upload_errors  # its classes are part of the tree


def all_errors(kind: type[FishladderError] = FishladderError) -> Iterator[type[FishladderError]]:
    if kind.__module__.split(".")[0] in ("storage", "upload_api"):
        yield kind
    for child in kind.__subclasses__():
        yield from all_errors(child)


@pytest.mark.parametrize("kind", sorted(all_errors(), key=lambda kind: kind.__name__))
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
