"""Real files that none of us made, through the whole stack: each ends as its manifest says, and the service goes on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.e2e.published import until_settled
from tests.e2e.stack import RunningStack
from tests.shared import shared_folder

pytestmark = pytest.mark.e2e

_SHARED = shared_folder()


def _named(outcome: str) -> list[str]:
    """The names of the shared inputs with that outcome in the last column of their manifest."""
    if _SHARED is None:
        return []
    with (_SHARED / "media" / "manifest.tsv").open(newline="") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["file"] for row in rows if row["outcome"] == outcome]


def _path(name: str) -> Path:
    assert _SHARED is not None
    return _SHARED / "media" / name


@pytest.mark.skipif(_SHARED is None, reason="the shared media inputs are not beside this checkout")
@pytest.mark.timeout(900)
def test_all_basic_inputs_become_ready(stack: RunningStack) -> None:
    videos = {name: stack.upload(_path(name), title=name) for name in _named("basic")}
    assert videos
    ends = {name: until_settled(stack.api, video, timeout_s=800) for name, video in videos.items()}
    assert {name: (end["state"], end["reason"]) for name, end in ends.items() if end["state"] != "ready"} == {}


@pytest.mark.skipif(_SHARED is None, reason="the shared media inputs are not beside this checkout")
def test_all_broken_inputs_are_refused_with_a_code_and_a_sentence(stack: RunningStack) -> None:
    videos = {name: stack.upload(_path(name), title=name) for name in _named("refuse")}
    assert videos
    ends = {name: until_settled(stack.api, video) for name, video in videos.items()}
    assert {name: end["state"] for name, end in ends.items() if end["state"] != "rejected"} == {}
    assert all(end["reason_code"] and end["reason"].endswith(".") for end in ends.values())
