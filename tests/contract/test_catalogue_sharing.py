"""Deduplication: what is recognised, what is shared, and who drops it at the end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from storage.catalogue import NewUpload
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.moving import cancel_jobs
from storage.catalogue.sql.tables import jobs
from storage.errors import NotFound
from storage.ids import TenantId, VideoId
from storage.jobs import LANES_BY_URGENCY, JobKind, JobState, Lane, NewJob, Subtitled, SubtitleSegments
from storage.lifecycle import VideoState
from storage.media.encryption import Encryption
from storage.media.ladder import SubtitleRendition
from tests.builders import a_new_upload, a_published, an_encoded, an_inspected
from tests.journeys import HOUR_MS, MINUTE_MS, do, let_time_pass, take

DIGEST = "ab" * 32


def upload(
    catalogue: SqlCatalogue,
    digest: str | None = DIGEST,
    *,
    new: NewUpload | None = None,
    recipe: str = "1",
    encryption: Encryption | None = None,
) -> VideoId:
    """A video whose last byte has come."""
    made = catalogue.create_upload(new or a_new_upload())
    token = catalogue.acquire_upload(made.id, "writer", MINUTE_MS)
    if encryption is not None:
        catalogue.wish_encryption(made.video, encryption)
    catalogue.begin_source(made.id, token, "multipart")
    catalogue.record_progress(made.id, token, offset_bytes=made.length_bytes or 0, new_parts=(), tail=None)
    if digest is not None:
        catalogue.set_upload_digest(made.id, digest)
    catalogue.complete_upload(made.id, token, recipe=recipe)
    return made.video


def encode(catalogue: SqlCatalogue) -> None:
    """Everything that is to be done for the one video that waits."""
    do(catalogue, JobKind.INSPECT, an_inspected())
    do(catalogue, JobKind.ENCODE, an_encoded())
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1, 2, 3), "720p": (1, 2, 3)}))
    do(catalogue, JobKind.PUBLISH, a_published(revision=2, final=True))


def finish_rest(catalogue: SqlCatalogue, video: VideoId) -> None:
    """No job of a ready video is left: its thumbnails are of no interest here."""
    with catalogue._db.write() as tx:
        cancel_jobs(tx, video, None)


def a_finished_video(catalogue: SqlCatalogue, **options: object) -> VideoId:
    video = upload(catalogue, **options)  # type: ignore[arg-type]
    encode(catalogue)
    assert catalogue.video(video).state is VideoState.READY
    finish_rest(catalogue, video)
    return video


def test_the_same_file_is_ready_at_once(catalogue: SqlCatalogue) -> None:
    first = a_finished_video(catalogue)
    second = upload(catalogue)
    one, other = catalogue.video(first), catalogue.video(second)
    assert (other.state, other.progress, other.asset) == (VideoState.READY, 1.0, one.asset)
    assert (other.duration_ms, other.published) == (one.duration_ms, one.published)
    assert [note.code for note in other.notes][-1] == "reused"
    assert catalogue.published(second, "master.m3u8") == catalogue.published(first, "master.m3u8")
    assert catalogue.jobs(video=second) == ()
    told = [
        event.data["state"] for event in catalogue.events_after(0) if event.video == second and event.kind == "state"
    ]
    assert told == ["uploading", "inspecting", "encoding", "ready"]


def test_one_source_is_kept(catalogue: SqlCatalogue) -> None:
    first = a_finished_video(catalogue)
    second = upload(catalogue)
    let_time_pass(catalogue, HOUR_MS)
    doomed = {each.key for each in catalogue.doomed(100)}
    assert catalogue.video(second).source_key in doomed
    assert catalogue.video(first).source_key not in doomed


def test_subtitles_uploaded_through_one_are_cut_for_the_other(catalogue: SqlCatalogue) -> None:
    """Be their job waiting or taken: who gives it back gives it for the video that stays."""
    leaver = a_finished_video(catalogue)
    stayer = upload(catalogue)
    asset = catalogue.video(leaver).asset
    german = SubtitleRendition(name="text-de", language="de", label="German")
    french = SubtitleRendition(name="text-fr", language="fr", label="French")
    catalogue.put_subtitles(leaver, asset, german, "whole-00aa00aa00aa.vtt")
    taken = take(catalogue, JobKind.SUBTITLES)
    catalogue.put_subtitles(leaver, asset, french, "whole-00bb00bb00bb.vtt")
    catalogue.delete_video(leaver)
    catalogue.commit(taken.id, taken.token, Subtitled(tracks=(a_track("text-de", "whole-00aa00aa00aa.vtt"),)))
    do(catalogue, JobKind.SUBTITLES, Subtitled(tracks=(a_track("text-fr", "whole-00bb00bb00bb.vtt"),)))
    assert [row.stored is not None for row in catalogue.asset(asset).subtitles] == [True, True]
    assert take(catalogue, JobKind.PUBLISH).video == stayer


def test_of_two_that_have_something_to_publish_one_publication_is_left(catalogue: SqlCatalogue) -> None:
    leaver = a_finished_video(catalogue)
    stayer = upload(catalogue)
    for video in (leaver, stayer):
        catalogue.add_job(video, NewJob(kind=JobKind.PUBLISH, lane=Lane.PLAYABLE))
    catalogue.delete_video(leaver)
    assert take(catalogue, JobKind.PUBLISH).video == stayer
    catalogue.delete_video(stayer)
    assert catalogue.claim("worker", LANES_BY_URGENCY, MINUTE_MS) is None


def a_track(name: str, whole: str) -> SubtitleSegments:
    return SubtitleSegments(rendition=name, whole_name=whole, whole_size_bytes=80, timescale=12_800, segments=())


@pytest.mark.parametrize("leaves_first", [0, 1])
def test_deleting_one_keeps_the_other_and_deleting_both_drops_all(catalogue: SqlCatalogue, leaves_first: int) -> None:
    pair = [a_finished_video(catalogue), upload(catalogue)]
    asset = catalogue.video(pair[0]).asset
    leaver, stayer = pair[leaves_first], pair[1 - leaves_first]
    catalogue.delete_video(leaver)
    let_time_pass(catalogue, HOUR_MS)
    assert catalogue.published(stayer, "master.m3u8")[0] == asset
    assert catalogue.asset(asset).video == stayer
    assert [len(rendition.segments) for rendition in catalogue.asset(asset).renditions] == [4, 4]
    assert f"{asset}/" not in {each.prefix for each in catalogue.doomed(100)}
    with pytest.raises(NotFound):
        catalogue.published(leaver, "master.m3u8")
    catalogue.delete_video(stayer)
    let_time_pass(catalogue, HOUR_MS)
    assert f"{asset}/" in {each.prefix for each in catalogue.doomed(100)}
    assert catalogue.asset(asset).names == ()


def test_a_third_one_is_recognised_after_the_first_is_gone(catalogue: SqlCatalogue) -> None:
    first = a_finished_video(catalogue)
    second = upload(catalogue)
    catalogue.delete_video(first)
    third = upload(catalogue)
    assert catalogue.video(third).asset == catalogue.video(second).asset
    assert [note.code for note in catalogue.video(third).notes].count("reused") == 1


def test_audits_find_nothing_wrong_with_shared_assets(catalogue: SqlCatalogue) -> None:
    first = a_finished_video(catalogue)
    second = upload(catalogue)
    keys = {reference.key for reference in catalogue.holdings().references}
    catalogue.delete_video(first)
    left = {reference.key for reference in catalogue.holdings().references}
    assert keys - left == {catalogue.video(first).source_key}
    assert catalogue.holdings().stuck == ()
    assert catalogue.video(second).state is VideoState.READY


@pytest.mark.parametrize(
    "other",
    [
        {"digest": "cd" * 32},
        {"digest": None},
        {"recipe": "2"},
        {"new": replace(a_new_upload(), tenant=TenantId("another"))},
        {"encryption": Encryption.CBCS},
    ],
    ids=["other bytes", "unknown digest", "another recipe", "another tenant", "encrypted"],
)
def test_what_is_not_the_same_is_encoded(catalogue: SqlCatalogue, other: dict[str, object]) -> None:
    first = a_finished_video(catalogue)
    second = upload(catalogue, **other)  # type: ignore[arg-type]
    assert catalogue.video(second).state is VideoState.INSPECTING
    assert catalogue.video(second).asset != catalogue.video(first).asset


def sweep(catalogue: SqlCatalogue) -> dict[str, int]:
    """What it did for those who wait. (That bells are rung for jobs that were given back is not meant.)"""
    repairs = catalogue.sweep(max_kills=3, stale_bell_ms=100 * HOUR_MS).repairs
    return {rule: count for rule, count in repairs.items() if rule != "unheard_bell"}


def due(catalogue: SqlCatalogue) -> list[VideoId]:
    """The videos whose inspection may begin now; it is begun and given back."""
    taken = []
    while (job := catalogue.claim("worker", LANES_BY_URGENCY, MINUTE_MS)) is not None:
        taken.append(job)
    for job in taken:
        catalogue.release(job.id, job.token)
    return [job.video for job in taken]


def codes(catalogue: SqlCatalogue, video: VideoId) -> list[str]:
    return [note.code for note in catalogue.video(video).notes]


def test_what_is_at_work_already_is_waited_for_and_then_shared(catalogue: SqlCatalogue) -> None:
    first, second, third = (upload(catalogue) for _ in range(3))
    assert due(catalogue) == [first]
    assert (catalogue.video(second).state, codes(catalogue, second)) == (VideoState.INSPECTING, ["waits_for_same"])
    assert sweep(catalogue) == {}
    encode(catalogue)
    finish_rest(catalogue, first)
    assert sweep(catalogue) == {"reused": 2}
    for late in (second, third):
        assert (catalogue.video(late).state, catalogue.video(late).asset) == (
            VideoState.READY,
            catalogue.video(first).asset,
        )
        assert codes(catalogue, late)[-1] == "reused"
        assert "waits_for_same" not in codes(catalogue, late)
        assert {job.state for job in catalogue.jobs(video=late)} == {JobState.CANCELLED}
    assert sweep(catalogue) == {}
    catalogue.delete_video(first)
    catalogue.delete_video(second)
    assert catalogue.published(third, "master.m3u8")[0] == catalogue.video(third).asset


@pytest.mark.parametrize("end", ["deleted", "failed", "rejected"])
def test_who_waits_goes_to_work_when_the_first_comes_to_nothing(catalogue: SqlCatalogue, end: str) -> None:
    first, second, third = (upload(catalogue) for _ in range(3))
    match end:
        case "deleted":
            catalogue.delete_video(first)
        case "failed":
            job = take(catalogue, JobKind.INSPECT)
            catalogue.bury(job.id, job.token, "a bug")
        case _:
            job = take(catalogue, JobKind.INSPECT)
            catalogue.refuse(job.id, job.token, "not_media", "This is no video.")
    assert sweep(catalogue) == {"left_alone": 1}
    assert due(catalogue) == [second]
    assert codes(catalogue, second) == []
    assert sweep(catalogue) == {}
    encode(catalogue)
    finish_rest(catalogue, second)
    assert sweep(catalogue) == {"reused": 1}
    assert catalogue.video(third).asset == catalogue.video(second).asset


def test_nobody_waits_for_what_is_less_urgent(catalogue: SqlCatalogue) -> None:
    first = upload(catalogue, new=replace(a_new_upload(), lane=Lane.BULK))
    second = upload(catalogue, new=replace(a_new_upload(), lane=Lane.INTERACTIVE))
    assert set(due(catalogue)) == {first, second}


def test_who_waits_goes_to_work_by_itself_where_nobody_sweeps(catalogue: SqlCatalogue) -> None:
    upload(catalogue)
    second = upload(catalogue)
    let_time_pass(catalogue, HOUR_MS)
    assert second in due(catalogue)


def test_nobody_waits_for_ever(catalogue: SqlCatalogue) -> None:
    upload(catalogue)
    second = upload(catalogue)
    with catalogue._db.write() as tx:
        tx.execute(sa.update(jobs).values(created_at_ms=jobs.c.created_at_ms - 13 * HOUR_MS))
    assert sweep(catalogue) == {"left_alone": 1}
    assert second in due(catalogue)


def test_of_two_that_are_complete_at_the_same_moment_one_waits(catalogue: SqlCatalogue) -> None:
    for turn in range(10):
        digest, together = f"{turn:064x}", threading.Barrier(2)

        def complete(digest: str = digest, together: threading.Barrier = together) -> VideoId:
            made = catalogue.create_upload(a_new_upload())
            token = catalogue.acquire_upload(made.id, "writer", MINUTE_MS)
            catalogue.record_progress(made.id, token, offset_bytes=made.length_bytes or 0, new_parts=(), tail=None)
            catalogue.set_upload_digest(made.id, digest)
            together.wait(60)
            catalogue.complete_upload(made.id, token, recipe="1")
            return made.video

        with ThreadPoolExecutor(2) as pool:
            pair = [each.result() for each in [pool.submit(complete) for _ in range(2)]]
        assert sorted(codes(catalogue, video) for video in pair) == [[], ["waits_for_same"]]


def test_a_deleted_video_is_not_recognised(catalogue: SqlCatalogue) -> None:
    catalogue.delete_video(a_finished_video(catalogue))
    assert catalogue.video(upload(catalogue)).state is VideoState.INSPECTING


def test_recognising_can_be_switched_off() -> None:
    catalogue = SqlCatalogue.in_memory(deduplicates=False)
    a_finished_video(catalogue)
    assert catalogue.video(upload(catalogue)).state is VideoState.INSPECTING
    catalogue.close()
