"""Uploads in the catalogue: one writer, an offset that only grows, completion once and with its job."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from storage.blobs import StoredPart
from storage.catalogue import Concat, Tail, VideoFilter
from storage.catalogue.sql import SqlCatalogue
from storage.errors import (
    Conflict,
    IllegalTransition,
    NotFound,
    StaleLease,
    UploadBusy,
    UploadTerminated,
)
from storage.ids import TenantId, UploadId
from storage.jobs import JobKind, JobState, Lane
from storage.keys import source_key, tails_prefix
from storage.lifecycle import VideoState
from tests.builders import a_new_upload
from tests.journeys import HOUR_MS, MINUTE_MS, an_uploaded_video, let_time_pass


def test_an_upload_and_its_video_begin_together(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload(title="Film", length_bytes=1000))
    video = catalogue.video(upload.video)
    assert (upload.state, upload.offset_bytes, upload.source_key) == ("open", 0, source_key(video.id))
    assert (video.state, video.upload, video.source_bytes) == (VideoState.UPLOADING, upload.id, 1000)
    assert upload.id != video.id
    assert catalogue.upload(upload.id) == upload


def test_an_unknown_upload_is_not_found(catalogue: SqlCatalogue) -> None:
    with pytest.raises(NotFound):
        catalogue.upload(UploadId("nobody"))
    with pytest.raises(NotFound):
        catalogue.acquire_upload(UploadId("nobody"), "writer", MINUTE_MS)


def test_names_from_clients_survive_what_databases_do_not_like(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload(title="nul \x00 and half a pair \ud83d", filename="🎬.mp4"))
    video = catalogue.video(upload.video)
    assert video.title == "nul  and half a pair ?"
    assert video.filename == "🎬.mp4"


# --- one writer ------------------------------------------------------------------------------------------------------


def test_a_second_writer_is_turned_away_and_the_first_learns_of_it(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    token = catalogue.acquire_upload(upload.id, "first", MINUTE_MS)
    assert catalogue.renew_upload(upload.id, token, MINUTE_MS) is True
    with pytest.raises(UploadBusy):
        catalogue.acquire_upload(upload.id, "second", MINUTE_MS)
    assert catalogue.renew_upload(upload.id, token, MINUTE_MS) is False
    catalogue.release_upload(upload.id, token)
    assert catalogue.acquire_upload(upload.id, "second", MINUTE_MS) > token


def test_a_wish_to_let_go_ends_with_the_lease(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    first = catalogue.acquire_upload(upload.id, "first", MINUTE_MS)
    with pytest.raises(UploadBusy):
        catalogue.acquire_upload(upload.id, "second", MINUTE_MS)
    catalogue.release_upload(upload.id, first)
    second = catalogue.acquire_upload(upload.id, "second", MINUTE_MS)
    assert catalogue.renew_upload(upload.id, second, MINUTE_MS) is True


def test_an_expired_writer_is_taken_over_and_shut_out(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    old = catalogue.acquire_upload(upload.id, "first", MINUTE_MS)
    let_time_pass(catalogue, MINUTE_MS)
    new = catalogue.acquire_upload(upload.id, "second", MINUTE_MS)
    with pytest.raises(StaleLease):
        catalogue.renew_upload(upload.id, old, MINUTE_MS)
    with pytest.raises(StaleLease):
        catalogue.record_progress(upload.id, old, offset_bytes=10, new_parts=(), tail=None)
    with pytest.raises(StaleLease):
        catalogue.begin_source(upload.id, old, "multipart")
    with pytest.raises(StaleLease):
        catalogue.complete_upload(upload.id, old, recipe="1")
    catalogue.release_upload(upload.id, old)  # ignored
    assert catalogue.renew_upload(upload.id, new, MINUTE_MS) is True


def test_a_writer_whose_lease_ran_out_goes_on_if_nobody_came(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    token = catalogue.acquire_upload(upload.id, "first", MINUTE_MS)
    let_time_pass(catalogue, HOUR_MS)
    catalogue.record_progress(upload.id, token, offset_bytes=10, new_parts=(), tail=None)
    assert catalogue.renew_upload(upload.id, token, MINUTE_MS) is True


# --- the bytes -------------------------------------------------------------------------------------------------------


def test_progress_is_parts_and_a_tail(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload(length_bytes=None))
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    parts = (StoredPart(number=1, etag="one", size_bytes=500), StoredPart(number=2, etag="two", size_bytes=500))
    tail = Tail(key=f"{tails_prefix(upload.video)}1-1007", start=1000, size_bytes=7)
    catalogue.begin_source(upload.id, token, "multipart")
    catalogue.record_progress(upload.id, token, offset_bytes=500, new_parts=parts[:1], tail=None)
    catalogue.record_progress(upload.id, token, offset_bytes=1007, new_parts=parts[1:], tail=tail)
    stored = catalogue.upload(upload.id)
    assert (stored.offset_bytes, stored.parts, stored.tail, stored.multipart_id) == (1007, parts, tail, "multipart")
    assert catalogue.video(upload.video).received_bytes == 1007


def test_a_part_stored_again_replaces_the_first(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    for etag in ("old", "new"):
        part = StoredPart(number=1, etag=etag, size_bytes=500)
        catalogue.record_progress(upload.id, token, offset_bytes=500, new_parts=(part,), tail=None)
    assert [part.etag for part in catalogue.upload(upload.id).parts] == ["new"]


@pytest.mark.parametrize("offset_bytes", [499, 1001], ids=["back", "beyond the length"])
def test_an_offset_neither_goes_back_nor_beyond_the_length(catalogue: SqlCatalogue, offset_bytes: int) -> None:
    upload = catalogue.create_upload(a_new_upload(length_bytes=1000))
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.record_progress(upload.id, token, offset_bytes=500, new_parts=(), tail=None)
    with pytest.raises(Conflict):
        catalogue.record_progress(upload.id, token, offset_bytes=offset_bytes, new_parts=(), tail=None)
    assert catalogue.upload(upload.id).offset_bytes == 500


def test_a_deferred_length_is_fixed_once(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload(length_bytes=None))
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.record_progress(upload.id, token, offset_bytes=500, new_parts=(), tail=None)
    with pytest.raises(Conflict):
        catalogue.set_upload_length(upload.id, token, 499)
    catalogue.set_upload_length(upload.id, token, 900)
    catalogue.set_upload_length(upload.id, token, 900)
    with pytest.raises(Conflict):
        catalogue.set_upload_length(upload.id, token, 901)
    assert catalogue.upload(upload.id).length_bytes == 900
    assert catalogue.video(upload.video).source_bytes == 900


def test_received_bytes_are_told_at_most_twice_a_second(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload(length_bytes=1000))
    token = catalogue.acquire_upload(upload.id, "writer", HOUR_MS)

    def told() -> list[int]:
        return [it.data["received_bytes"] for it in catalogue.events_after(0) if it.kind == "uploaded_bytes"]

    let_time_pass(catalogue, 1000)
    for offset_bytes in (100, 200, 300):
        catalogue.record_progress(upload.id, token, offset_bytes=offset_bytes, new_parts=(), tail=None)
    assert told()[:1] == [100]
    assert len(told()) < 3
    let_time_pass(catalogue, 1000)
    catalogue.record_progress(upload.id, token, offset_bytes=400, new_parts=(), tail=None)
    catalogue.record_progress(upload.id, token, offset_bytes=1000, new_parts=(), tail=None)
    assert told()[-2:] == [400, 1000], "the last byte is always told"


# --- the ends --------------------------------------------------------------------------------------------------------


def test_completion_comes_with_the_inspection_job_and_only_once(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload(length_bytes=1000))
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.record_progress(upload.id, token, offset_bytes=1000, new_parts=(), tail=None)
    job = catalogue.complete_upload(upload.id, token, recipe="7")
    assert job is not None
    assert (job.kind, job.lane, job.state, job.recipe) == (JobKind.INSPECT, Lane.PLAYABLE, JobState.READY, "7")
    assert catalogue.complete_upload(upload.id, token, recipe="7") is None
    assert catalogue.jobs() == (job,)
    video = catalogue.video(upload.video)
    assert (video.state, video.received_bytes) == (VideoState.INSPECTING, 1000)
    assert video.uploaded_at_ms is not None
    assert catalogue.asset(video.asset).recipe == "7"
    assert catalogue.upload(upload.id).state == "completed"


@pytest.mark.parametrize("length_bytes", [None, 1001], ids=["unknown length", "bytes missing"])
def test_an_upload_with_bytes_missing_is_not_complete(catalogue: SqlCatalogue, length_bytes: int | None) -> None:
    upload = catalogue.create_upload(a_new_upload(length_bytes=length_bytes))
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.record_progress(upload.id, token, offset_bytes=1000, new_parts=(), tail=None)
    with pytest.raises(Conflict):
        catalogue.complete_upload(upload.id, token, recipe="1")
    assert catalogue.jobs() == ()


def test_a_refused_upload_keeps_its_offset_and_says_why(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.record_progress(upload.id, token, offset_bytes=500, new_parts=(), tail=None)
    catalogue.refuse_upload(upload.id, "not_media", "This is a text file.")
    catalogue.refuse_upload(upload.id, "not_media", "This is a text file.")
    refused, video = catalogue.upload(upload.id), catalogue.video(upload.video)
    assert (refused.state, refused.offset_bytes) == ("refused", 500)
    assert (refused.reason_code, video.reason_code, video.reason) == ("not_media", "not_media", "This is a text file.")
    assert video.state is VideoState.REJECTED
    with pytest.raises(StaleLease):
        catalogue.record_progress(upload.id, token, offset_bytes=600, new_parts=(), tail=None)
    with pytest.raises(Conflict):
        catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)


def test_a_terminated_upload_says_what_is_to_be_dropped(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.begin_source(upload.id, token, "multipart")
    tail = Tail(key=f"{tails_prefix(upload.video)}1-7", start=0, size_bytes=7)
    catalogue.record_progress(upload.id, token, offset_bytes=7, new_parts=(), tail=tail)
    ended = catalogue.terminate_upload(upload.id)
    assert (ended.state, ended.multipart_id, ended.tail) == ("terminated", "multipart", tail)
    assert catalogue.video(upload.video).state is VideoState.DELETED
    assert catalogue.terminate_upload(upload.id) == ended
    with pytest.raises(StaleLease):
        catalogue.renew_upload(upload.id, token, MINUTE_MS)
    with pytest.raises(UploadTerminated):
        catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)


def test_a_complete_upload_cannot_be_terminated(catalogue: SqlCatalogue) -> None:
    video, upload = an_uploaded_video(catalogue)
    with pytest.raises(IllegalTransition):
        catalogue.terminate_upload(upload)
    assert catalogue.video(video).state is VideoState.INSPECTING


def test_uploads_expire_by_their_lifetime_which_progress_renews(catalogue: SqlCatalogue) -> None:
    idle = catalogue.create_upload(a_new_upload(lifetime_ms=HOUR_MS))
    busy = catalogue.create_upload(a_new_upload(lifetime_ms=HOUR_MS))
    token = catalogue.acquire_upload(busy.id, "writer", MINUTE_MS)
    let_time_pass(catalogue, HOUR_MS // 2)
    catalogue.record_progress(busy.id, token, offset_bytes=1, new_parts=(), tail=None)
    assert catalogue.expired_uploads(10) == ()
    let_time_pass(catalogue, HOUR_MS // 2)
    assert [it.id for it in catalogue.expired_uploads(10)] == [idle.id]
    catalogue.terminate_upload(idle.id)
    assert catalogue.expired_uploads(10) == ()


def test_an_upload_that_is_taken_up_again_does_not_expire(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload(lifetime_ms=HOUR_MS))
    let_time_pass(catalogue, HOUR_MS)
    (expired,) = catalogue.expired_uploads(10)
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)  # between the look and the act
    with pytest.raises(IllegalTransition):
        catalogue.terminate_upload(expired.id, only_expired=True)
    catalogue.record_progress(upload.id, token, offset_bytes=1, new_parts=(), tail=None)
    catalogue.release_upload(upload.id, token)
    with pytest.raises(IllegalTransition):
        catalogue.terminate_upload(expired.id, only_expired=True)
    assert catalogue.terminate_upload(upload.id).state == "terminated"


def test_an_upload_that_is_whole_waits_for_its_completion_however_long(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload(length_bytes=10, lifetime_ms=HOUR_MS))
    token = catalogue.acquire_upload(upload.id, "writer", MINUTE_MS)
    catalogue.record_progress(upload.id, token, offset_bytes=10, new_parts=(), tail=None)
    let_time_pass(catalogue, 100 * HOUR_MS)
    assert catalogue.expired_uploads(10) == ()


# --- concatenation ---------------------------------------------------------------------------------------------------


def a_partial(
    catalogue: SqlCatalogue, *, length_bytes: int = 10, sent: int = 10, lifetime_ms: int = HOUR_MS
) -> UploadId:
    """A partial upload; completed if everything is sent."""
    new = a_new_upload(concat=Concat.PARTIAL, concat_raw="partial", length_bytes=length_bytes, lifetime_ms=lifetime_ms)
    upload = catalogue.create_upload(new).id
    token = catalogue.acquire_upload(upload, "writer", MINUTE_MS)
    catalogue.record_progress(upload, token, offset_bytes=sent, new_parts=(), tail=None)
    if sent == length_bytes:
        assert catalogue.complete_partial(upload, token)
    catalogue.release_upload(upload, token)
    return upload


def a_final(catalogue: SqlCatalogue, *joins: UploadId, **changes: object) -> UploadId:
    raw = "final;" + " ".join(joins)
    new = a_new_upload(concat=Concat.FINAL, concat_raw=raw, joins=joins, length_bytes=20, **changes)
    return catalogue.create_upload(new).id


def test_a_partial_upload_is_no_video_and_completes_without_a_job(catalogue: SqlCatalogue) -> None:
    partial = a_partial(catalogue)
    assert catalogue.videos(VideoFilter()) == ((), None)
    assert catalogue.jobs() == ()
    assert catalogue.last_event_id() == 0
    assert catalogue.upload(partial).state == "completed"


def test_an_unfinished_partial_upload_cannot_be_completed(catalogue: SqlCatalogue) -> None:
    partial = a_partial(catalogue, sent=9)
    token = catalogue.acquire_upload(partial, "writer", MINUTE_MS)
    with pytest.raises(Conflict):
        catalogue.complete_partial(partial, token)
    with pytest.raises(StaleLease):
        catalogue.complete_partial(partial, token + 1)


def test_a_final_upload_remembers_its_parts_in_order(catalogue: SqlCatalogue) -> None:
    a, b = a_partial(catalogue), a_partial(catalogue, sent=3)
    final = a_final(catalogue, b, a, b)
    upload = catalogue.upload(final)
    assert (upload.concat, upload.joins) == (Concat.FINAL, (b, a, b))
    assert upload.concat_raw == f"final;{b} {a} {b}"
    assert catalogue.open_finals() == catalogue.open_finals(a) == catalogue.open_finals(b) == (final,)
    assert catalogue.open_finals(a_partial(catalogue)) == ()


def test_only_partial_uploads_of_the_same_tenant_are_joined(catalogue: SqlCatalogue) -> None:
    partial = a_partial(catalogue)
    whole = catalogue.create_upload(a_new_upload()).id
    for joins in ((partial, whole), (UploadId("nobody"),)):
        with pytest.raises(NotFound):
            a_final(catalogue, *joins)
    with pytest.raises(NotFound):
        a_final(catalogue, partial, tenant=TenantId("somebody-else"))
    assert catalogue.open_finals() == ()


def test_a_final_upload_completes_like_any_other_and_lets_its_parts_go_soon(catalogue: SqlCatalogue) -> None:
    partial = a_partial(catalogue, lifetime_ms=100 * HOUR_MS)
    final = a_final(catalogue, partial, partial)
    token = catalogue.acquire_upload(final, "joiner", MINUTE_MS)
    catalogue.record_progress(final, token, offset_bytes=20, new_parts=(), tail=None)
    job = catalogue.complete_upload(final, token, recipe="r1")
    assert job is not None
    assert job.kind is JobKind.INSPECT
    assert catalogue.expired_uploads(10) == ()
    let_time_pass(catalogue, HOUR_MS)
    assert [it.id for it in catalogue.expired_uploads(10)] == [partial]
    ended = catalogue.terminate_upload(partial, only_expired=True)
    assert ended.state == "terminated"


def test_partial_uploads_do_not_expire_while_a_final_one_waits_for_them(catalogue: SqlCatalogue) -> None:
    waited, missing = a_partial(catalogue), a_partial(catalogue, sent=3)
    final = a_final(catalogue, waited, missing, lifetime_ms=HOUR_MS)
    loose = a_partial(catalogue)
    let_time_pass(catalogue, HOUR_MS // 2)
    token = catalogue.acquire_upload(missing, "writer", MINUTE_MS)
    catalogue.record_progress(missing, token, offset_bytes=4, new_parts=(), tail=None)
    catalogue.release_upload(missing, token)
    let_time_pass(catalogue, HOUR_MS // 2)
    assert [it.id for it in catalogue.expired_uploads(10)] == [loose]
    assert catalogue.upload(final).state == "open", "its part moved its expiry on"
    let_time_pass(catalogue, HOUR_MS)
    assert final in [it.id for it in catalogue.expired_uploads(10)]


def test_a_partial_upload_may_be_ended_or_refused_any_time(catalogue: SqlCatalogue) -> None:
    done, going = a_partial(catalogue), a_partial(catalogue, sent=3)
    token = catalogue.acquire_upload(going, "writer", MINUTE_MS)
    catalogue.refuse_upload(going, "source_lost", "The bytes are gone.")
    assert catalogue.upload(going).reason == "The bytes are gone."
    with pytest.raises(StaleLease):
        catalogue.renew_upload(going, token, MINUTE_MS)
    assert catalogue.terminate_upload(done).state == "terminated"
    with pytest.raises(NotFound):
        a_final(catalogue, done)


def test_how_an_upload_stands_costs_one_query(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    asked: list[str] = []
    sa.event.listen(catalogue._db.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    standing = catalogue.upload_standing(upload.id)
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 1
    assert not [statement for statement in asked if not statement.startswith(("SELECT", "BEGIN"))]
    assert (standing.upload.offset_bytes, standing.upload.video, standing.is_held) == (0, upload.video, False)
    assert abs(standing.now_ms - catalogue.now_ms()) < 60_000


def test_who_writes_is_seen_as_long_as_the_lease_lasts(catalogue: SqlCatalogue) -> None:
    upload = catalogue.create_upload(a_new_upload())
    token = catalogue.acquire_upload(upload.id, "me", 60_000)
    assert catalogue.upload_standing(upload.id).is_held
    catalogue.release_upload(upload.id, token)
    assert not catalogue.upload_standing(upload.id).is_held
    catalogue.acquire_upload(upload.id, "me", 0)
    assert not catalogue.upload_standing(upload.id).is_held
    with pytest.raises(NotFound):
        catalogue.upload_standing(UploadId("nothing"))


def test_files_without_a_digest_are_found_while_they_are_kept(catalogue: SqlCatalogue) -> None:
    assert catalogue.undigested_uploads(10) == ()
    catalogue.create_upload(a_new_upload())  # not complete
    kept, gone, known = (an_uploaded_video(catalogue) for _ in range(3))
    catalogue.delete_video(gone[0])
    catalogue.set_upload_digest(known[1], "ab" * 32)
    assert [upload.id for upload in catalogue.undigested_uploads(10)] == [kept[1]]
    catalogue.set_upload_digest(kept[1], "")  # what nobody will know is not looked for again
    assert catalogue.undigested_uploads(10) == ()
    assert catalogue.upload(kept[1]).digest is None
