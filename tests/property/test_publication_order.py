"""Laws of publication that hold for every order in which jobs commit."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from packager.presentation import Presentation
from storage.catalogue import Asset
from storage.media.ladder import EncodePlan
from tests.builders import a_film_plan, a_ladder, an_asset, an_audio_rendition
from workers.planning.publication import PublicationPolicy, plan_publication

Commit = tuple[tuple[str, ...], range]
"""Renditions, and the segments of each that one job commits."""


def commits_of(plan: EncodePlan) -> list[Commit]:
    """What every job of ``plan`` commits: an early chunk is two jobs, each other chunk one, each audio piece one a
    rendition."""
    names = tuple(rung.name for rung in plan.ladder.rungs)
    rest = tuple(name for name in names if name not in plan.ladder.fast_start)
    commits: list[Commit] = []
    for chunk in plan.chunks:
        stop = chunk.first_segment - (-len(chunk.frames) // plan.ladder.segment_frames)
        segments = range(chunk.first_segment, stop)
        sets = (plan.ladder.fast_start, rest) if chunk in plan.early_chunks else (names,)
        commits += [(rungs, segments) for rungs in sets if rungs]
    for rendition in plan.audio:
        commits += [((rendition.name,), range(it.first_segment, it.stop_segment)) for it in plan.audio_pieces]
    return commits


@st.composite
def orders(draw: st.DrawFn) -> tuple[EncodePlan, list[Commit]]:
    names = draw(
        st.sampled_from(
            [("240p",), ("240p", "480p"), ("240p", "480p", "720p"), ("240p", "480p", "720p", "1080p", "2160p")]
        )
    )
    languages = draw(st.integers(0, 2))
    plan = a_film_plan(
        segments=draw(st.integers(1, 9)),
        ladder=a_ladder(*names),
        audio=[an_audio_rendition(name=f"audio-{number}") for number in range(languages)],
    )
    return plan, draw(st.permutations(commits_of(plan)))


def growing(plan: EncodePlan, order: list[Commit]) -> Iterator[Asset]:
    stored: dict[str, set[int]] = {}
    for names, segments in order:
        for name in names:
            stored.setdefault(name, set()).update(segments)
        yield an_asset(plan, stored=dict(stored), storyboard={})


def lengths(presentation: Presentation | None) -> dict[str, int]:
    if presentation is None:
        return {}
    return {it.name: len(it.segments) for it in (*presentation.video, *presentation.audio)}


@given(orders())
def test_any_order_of_commits_ends_in_the_same_complete_presentation(case: tuple[EncodePlan, list[Commit]]) -> None:
    plan, order = case
    *_, last = growing(plan, order)
    *_, usual = growing(plan, commits_of(plan))
    final = plan_publication(last, PublicationPolicy())
    assert final is not None
    assert final.complete
    assert final == plan_publication(usual, PublicationPolicy())


@given(orders())
def test_all_listed_renditions_end_at_the_same_segment(case: tuple[EncodePlan, list[Commit]]) -> None:
    for asset in growing(*case):
        assert len(set(lengths(plan_publication(asset, PublicationPolicy())).values())) <= 1


@given(orders())
def test_what_was_listed_stays_listed_and_never_gets_shorter(case: tuple[EncodePlan, list[Commit]]) -> None:
    before: dict[str, int] = {}
    for asset in growing(*case):
        now = lengths(plan_publication(asset, PublicationPolicy()))
        assert all(now.get(name, 0) >= length for name, length in before.items())
        before = now


@given(orders())
def test_nothing_is_listed_that_is_not_stored(case: tuple[EncodePlan, list[Commit]]) -> None:
    for asset in growing(*case):
        presentation = plan_publication(asset, PublicationPolicy())
        stored = {row.name: set(row.segments) for row in asset.renditions}
        if presentation is not None:
            for rendition in (*presentation.video, *presentation.audio):
                assert set(rendition.segments) <= stored[rendition.name]
                assert [segment.number for segment in rendition.segments] == list(range(len(rendition.segments)))
