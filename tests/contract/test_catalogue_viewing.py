"""Who may play a video, and how it was played: the same on every database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.errors import NotFound
from storage.grants import Visibility
from storage.ids import VideoId
from storage.plays import Heard
from tests.journeys import an_uploaded_video

VIDEO, OTHER = VideoId("0ne"), VideoId("0ther")


def heard(session: str = "s", *, at_ms: int = 1000, video: VideoId = VIDEO, **more: int) -> Heard:
    return Heard(video=video, session=session, at_ms=at_ms, **more)


def test_a_video_says_nothing_of_its_visibility_until_it_is_told(catalogue: SqlCatalogue) -> None:
    video, _ = an_uploaded_video(catalogue)
    assert catalogue.visibility(video) is None
    for visibility in (Visibility.SIGNED, Visibility.UNLISTED, Visibility.SIGNED, None, None):
        catalogue.set_visibility(video, visibility)
        assert catalogue.visibility(video) is visibility
    with pytest.raises(NotFound):
        catalogue.set_visibility(VideoId("nobody"), Visibility.PUBLIC)


def test_a_change_of_visibility_is_told_to_the_watchers(catalogue: SqlCatalogue) -> None:
    video, _ = an_uploaded_video(catalogue)
    before = catalogue.last_event_id()
    for visibility in (Visibility.SIGNED, Visibility.SIGNED, None):
        catalogue.set_visibility(video, visibility)
    told = [(event.kind, event.video, event.data) for event in catalogue.events_after(before)]
    assert told == [("visibility", video, {"visibility": it}) for it in (Visibility.SIGNED, None)]


def test_what_was_heard_of_a_play_adds_up_in_any_order(catalogue: SqlCatalogue) -> None:
    catalogue.record_plays((heard(at_ms=5000, stalls=1, stalled_ms=100, position_ms=9000, startup_ms=0),))
    catalogue.record_plays((heard(at_ms=1000, media_ms=4000, weighted_kbps_ms=8_000_000, position_ms=4000),))
    catalogue.record_plays((heard(at_ms=9000, stalls=1, stalled_ms=50, requests=3, sent_bytes=2**40, startup_ms=700),))
    (play,) = catalogue.plays(VIDEO)
    assert (play.started_at_ms, play.updated_at_ms, play.position_ms, play.startup_ms) == (1000, 9000, 9000, 0)
    assert (play.stalls, play.stalled_ms, play.media_ms, play.mean_kbps) == (2, 150, 4000, 2000)
    assert (play.requests, play.sent_bytes) == (3, 2**40)


def test_every_play_is_one_view_and_forgotten_ones_stay_counted(catalogue: SqlCatalogue) -> None:
    for _ in range(3):
        catalogue.record_plays((heard("a"), heard("b", at_ms=50_000), heard("a", video=OTHER)))
    assert (catalogue.views(VIDEO), catalogue.views(OTHER), catalogue.views(VideoId("nobody"))) == (2, 1, 0)
    assert [play.session for play in catalogue.plays(VIDEO)] == ["b", "a"]
    assert [play.session for play in catalogue.plays(VIDEO, since_ms=2000)] == ["b"]
    assert catalogue.forget_plays(50_000) == 2
    assert [play.session for play in catalogue.plays(VIDEO)] == ["b"]
    assert catalogue.views(VIDEO) == 2


def test_processes_that_hear_of_one_play_at_once_count_it_once(catalogue: SqlCatalogue) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(catalogue.record_plays, (heard("x", requests=1), heard("y"))) for _ in range(12)]:
            done.result()
    assert catalogue.views(VIDEO) == 2
    assert sum(play.requests for play in catalogue.plays(VIDEO)) == 12
