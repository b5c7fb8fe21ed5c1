"""What owners say of their videos, what is stored of renditions, and lists in every order: the same on every database."""

from __future__ import annotations

import pytest

from storage.catalogue import VideoFilter, VideoSort
from storage.catalogue.sql import SqlCatalogue
from storage.errors import IllegalTransition, InvalidRequest, NotFound
from storage.grants import Visibility
from storage.ids import VideoId
from storage.jobs import JobKind
from storage.showing import Chapter, Showing
from tests.builders import a_new_job, a_new_upload, a_published_name, a_thumbnailed, an_encoded
from tests.journeys import a_playable_video, a_ready_video, an_encoding_video, an_uploaded_video, do


def test_a_showing_is_what_was_last_said_and_all_defaults_before(catalogue: SqlCatalogue) -> None:
    video, _ = an_uploaded_video(catalogue)
    assert catalogue.showing(video) == Showing()
    chapters = (Chapter(start_ms=0, title="Opening"), Chapter(start_ms=90_000, title="Rapids"))
    for said in (Showing(chapters=chapters, embed_origins=("https://*.example",)), Showing(embed_origins=())):
        catalogue.set_showing(video, said)
        assert catalogue.showing(video) == said
    assert catalogue.events_after(0)[-1].kind == "showing"
    with pytest.raises(NotFound):
        catalogue.set_showing(VideoId("nobody"), Showing())


def test_visibilities_of_many_videos_are_asked_for_at_once(catalogue: SqlCatalogue) -> None:
    told, silent = an_uploaded_video(catalogue)[0], an_uploaded_video(catalogue)[0]
    catalogue.set_visibility(told, Visibility.UNLISTED)
    assert catalogue.seen_as((told, silent)) == {told: Visibility.UNLISTED}


def test_a_chosen_poster_stays_when_thumbnails_are_made_again(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    ours = a_published_name("poster.jpg", "a-0/poster-00aa.jpg")
    with pytest.raises(IllegalTransition):
        catalogue.choose_poster(video, ours)
    do(catalogue, JobKind.THUMBNAILS, a_thumbnailed())
    catalogue.choose_poster(video, ours)
    catalogue.add_job(video, a_new_job(JobKind.THUMBNAILS))
    do(catalogue, JobKind.THUMBNAILS, a_thumbnailed())
    assert catalogue.published(video, "poster.jpg")[1] == ours


def test_what_is_ready_without_a_poster_may_be_given_one(catalogue: SqlCatalogue) -> None:
    video = a_ready_video(catalogue)  # without thumbnails, as sound alone
    assert "poster.jpg" not in catalogue.video(video).published
    first, second = (a_published_name("poster.jpg", f"a-0/poster-00{n}.jpg") for n in "ab")
    for ours in (first, second):
        catalogue.choose_poster(video, ours)
        assert catalogue.published(video, "poster.jpg")[1] == ours


def test_runs_of_stored_segments_have_their_holes_sizes_and_rates(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    asset = catalogue.video(video).asset
    assert catalogue.stored_runs(asset) == {}
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (0, 1, 3)}))
    stored = catalogue.stored_runs(asset)
    assert set(stored) == {"360p"}
    assert stored["360p"].runs == ((0, 2), (3, 4))
    assert stored["360p"].count == 3
    assert stored["360p"].size_bytes > 0
    assert stored["360p"].mean_rate_bps is not None


@pytest.mark.parametrize("sort", VideoSort)
def test_every_order_gives_each_video_once_over_its_pages(catalogue: SqlCatalogue, sort: VideoSort) -> None:
    titles = ["beta", "Alpha", "beta", "Ärger", "gamma"]
    made = [catalogue.create_upload(a_new_upload(title=title)).video for title in titles]
    seen: list[VideoId] = []
    cursor = None
    while True:
        page, cursor = catalogue.videos(VideoFilter(), limit=2, after=cursor, sort=sort)
        seen += [video.id for video in page]
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    if sort is VideoSort.TITLE:
        assert seen[0] == made[1]


def test_a_cursor_of_another_order_is_refused(catalogue: SqlCatalogue) -> None:
    for _ in range(2):
        catalogue.create_upload(a_new_upload())
    _, cursor = catalogue.videos(VideoFilter(), limit=1)
    with pytest.raises(InvalidRequest):
        catalogue.videos(VideoFilter(), after=cursor, sort=VideoSort.TITLE)
