"""Commits: what each outcome makes true, and what is refused as a whole."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.errors import Conflict, InitMismatch, StaleLease
from storage.ids import VideoId
from storage.jobs import IFrame, JobKind, JobState, Lane, Thumbnailed
from storage.lifecycle import VideoState
from tests.builders import (
    a_new_job,
    a_note,
    a_published,
    a_published_name,
    a_segment,
    a_source,
    a_thumbnailed,
    an_audio_rendition,
    an_encode_plan,
    an_encoded,
    an_inspected,
    some_rendition_segments,
)
from tests.journeys import (
    HOUR_MS,
    a_playable_video,
    a_ready_video,
    an_encoding_video,
    an_uploaded_video,
    do,
    let_time_pass,
    take,
)

# --- Inspected -------------------------------------------------------------------------------------------------------


def test_an_inspection_fixes_source_plan_renditions_and_jobs(catalogue: SqlCatalogue) -> None:
    video, _ = an_uploaded_video(catalogue)
    plan = an_encode_plan(audio=(an_audio_rendition(),))
    job = take(catalogue, JobKind.INSPECT)
    jobs = (
        a_new_job(JobKind.ENCODE, Lane.PLAYABLE),
        a_new_job(JobKind.AUDIO, Lane.PLAYABLE),
        a_new_job(JobKind.ENCODE, Lane.BULK),
    )
    committed = catalogue.commit(job.id, job.token, an_inspected(plan=plan, notes=(a_note(),), jobs=jobs))
    assert committed.bells == {Lane.PLAYABLE: 2, Lane.BULK: 1}
    assert committed.video_state is VideoState.ENCODING
    stored, asset = catalogue.video(video), catalogue.asset(job.asset)
    assert (stored.duration_ms, stored.notes, stored.progress) == (16_000, (a_note(),), 0.0)
    assert (asset.source, asset.plan, asset.revision) == (a_source(), plan, 0)
    assert [row.name for row in asset.renditions] == ["360p", "720p", "audio-en"]
    assert [row.rung for row in asset.renditions] == [*plan.ladder.rungs, None]
    assert asset.renditions[2].audio == plan.audio[0]
    assert asset.renditions[0].init_name is None
    assert {it.recipe for it in catalogue.jobs(video=video)} == {"1"}
    assert [it.state for it in catalogue.jobs(video=video) if it.kind is JobKind.INSPECT] == [JobState.DONE]


# --- Encoded ---------------------------------------------------------------------------------------------------------


def test_segments_are_kept_with_their_iframes_in_order(catalogue: SqlCatalogue) -> None:
    an_encoding_video(catalogue)
    segments = tuple(
        a_segment(number, iframes=(IFrame(offset=0, size=90, duration_ticks=25_600),)) for number in (2, 0, 10, 1)
    )
    output = replace(some_rendition_segments("720p"), segments=segments)
    job = do(catalogue, JobKind.ENCODE, an_encoded(outputs=(output,)))
    low, high = catalogue.asset(job.asset).renditions
    assert [segment.number for segment in high.segments] == [0, 1, 2, 10]
    assert high.segments[0] == segments[1]
    assert (high.init_name, high.codecs, high.timescale, high.fingerprint) == (
        output.init_name,
        output.codecs,
        output.timescale,
        output.fingerprint,
    )
    assert (low.segments, low.init_name) == ((), None)
    assert catalogue.asset(job.asset, with_segments=False).renditions[1] == replace(high, segments=())


def test_progress_is_the_share_of_all_segments(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)  # two renditions of four segments
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (0,)}))
    assert catalogue.video(video).progress == 1 / 8
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1, 2, 3), "720p": (0, 1)}))
    assert catalogue.video(video).progress == 6 / 8
    assert catalogue.events_after(0)[-1].data["progress"] == 6 / 8


def test_every_commit_that_a_manifest_may_show_raises_the_revision(catalogue: SqlCatalogue) -> None:
    an_encoding_video(catalogue)
    job = do(catalogue, JobKind.ENCODE, an_encoded())
    assert catalogue.asset(job.asset).revision == 1
    do(catalogue, JobKind.THUMBNAILS, a_thumbnailed())
    assert catalogue.asset(job.asset).revision == 2


@pytest.mark.parametrize(
    "difference",
    [
        {"init_name": "init-ffffffffffff.mp4"},
        {"codecs": "avc1.640028"},
        {"timescale": 25_600},
        {"fingerprint": "x264 of another build"},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_a_chunk_encoded_otherwise_is_refused_whole(catalogue: SqlCatalogue, difference: dict[str, object]) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded())
    before, progress = catalogue.asset(catalogue.video(video).asset), catalogue.video(video).progress
    job = take(catalogue, JobKind.ENCODE)
    odd = an_encoded(
        outputs=(some_rendition_segments("360p", 1), some_rendition_segments("720p", 1, **difference)),
        notes=(a_note(),),
    )
    with pytest.raises(InitMismatch):
        catalogue.commit(job.id, job.token, odd)
    assert catalogue.asset(job.asset) == before
    assert catalogue.video(video).progress == progress
    assert catalogue.video(video).notes == ()
    assert [it.id for it in catalogue.jobs(video=video, state=JobState.LEASED)] == [job.id]


def test_the_same_segments_again_change_nothing(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    job = do(catalogue, JobKind.ENCODE, an_encoded({"360p": (0, 1)}))
    before = catalogue.asset(job.asset).renditions
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (0, 1)}))
    assert catalogue.asset(job.asset).renditions == before
    assert catalogue.video(video).progress == 2 / 8
    let_time_pass(catalogue, HOUR_MS)
    assert not any("360p" in (it.key or "") for it in catalogue.doomed(100))


def test_other_bytes_for_a_stored_segment_do_not_replace_it(catalogue: SqlCatalogue) -> None:
    an_encoding_video(catalogue)
    job = do(catalogue, JobKind.ENCODE, an_encoded({"360p": (0,)}))
    kept = catalogue.asset(job.asset).renditions
    other = replace(some_rendition_segments("360p"), segments=(a_segment(0, name="0-ffffffffffff.m4s"),))
    do(catalogue, JobKind.ENCODE, an_encoded(outputs=(other,)))
    assert catalogue.asset(job.asset).renditions == kept
    let_time_pass(catalogue, HOUR_MS)
    assert f"{job.asset}/360p/0-ffffffffffff.m4s" in {it.key for it in catalogue.doomed(100)}


def test_a_segment_of_another_time_or_rendition_is_refused(catalogue: SqlCatalogue) -> None:
    an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (0,)}))
    job = take(catalogue, JobKind.ENCODE)
    shifted = replace(some_rendition_segments("360p"), segments=(a_segment(0, duration_ticks=51_199),))
    with pytest.raises(Conflict):
        catalogue.commit(job.id, job.token, an_encoded(outputs=(shifted,)))
    with pytest.raises(Conflict):
        catalogue.commit(job.id, job.token, an_encoded({"1080p": (0,)}))


def test_notes_gather_and_are_said_once(catalogue: SqlCatalogue) -> None:
    first, second = a_note("a", "A."), a_note("b", "B.")
    video = an_encoding_video(catalogue, an_inspected(notes=(first,)))
    do(catalogue, JobKind.ENCODE, an_encoded(notes=(first, second)))
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1,)}, notes=(second,)))
    assert catalogue.video(video).notes == (first, second)


# --- Thumbnailed -----------------------------------------------------------------------------------------------------


def test_thumbnails_bring_names_that_publishing_leaves_alone(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    job = do(catalogue, JobKind.THUMBNAILS, a_thumbnailed())
    assert catalogue.asset(job.asset).storyboard == a_thumbnailed().storyboard
    do(catalogue, JobKind.PUBLISH, a_published(revision=2))
    assert catalogue.video(video).published == {"master.m3u8", "poster.jpg"}


TILES = tuple(f"storyboard/{number}-0123456789ab.jpg" for number in range(3))


def a_part(*numbers: int, poster: bool = False) -> Thumbnailed:
    tiles = tuple(a_published_name(TILES[number], f"a-0/{TILES[number]}") for number in numbers)
    names = (*(a_thumbnailed().names if poster else ()), *tiles)
    return a_thumbnailed(names=names, storyboard=a_thumbnailed().storyboard | {"tiles": list(TILES)}, part=True)


def a_film_with_parts(catalogue: SqlCatalogue, parts: int = 3) -> VideoId:
    """Playable; its storyboard is made by so many jobs."""
    jobs = tuple(a_new_job(JobKind.THUMBNAILS, Lane.BULK, payload={"tiles": [at, at + 1]}) for at in range(parts))
    others = tuple(job for job in an_inspected().jobs if job.kind is not JobKind.THUMBNAILS)
    video = an_encoding_video(catalogue, an_inspected(jobs=(*others, *jobs)))
    do(catalogue, JobKind.ENCODE, an_encoded())
    do(catalogue, JobKind.PUBLISH, a_published(revision=1))
    return video


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_a_storyboard_in_parts_is_there_with_the_last_of_them(catalogue: SqlCatalogue, order: tuple[int, ...]) -> None:
    video = a_film_with_parts(catalogue)
    for number in order:
        job = take(catalogue, JobKind.THUMBNAILS)
        assert catalogue.asset(job.asset).storyboard is None
        committed = catalogue.commit(job.id, job.token, a_part(number, poster=number == 0))
        assert committed.bells == ({Lane.PLAYABLE: 1} if number == order[-1] else {})
    asset = catalogue.asset(job.asset)
    assert asset.storyboard == a_part(0).storyboard
    assert asset.revision == 2
    assert catalogue.video(video).published == {"master.m3u8", "poster.jpg", *TILES}


def test_a_part_whose_worker_died_is_made_again_and_counted_once(catalogue: SqlCatalogue) -> None:
    video = a_film_with_parts(catalogue)
    dead = take(catalogue, JobKind.THUMBNAILS, worker="dead")
    do(catalogue, JobKind.THUMBNAILS, a_part(1))
    let_time_pass(catalogue, HOUR_MS)
    catalogue.sweep(max_kills=3, stale_bell_ms=HOUR_MS)
    do(catalogue, JobKind.THUMBNAILS, a_part(0, poster=True))
    with pytest.raises(StaleLease):
        catalogue.commit(dead.id, dead.token, a_part(0, poster=True))
    assert catalogue.asset(dead.asset).storyboard is None
    do(catalogue, JobKind.THUMBNAILS, a_part(2))
    assert catalogue.asset(dead.asset).storyboard == a_part(0).storyboard
    assert catalogue.video(video).published == {"master.m3u8", "poster.jpg", *TILES}


GIVEN_UP = Thumbnailed(names=(), storyboard={})


@pytest.mark.parametrize("at", range(3))
def test_without_one_of_its_parts_there_is_no_storyboard_but_a_poster(catalogue: SqlCatalogue, at: int) -> None:
    video = a_film_with_parts(catalogue)
    for number in range(3):
        outcome = GIVEN_UP if number == at else a_part((number + 2) % 3, poster=number == 1)
        job = do(catalogue, JobKind.THUMBNAILS, outcome)
    assert catalogue.asset(job.asset).storyboard == {}
    assert catalogue.video(video).published - {"poster.jpg"} == {"master.m3u8"}
    assert ("poster.jpg" in catalogue.video(video).published) == (at != 1)


@pytest.mark.parametrize("after", [GIVEN_UP, a_part(0, poster=True), a_part(2)], ids=["given up", "first", "last"])
def test_a_storyboard_made_whole_by_a_worker_that_knows_no_parts_stays(
    catalogue: SqlCatalogue, after: Thumbnailed
) -> None:
    video = a_film_with_parts(catalogue)
    whole = "storyboard/0-ba9876543210.jpg"
    tile = a_published_name(whole, f"a-0/{whole}")
    do(catalogue, JobKind.THUMBNAILS, a_part(1))
    names = (*a_thumbnailed().names, tile)
    do(catalogue, JobKind.THUMBNAILS, a_thumbnailed(names=names, storyboard={"tiles": [whole]}))
    job = do(catalogue, JobKind.THUMBNAILS, after)
    assert catalogue.asset(job.asset).storyboard == {"tiles": [whole]}
    assert catalogue.video(video).published == {"master.m3u8", "poster.jpg", whole}


# --- Published -------------------------------------------------------------------------------------------------------


def test_publishing_moves_a_video_to_playable_and_to_ready(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    playable = catalogue.video(video)
    assert (playable.state, playable.ready_at_ms) == (VideoState.PLAYABLE, None)
    assert playable.playable_at_ms is not None
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1, 2, 3), "720p": (1, 2, 3)}))
    job = take(catalogue, JobKind.PUBLISH)
    committed = catalogue.commit(job.id, job.token, a_published(revision=2, final=True))
    assert (committed.video_state, committed.bells) == (VideoState.READY, {})
    ready = catalogue.video(video)
    assert (ready.progress, ready.playable_at_ms) == (1.0, playable.playable_at_ms)
    assert ready.ready_at_ms is not None


def test_a_short_video_is_ready_without_having_been_playable(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (0, 1, 2, 3), "720p": (0, 1, 2, 3)}))
    do(catalogue, JobKind.PUBLISH, a_published(revision=1, final=True))
    ready = catalogue.video(video)
    assert ready.state is VideoState.READY
    assert ready.playable_at_ms == ready.ready_at_ms


def test_nothing_to_show_yet_publishes_nothing(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (2,)}))
    job = do(catalogue, JobKind.PUBLISH, a_published(revision=1, names=(), playable=False))
    assert catalogue.video(video).state is VideoState.ENCODING
    assert catalogue.asset(job.asset).published_revision == 1
    assert catalogue.sweep(max_kills=3, stale_bell_ms=HOUR_MS).repairs == {}


def test_names_are_swapped_in_one_go_and_old_versions_go_after_a_grace(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded())
    old = (
        a_published_name("master.m3u8", "a-0/master-1.m3u8"),
        a_published_name("360p/media.m3u8", "a-0/360p/media-1.m3u8"),
    )
    new = (
        a_published_name("master.m3u8", "a-0/master-1.m3u8"),
        a_published_name("720p/media.m3u8", "a-0/720p/media-2.m3u8"),
    )
    do(catalogue, JobKind.PUBLISH, a_published(revision=1, names=old))
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1,), "720p": (1,)}))
    job = do(catalogue, JobKind.PUBLISH, a_published(revision=2, names=new))
    assert set(catalogue.asset(job.asset).names) == set(new)
    superseded = "a-0/360p/media-1.m3u8"
    let_time_pass(catalogue, 5 * 60_000)
    assert superseded not in {it.key for it in catalogue.doomed(100)}
    let_time_pass(catalogue, HOUR_MS)
    assert {it.key for it in catalogue.doomed(100)} == {superseded, None}
    assert catalogue.video(video).published == {"master.m3u8", "720p/media.m3u8"}


def test_a_version_that_comes_back_is_spared(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    for revision, version in enumerate(("one", "two", "one"), start=1):
        catalogue.add_job(video, a_new_job())
        do(catalogue, JobKind.ENCODE, an_encoded({"360p": (revision - 1,)}))
        names = (a_published_name(key=f"a-0/{version}.m3u8"),)
        do(catalogue, JobKind.PUBLISH, a_published(revision=revision, names=names))
    let_time_pass(catalogue, HOUR_MS)
    assert {it.key for it in catalogue.doomed(100) if it.key} == {"a-0/two.m3u8"}


def test_an_older_revision_never_replaces_a_newer_one(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded())
    slow = take(catalogue, JobKind.PUBLISH)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1, 2, 3), "720p": (1, 2, 3)}))
    newer = (a_published_name(key="a-0/newer.m3u8"),)
    do(catalogue, JobKind.PUBLISH, a_published(revision=2, names=newer, final=True))
    older = (a_published_name(key="a-0/older.m3u8"),)
    catalogue.commit(slow.id, slow.token, a_published(revision=1, names=older))
    asset = catalogue.asset(slow.asset)
    assert (asset.names, asset.published_revision) == (newer, 2)
    assert catalogue.video(video).state is VideoState.READY
    let_time_pass(catalogue, HOUR_MS)
    assert "a-0/older.m3u8" in {it.key for it in catalogue.doomed(100)}, "nothing ever pointed at it"


def test_a_revision_raised_while_publishing_is_left_to_its_own_job(catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded())
    publishing = take(catalogue, JobKind.PUBLISH)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1,), "720p": (1,)}))
    catalogue.commit(publishing.id, publishing.token, a_published(revision=1))
    assert catalogue.video(video).state is VideoState.PLAYABLE
    ready = [it.kind for it in catalogue.jobs(video=video, state=JobState.READY)]
    assert ready.count(JobKind.PUBLISH) == 1


def test_thumbnails_after_ready_are_taken_in_and_published(catalogue: SqlCatalogue) -> None:
    video = a_ready_video(catalogue)
    do(catalogue, JobKind.THUMBNAILS, a_thumbnailed())
    do(catalogue, JobKind.PUBLISH, a_published(revision=3, final=True))
    ready = catalogue.video(video)
    assert ready.state is VideoState.READY
    assert "poster.jpg" in ready.published


def test_renditions_that_come_later_are_told(catalogue: SqlCatalogue) -> None:
    a_playable_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1,), "720p": (1,)}))
    before = catalogue.last_event_id()
    more = (a_published_name(), a_published_name("720p/media.m3u8", "a-0/720p/media-2.m3u8"))
    do(catalogue, JobKind.PUBLISH, a_published(revision=2, names=more))
    assert [(it.kind, it.data["state"]) for it in catalogue.events_after(before)] == [("state", "playable")]


# --- after the end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancel", "delete", "reject", "fail", "retry"])
def test_a_commit_after_the_end_is_refused(catalogue: SqlCatalogue, end: str) -> None:
    video = an_encoding_video(catalogue)
    job = take(catalogue, JobKind.ENCODE)
    match end:
        case "cancel":
            catalogue.cancel_video(video)
        case "delete":
            catalogue.delete_video(video)
        case "reject":
            catalogue.reject_video(video, "code", "Why.")
        case "fail":
            catalogue.fail_video(video, "code", "Why.")
        case _:
            catalogue.fail_video(video, "code", "Why.")
            catalogue.retry_video(video, recipe="1")
    with pytest.raises(StaleLease):
        catalogue.commit(job.id, job.token, an_encoded())
    assert all(row.segments == () for row in catalogue.asset(job.asset).renditions)


def test_a_job_is_committed_once(catalogue: SqlCatalogue) -> None:
    an_encoding_video(catalogue)
    job = do(catalogue, JobKind.ENCODE, an_encoded())
    with pytest.raises(StaleLease):
        catalogue.commit(job.id, job.token, an_encoded())
    assert catalogue.asset(job.asset).revision == 1
