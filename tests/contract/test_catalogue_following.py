"""Followers of events: nothing is missed, nothing is told twice to one that said it is done."""

from __future__ import annotations

from storage.catalogue.sql import SqlCatalogue
from tests.journeys import MINUTE_MS, let_time_pass
from tests.workshop import an_uploaded_video


def test_a_new_follower_begins_with_what_happens_from_now_on(catalogue: SqlCatalogue) -> None:
    an_uploaded_video(catalogue)
    position = catalogue.position("cache")
    assert catalogue.events_after(position) == ()
    video = an_uploaded_video(catalogue)
    assert {event.video for event in catalogue.events_after(catalogue.position("cache"))} == {video}


def test_a_follower_goes_on_where_it_was_and_never_goes_back(catalogue: SqlCatalogue) -> None:
    catalogue.position("cache")
    an_uploaded_video(catalogue)
    first, *_, last = catalogue.events_after(catalogue.position("cache"))
    catalogue.advance("cache", last.id)
    catalogue.advance("cache", first.id)
    assert catalogue.position("cache") == last.id
    assert catalogue.position("another") == last.id


def test_a_follower_that_lags_behind_is_seen(catalogue: SqlCatalogue) -> None:
    catalogue.position("cache")
    assert catalogue.follower_lags_ms() == {"cache": 0}
    an_uploaded_video(catalogue)
    let_time_pass(catalogue, MINUTE_MS)
    assert catalogue.follower_lags_ms()["cache"] >= MINUTE_MS
    catalogue.advance("cache", catalogue.last_event_id())
    assert catalogue.follower_lags_ms() == {"cache": 0}
