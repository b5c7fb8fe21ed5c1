"""Videos in the catalogue: lists, public names, and what people do with a video."""

from __future__ import annotations

import pytest

from storage.catalogue import VideoFilter
from storage.catalogue.sql import SqlCatalogue
from storage.errors import IllegalTransition, InvalidRequest, NotFound, StaleLease
from storage.ids import AssetId, TenantId, VideoId
from storage.jobs import JobKind, JobState
from storage.keys import tails_prefix
from storage.lifecycle import VideoState
from tests.builders import a_new_job, a_new_upload, a_note, a_published, an_encoded, an_inspected
from tests.journeys import (
    HOUR_MS,
    MINUTE_MS,
    a_playable_video,
    a_ready_video,
    an_encoding_video,
    an_uploaded_video,
    do,
    let_time_pass,
    take,
)


def doomed_names(catalogue: SqlCatalogue) -> set[str]:
    return {str(it.prefix or it.key) for it in catalogue.doomed(100)}


# --- lists -----------------------------------------------------------------------------------------------------------


def test_videos_come_newest_first_page_by_page(catalogue: SqlCatalogue) -> None:
    newest_first = []
    for _ in range(5):
        let_time_pass(catalogue, 1000)
        newest_first.insert(0, catalogue.create_upload(a_new_upload()).video)
    seen, cursor = [], None
    while True:
        page, cursor = catalogue.videos(VideoFilter(), limit=2, after=cursor)
        seen += [video.id for video in page]
        if cursor is None:
            break
    assert seen == newest_first


def test_videos_of_one_millisecond_are_all_listed_once(catalogue: SqlCatalogue) -> None:
    made = {catalogue.create_upload(a_new_upload()).video for _ in range(7)}
    first, cursor = catalogue.videos(VideoFilter(), limit=4)
    second, end = catalogue.videos(VideoFilter(), limit=4, after=cursor)
    assert end is None
    assert [len(first), len(second)] == [4, 3]
    assert {video.id for video in first + second} == made


def test_a_last_page_that_is_full_has_no_cursor(catalogue: SqlCatalogue) -> None:
    catalogue.create_upload(a_new_upload())
    assert catalogue.videos(VideoFilter(), limit=1)[1] is None


def test_a_cursor_of_somebody_else_is_refused(catalogue: SqlCatalogue) -> None:
    with pytest.raises(InvalidRequest):
        catalogue.videos(VideoFilter(), after="1; DROP TABLE videos")


def test_videos_are_filtered_by_tenant_state_and_text(catalogue: SqlCatalogue) -> None:
    ours = catalogue.create_upload(a_new_upload(title="Salmon 100% wild")).video
    theirs = catalogue.create_upload(a_new_upload(title="Trout", tenant=TenantId("them"))).video
    inspecting, _ = an_uploaded_video(catalogue, a_new_upload(title="Salmon 1000 wild"))

    def found(**where: object) -> set[VideoId]:
        return {video.id for video in catalogue.videos(VideoFilter(**where))[0]}  # type: ignore[arg-type] # by name

    assert found(tenant=TenantId("them")) == {theirs}
    assert found(states=(VideoState.INSPECTING,)) == {inspecting}
    assert found(text="salmon") == {ours, inspecting}
    assert found(text="100%") == {ours}, "a percent sign is a percent sign"


def test_deleted_videos_are_listed_only_on_request(catalogue: SqlCatalogue) -> None:
    video = catalogue.create_upload(a_new_upload()).video
    catalogue.delete_video(video)
    assert catalogue.videos(VideoFilter())[0] == ()
    assert [it.id for it in catalogue.videos(VideoFilter(include_deleted=True))[0]] == [video]
    assert [it.id for it in catalogue.videos(VideoFilter(states=(VideoState.DELETED,)))[0]] == [video]


def test_unknown_videos_and_assets_are_not_found(catalogue: SqlCatalogue) -> None:
    nobody = VideoId("nobody")
    for ask in (catalogue.video, catalogue.cancel_video, catalogue.delete_video):
        with pytest.raises(NotFound):
            ask(nobody)
    with pytest.raises(NotFound):
        catalogue.asset(AssetId("a-nothing"))


# --- public names ----------------------------------------------------------------------------------------------------


def test_names_answer_once_the_video_plays(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    with pytest.raises(NotFound):
        catalogue.published(video, "master.m3u8")
    do(catalogue, JobKind.ENCODE, an_encoded())
    do(catalogue, JobKind.PUBLISH, a_published(revision=1))
    asset, name = catalogue.published(video, "master.m3u8")
    assert asset == catalogue.video(video).asset
    assert name is not None
    assert name in catalogue.asset(asset).names
    assert catalogue.published(video, "nothing.m3u8") == (asset, None)
    assert catalogue.video(video).published == {"master.m3u8"}
    assert catalogue.videos(VideoFilter())[0][0].published == {"master.m3u8"}


def test_what_is_unknown_deleted_or_failed_answers_alike(catalogue: SqlCatalogue) -> None:
    deleted, cancelled = a_ready_video(catalogue), a_playable_video(catalogue)
    catalogue.delete_video(deleted)
    catalogue.cancel_video(cancelled)
    answers = []
    for video in (VideoId("nobody"), deleted, cancelled):
        with pytest.raises(NotFound) as refusal:
            catalogue.published(video, "master.m3u8")
        answers.append((refusal.value.sentence, refusal.value.fields))
    assert answers[0] == answers[1] == answers[2]
    assert catalogue.video(deleted).published == frozenset()


# --- what people do --------------------------------------------------------------------------------------------------


def test_a_new_title_is_told(catalogue: SqlCatalogue) -> None:
    video = catalogue.create_upload(a_new_upload(title="Old")).video
    before = catalogue.last_event_id()
    assert catalogue.rename_video(video, "New").title == "New"
    assert [(it.kind, it.data) for it in catalogue.events_after(before)] == [("title", {"title": "New"})]


def test_cancelling_ends_in_failed_and_takes_the_lease_away(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    job = take(catalogue, JobKind.ENCODE)
    cancelled = catalogue.cancel_video(video)
    assert (cancelled.state, cancelled.reason_code) == (VideoState.FAILED, "cancelled")
    with pytest.raises(StaleLease):
        catalogue.renew(job.id, job.token, MINUTE_MS)
    with pytest.raises(StaleLease):
        catalogue.commit(job.id, job.token, an_encoded())
    unfinished = [it.state for it in catalogue.jobs(video=video) if it.kind is not JobKind.INSPECT]
    assert set(unfinished) == {JobState.CANCELLED}
    assert catalogue.cancel_video(video) == cancelled


def test_a_cancelled_video_keeps_its_source_for_a_retry(catalogue: SqlCatalogue) -> None:
    video = catalogue.video(an_encoding_video(catalogue))
    catalogue.cancel_video(video.id)
    let_time_pass(catalogue, HOUR_MS)
    assert doomed_names(catalogue) == {f"{video.asset}/", tails_prefix(video.id)}


def test_a_video_cancelled_while_uploading_stops_its_writer_and_cannot_be_retried(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.cancel_video(upload.video)
    with pytest.raises(StaleLease):
        catalogue.record_progress(upload.id, token, offset_bytes=10, new_parts=(), tail=None)
    assert catalogue.upload(upload.id).state == "terminated"
    with pytest.raises(IllegalTransition):
        catalogue.retry_video(upload.video, recipe="1")


def test_a_ready_video_cannot_be_cancelled_rejected_or_failed(catalogue: SqlCatalogue) -> None:
    video = a_ready_video(catalogue)
    with pytest.raises(IllegalTransition):
        catalogue.cancel_video(video)
    with pytest.raises(IllegalTransition):
        catalogue.reject_video(video, "code", "Why.")
    with pytest.raises(IllegalTransition):
        catalogue.fail_video(video, "code", "Why.")
    assert catalogue.video(video).state is VideoState.READY
    assert catalogue.video(video).published


def test_a_retry_begins_again_under_a_new_asset(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue, an_inspected(notes=(a_note(),)))
    late = take(catalogue, JobKind.ENCODE)
    old = catalogue.video(video)
    catalogue.fail_video(video, "lost", "We lost it.")
    job = catalogue.retry_video(video, recipe="2")
    new = catalogue.video(video)
    assert (job.kind, job.recipe, job.asset) == (JobKind.INSPECT, "2", new.asset)
    assert new.asset != old.asset
    assert (new.state, new.progress, new.reason_code, new.notes) == (VideoState.INSPECTING, 0.0, None, ())
    with pytest.raises(StaleLease):
        catalogue.commit(late.id, late.token, an_encoded())
    do(catalogue, JobKind.INSPECT, an_inspected())
    assert catalogue.video(video).state is VideoState.ENCODING
    let_time_pass(catalogue, HOUR_MS)
    assert f"{old.asset}/" in doomed_names(catalogue)
    assert not doomed_names(catalogue) & {f"{new.asset}/", new.source_key}


def test_only_a_failed_video_is_retried(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    with pytest.raises(IllegalTransition):
        catalogue.retry_video(video, recipe="1")
    catalogue.reject_video(video, "damaged_source", "It is damaged.")
    with pytest.raises(IllegalTransition):
        catalogue.retry_video(video, recipe="1")


def test_deleting_takes_names_at_once_and_objects_after_a_grace(catalogue: SqlCatalogue) -> None:
    video = catalogue.video(a_ready_video(catalogue))
    deleted = catalogue.delete_video(video.id)
    assert (deleted.state, deleted.published) == (VideoState.DELETED, frozenset())
    assert catalogue.delete_video(video.id) == deleted
    assert catalogue.asset(video.asset).names == ()
    assert not doomed_names(catalogue) & {f"{video.asset}/", video.source_key}
    let_time_pass(catalogue, 2 * MINUTE_MS)
    assert {f"{video.asset}/", video.source_key} <= doomed_names(catalogue)


def test_objects_of_a_deleted_video_come_due_once_more_for_late_writers(catalogue: SqlCatalogue) -> None:
    catalogue.delete_video(a_ready_video(catalogue))
    let_time_pass(catalogue, 2 * HOUR_MS)
    first = catalogue.doomed(100)
    catalogue.forget_doomed(tuple(it.id for it in first))
    assert catalogue.doomed(100) == ()
    let_time_pass(catalogue, 2 * HOUR_MS)
    settled = {it.prefix or it.key for it in catalogue.doomed(100)}
    assert settled == {it.prefix or it.key for it in first}
    catalogue.forget_doomed(tuple(it.id for it in catalogue.doomed(100)))
    let_time_pass(catalogue, 100 * HOUR_MS)
    assert catalogue.doomed(100) == ()


def test_a_rejected_video_says_why_and_lets_everything_go(catalogue: SqlCatalogue) -> None:
    video = catalogue.video(a_playable_video(catalogue))
    catalogue.reject_video(video.id, "damaged_source", "It is damaged from the middle on.")
    rejected = catalogue.video(video.id)
    assert (rejected.state, rejected.reason_code) == (VideoState.REJECTED, "damaged_source")
    let_time_pass(catalogue, HOUR_MS)
    assert {f"{video.asset}/", video.source_key} <= doomed_names(catalogue)
    with pytest.raises(IllegalTransition):
        catalogue.add_job(video.id, a_new_job())


# --- events ----------------------------------------------------------------------------------------------------------


def test_the_way_of_a_video_is_told_in_order(catalogue: SqlCatalogue) -> None:
    video = a_ready_video(catalogue)
    events = [it for it in catalogue.events_after(0) if it.video == video]
    assert [it.data["state"] for it in events if it.kind == "state"] == [
        "uploading",
        "inspecting",
        "encoding",
        "playable",
        "ready",
    ]
    assert [it.data["progress"] for it in events if it.kind == "progress"] == [0.25, 1.0]
    assert [it.id for it in events] == sorted(it.id for it in events)
    assert catalogue.last_event_id() == events[-1].id


def test_events_are_read_by_tenant_and_from_where_one_left_off(catalogue: SqlCatalogue) -> None:
    catalogue.create_upload(a_new_upload())
    left_off = catalogue.last_event_id()
    theirs = catalogue.create_upload(a_new_upload(tenant=TenantId("them"))).video
    assert [it.video for it in catalogue.events_after(left_off)] == [theirs]
    assert [it.video for it in catalogue.events_after(0, tenant=TenantId("them"))] == [theirs]
    assert len(catalogue.events_after(0, limit=1)) == 1


def test_nothing_is_told_of_what_was_rolled_back(catalogue: SqlCatalogue) -> None:
    video = a_ready_video(catalogue)
    before = catalogue.last_event_id()
    with pytest.raises(IllegalTransition):
        catalogue.cancel_video(video)
    assert catalogue.last_event_id() == before
