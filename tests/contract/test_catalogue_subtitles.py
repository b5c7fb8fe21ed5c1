"""Subtitles of the source and uploaded ones: rows, jobs, and what becomes of their files. The same on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.dooming import doom_superseded
from storage.catalogue.sql.tables import doomed
from storage.errors import Conflict, IllegalTransition, NotFound, TooLarge
from storage.ids import AssetId, VideoId
from storage.jobs import JobKind, Segment, Subtitled, SubtitleSegments
from storage.media.ladder import SubtitleRendition
from storage.subtitles import MOST_TRACKS, keys_of
from tests.builders import a_new_job, a_note, a_published, an_encode_plan, an_inspected
from tests.journeys import HOUR_MS, a_playable_video, an_encoding_video, an_uploaded_video, do, let_time_pass, take

IN_SOURCE = SubtitleRendition(name="text-en", language="en", label="English", track_index=2, default=True)
UPLOADED = SubtitleRendition(name="text-de", language="de", label="German", for_deaf=True)


def with_text(catalogue: SqlCatalogue) -> VideoId:
    return an_encoding_video(catalogue, an_inspected(plan=replace(an_encode_plan(), subtitles=(IN_SOURCE,))))


def files(rendition: str, whole: str = "whole-0123456789ab.vtt") -> SubtitleSegments:
    segment = Segment(number=0, name="0-0123456789ab.vtt", start_ticks=0, duration_ticks=51_200, size_bytes=50)
    return SubtitleSegments(
        rendition=rendition, whole_name=whole, whole_size_bytes=80, timescale=12_800, segments=(segment,)
    )


def asset_of(catalogue: SqlCatalogue, video: VideoId) -> AssetId:
    return catalogue.video(video).asset


def put(catalogue: SqlCatalogue, video: VideoId, whole: str = "whole-00aa00aa00aa.vtt") -> None:
    catalogue.put_subtitles(video, asset_of(catalogue, video), UPLOADED, whole)


def doomed_keys(catalogue: SqlCatalogue) -> set[str | None]:
    with catalogue._db.read() as tx:
        return {row.key for row in tx.all(sa.select(doomed))}


def test_what_the_plan_names_waits_for_its_job(catalogue: SqlCatalogue) -> None:
    video = with_text(catalogue)
    (row,) = catalogue.asset(asset_of(catalogue, video)).subtitles
    assert (row.rendition, row.stored, row.is_uploaded) == (IN_SOURCE, None, False)


def test_a_job_stores_its_tracks_and_lets_what_it_could_not_read_go(catalogue: SqlCatalogue) -> None:
    second = replace(IN_SOURCE, name="text-fr")
    plan = replace(an_encode_plan(), subtitles=(IN_SOURCE, second))
    video = an_encoding_video(catalogue, an_inspected(plan=plan))
    catalogue.add_job(video, a_new_job(JobKind.SUBTITLES, payload={"tracks": ["text-en", "text-fr"]}))
    before = catalogue.asset(asset_of(catalogue, video)).revision
    do(catalogue, JobKind.SUBTITLES, Subtitled(tracks=(files("text-en"),), notes=(a_note("subtitles_unreadable"),)))
    asset = catalogue.asset(asset_of(catalogue, video))
    assert [(row.rendition, row.stored) for row in asset.subtitles] == [(IN_SOURCE, files("text-en"))]
    assert asset.revision == before + 1
    assert [note.code for note in catalogue.video(video).notes] == ["subtitles_unreadable"]
    take(catalogue, JobKind.PUBLISH)


def test_uploaded_subtitles_get_a_job_and_come_after_those_of_the_source(catalogue: SqlCatalogue) -> None:
    video = with_text(catalogue)
    put(catalogue, video)
    job = take(catalogue, JobKind.SUBTITLES)
    assert job.payload == {"tracks": ["text-de"], "whole": "whole-00aa00aa00aa.vtt"}
    rows = catalogue.asset(asset_of(catalogue, video)).subtitles
    assert [row.rendition.name for row in rows] == ["text-en", "text-de"]
    assert (rows[1].is_uploaded, rows[1].whole_name) == (True, "whole-00aa00aa00aa.vtt")


def test_what_was_replaced_meanwhile_is_not_overwritten_by_the_older_job(catalogue: SqlCatalogue) -> None:
    video = with_text(catalogue)
    put(catalogue, video, "whole-00aa00aa00aa.vtt")
    old = take(catalogue, JobKind.SUBTITLES)
    put(catalogue, video, "whole-00bb00bb00bb.vtt")
    catalogue.commit(old.id, old.token, Subtitled(tracks=(files("text-de", "whole-00aa00aa00aa.vtt"),)))
    row = catalogue.asset(asset_of(catalogue, video)).subtitles[1]
    assert (row.whole_name, row.stored) == ("whole-00bb00bb00bb.vtt", None)
    prefix = f"{asset_of(catalogue, video)}/text-de"
    assert {f"{prefix}/whole-00aa00aa00aa.vtt", f"{prefix}/0-0123456789ab.vtt"} <= doomed_keys(catalogue)
    newer = files("text-de", "whole-00bb00bb00bb.vtt")
    do(catalogue, JobKind.SUBTITLES, Subtitled(tracks=(newer,)))
    assert catalogue.asset(asset_of(catalogue, video)).subtitles[1].stored == newer


def test_a_job_given_up_leaves_no_row_behind_but_a_newer_one(catalogue: SqlCatalogue) -> None:
    video = with_text(catalogue)
    put(catalogue, video, "whole-00aa00aa00aa.vtt")
    do(catalogue, JobKind.SUBTITLES, Subtitled(tracks=()))
    assert [row.rendition.name for row in catalogue.asset(asset_of(catalogue, video)).subtitles] == ["text-en"]


def test_deleted_subtitles_are_left_out_by_a_publication_of_their_own(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    put(catalogue, video)
    do(catalogue, JobKind.SUBTITLES, Subtitled(tracks=(files("text-de", "whole-00aa00aa00aa.vtt"),)))
    do(catalogue, JobKind.PUBLISH, a_published(revision=2))
    catalogue.delete_subtitles(video, "text-de")
    assert catalogue.asset(asset_of(catalogue, video)).subtitles == ()
    take(catalogue, JobKind.PUBLISH)
    assert f"{asset_of(catalogue, video)}/text-de/0-0123456789ab.vtt" in doomed_keys(catalogue)
    with pytest.raises(NotFound):
        catalogue.delete_subtitles(video, "text-de")


def cut(catalogue: SqlCatalogue, video: VideoId, words: str) -> set[str]:
    """Upload a text of three segments, of the words a, b, … each, and have it cut: the keys that it is stored under."""
    whole = f"whole-00000000{words}0.vtt"
    put(catalogue, video, whole)
    do(catalogue, JobKind.SUBTITLES, Subtitled(tracks=(text(words, whole),)))
    do(catalogue, JobKind.PUBLISH, a_published(revision=catalogue.asset(asset_of(catalogue, video)).revision))
    return keys_stored(catalogue, video)


def text(words: str, whole: str) -> SubtitleSegments:
    segments = tuple(
        Segment(number=number, name=f"{number}-00000000000{word}.vtt", start_ticks=0, duration_ticks=1, size_bytes=50)
        for number, word in enumerate(words)
    )
    return SubtitleSegments(
        rendition="text-de", whole_name=whole, whole_size_bytes=80, timescale=12_800, segments=segments
    )


def keys_stored(catalogue: SqlCatalogue, video: VideoId) -> set[str]:
    asset = asset_of(catalogue, video)
    return {key for row in catalogue.asset(asset).subtitles if row.stored for key, _ in keys_of(asset, row.stored)}


def keys_that_go(catalogue: SqlCatalogue) -> set[str | None]:
    """After all graces."""
    let_time_pass(catalogue, HOUR_MS)
    return {entry.key for entry in catalogue.doomed(100)}


def test_one_word_corrected_lets_only_the_old_word_go(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    before, after = cut(catalogue, video, "abc"), cut(catalogue, video, "adc")
    assert len(before & after) == 2
    assert keys_that_go(catalogue) >= before - after
    assert not keys_that_go(catalogue) & after


@pytest.mark.parametrize("between", ["delete", "another"])
def test_a_text_that_comes_back_has_all_its_segments(catalogue: SqlCatalogue, between: str) -> None:
    video = a_playable_video(catalogue)
    cut(catalogue, video, "abc")
    if between == "delete":
        catalogue.delete_subtitles(video, "text-de")
    else:
        cut(catalogue, video, "adc")
    stored = cut(catalogue, video, "abc")
    assert len(stored) == 4
    assert not keys_that_go(catalogue) & stored


def test_what_an_older_job_made_too_late_takes_nothing_from_the_newer_text(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    put(catalogue, video, "whole-00aa00aa00aa.vtt")
    old = take(catalogue, JobKind.SUBTITLES)
    put(catalogue, video, "whole-00bb00bb00bb.vtt")
    do(catalogue, JobKind.SUBTITLES, Subtitled(tracks=(text("abc", "whole-00bb00bb00bb.vtt"),)))
    catalogue.commit(old.id, old.token, Subtitled(tracks=(text("abd", "whole-00aa00aa00aa.vtt"),)))
    going = keys_that_go(catalogue)
    assert not going & keys_stored(catalogue, video)
    assert f"{asset_of(catalogue, video)}/text-de/2-00000000000d.vtt" in going


def test_nothing_goes_while_a_text_is_cut_that_may_be_made_of_it(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    cut(catalogue, video, "abc")
    let_time_pass(catalogue, HOUR_MS)
    catalogue.delete_subtitles(video, "text-de")
    let_time_pass(catalogue, HOUR_MS)
    listed = [entry for entry in catalogue.doomed(100) if entry.key and "/text-de/" in entry.key]
    assert len(listed) == 4
    assert all(catalogue.may_go(entry) for entry in listed)
    put(catalogue, video)
    assert not any(catalogue.may_go(entry) for entry in listed)
    assert not {entry.id for entry in listed} & {entry.id for entry in catalogue.doomed(100)}


def test_what_rows_name_is_spared_even_where_it_was_doomed_before_that_was_looked_at(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    stored = cut(catalogue, video, "abc")
    with catalogue._db.write() as tx:
        doom_superseded(tx, stored)
    assert not keys_that_go(catalogue) & stored


def test_videos_that_nobody_encodes_or_plays_take_no_subtitles(catalogue: SqlCatalogue) -> None:
    uploading, _ = an_uploaded_video(catalogue)
    with pytest.raises(IllegalTransition):
        put(catalogue, uploading)
    deleted = a_playable_video(catalogue)
    catalogue.delete_video(deleted)
    with pytest.raises(IllegalTransition):
        put(catalogue, deleted)
    with pytest.raises(NotFound):
        catalogue.put_subtitles(VideoId("nobody"), AssetId("a-0"), UPLOADED, "whole-00aa00aa00aa.vtt")


def test_subtitles_for_another_asset_and_too_many_are_refused(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    with pytest.raises(Conflict):
        catalogue.put_subtitles(video, AssetId("a-older"), UPLOADED, "whole-00aa00aa00aa.vtt")
    for number in range(MOST_TRACKS):
        one = replace(UPLOADED, name=f"text-{number}")
        catalogue.put_subtitles(video, asset_of(catalogue, video), one, "whole-00aa00aa00aa.vtt")
    with pytest.raises(TooLarge):
        put(catalogue, video)


def test_an_audit_knows_the_files_of_subtitles(catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    put(catalogue, video)
    prefix = f"{asset_of(catalogue, video)}/text-de"
    known = {reference.key: reference.size_bytes for reference in catalogue.holdings().references}
    assert known[f"{prefix}/whole-00aa00aa00aa.vtt"] is None
    do(catalogue, JobKind.SUBTITLES, Subtitled(tracks=(files("text-de", "whole-00aa00aa00aa.vtt"),)))
    known = {reference.key: reference.size_bytes for reference in catalogue.holdings().references}
    assert known[f"{prefix}/whole-00aa00aa00aa.vtt"] == 80
    assert known[f"{prefix}/0-0123456789ab.vtt"] == 50
