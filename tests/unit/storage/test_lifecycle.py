"""The life of a video: the table, and what follows from it."""

from __future__ import annotations

import itertools

import pytest

from storage.errors import IllegalTransition
from storage.lifecycle import FOLLOWS, SETTLED, VideoState, advance

STATES = tuple(VideoState)


def reachable(start: VideoState) -> set[VideoState]:
    seen, todo = {start}, [start]
    while todo:
        for state in FOLLOWS[todo.pop()] - seen:
            seen.add(state)
            todo.append(state)
    return seen


def test_every_state_is_in_the_table() -> None:
    assert set(FOLLOWS) == set(STATES)


@pytest.mark.parametrize(("state", "to"), list(itertools.product(STATES, STATES)))
def test_only_what_the_table_allows_may_follow(state: VideoState, to: VideoState) -> None:
    if to in FOLLOWS[state]:
        assert advance(state, to) is to
    else:
        with pytest.raises(IllegalTransition) as illegal:
            advance(state, to)
        assert (illegal.value.fields["state"], illegal.value.fields["to"]) == (state, to)


def test_the_way_of_a_good_video() -> None:
    state = VideoState.UPLOADING
    for to in (VideoState.INSPECTING, VideoState.ENCODING, VideoState.PLAYABLE, VideoState.READY):
        state = advance(state, to)
    assert state in SETTLED


def test_every_state_can_be_reached_and_every_video_deleted() -> None:
    assert reachable(VideoState.UPLOADING) == set(STATES)
    assert all(VideoState.DELETED in reachable(state) for state in STATES)


def test_deleted_is_the_end() -> None:
    assert FOLLOWS[VideoState.DELETED] == frozenset()


def test_only_a_failure_of_ours_can_be_tried_again() -> None:
    goes_on = {state for state in SETTLED if FOLLOWS[state] - {VideoState.DELETED}}
    assert goes_on == {VideoState.FAILED}
    assert VideoState.INSPECTING in FOLLOWS[VideoState.FAILED]


def test_a_source_may_prove_bad_even_while_its_start_plays() -> None:
    assert advance(VideoState.PLAYABLE, VideoState.REJECTED) is VideoState.REJECTED


def test_nothing_goes_back_to_uploading() -> None:
    assert all(VideoState.UPLOADING not in follows for follows in FOLLOWS.values())
