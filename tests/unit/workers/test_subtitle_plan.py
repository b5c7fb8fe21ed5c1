"""Which subtitles are published, and when."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from storage.jobs import JobKind, Lane, Segment, SubtitleSegments
from storage.media.ladder import SubtitleRendition
from storage.media.source import SubtitleTrack
from storage.subtitles import SubtitleRow
from tests.builders import a_film_plan, a_source, an_asset
from workers.ffmpeg.text import subtitles_command
from workers.flow import plan_jobs
from workers.planning.publication import PublicationPolicy, is_final, plan_publication
from workers.planning.subtitles import plan_subtitles, segment_edges

ENGLISH = SubtitleRendition(name="text-en", language="en", label="English", track_index=2)


def a_track(index: int = 2, language: str = "en", **changes: bool) -> SubtitleTrack:
    return SubtitleTrack(index=index, codec="subrip", language=language, **changes)


def stored(rendition: SubtitleRendition) -> SubtitleRow:
    segment = Segment(number=0, name="0-0123456789ab.vtt", start_ticks=0, duration_ticks=51_200, size_bytes=50)
    files = SubtitleSegments(
        rendition=rendition.name,
        whole_name="whole-0123456789ab.vtt",
        whole_size_bytes=80,
        timescale=12_800,
        segments=(segment,),
    )
    return SubtitleRow(rendition=rendition, whole_name=files.whole_name, stored=files)


def test_tracks_of_one_language_have_names_that_tell_them_apart() -> None:
    planned = plan_subtitles(
        (a_track(2, default=True), a_track(3, forced=True), a_track(4, for_deaf=True, default=True), a_track(5))
    )
    assert [one.name for one in planned] == ["text-en", "text-en-forced", "text-en-cc", "text-en-2"]
    assert [one.label for one in planned] == ["English", "English", "English (captions)", "English"]
    assert [one.default for one in planned] == [True, False, False, False]


def test_segments_are_those_of_the_video_to_its_end() -> None:
    plan = replace(a_film_plan(3), total_frames=275)
    assert [Fraction(edge, plan.ladder.timescale) for edge in segment_edges(plan)] == [0, 4, 8, 11]


def test_one_job_reads_all_tracks_after_what_makes_the_video_playable() -> None:
    plan = replace(a_film_plan(), subtitles=(ENGLISH, replace(ENGLISH, name="text-de")))
    jobs = plan_jobs(plan, Lane.BULK)
    (job,) = [job for job in jobs if job.kind is JobKind.SUBTITLES]
    assert (job.lane, job.payload) == (Lane.BULK, {"tracks": ["text-en", "text-de"]})
    assert job.order > max(other.order for other in jobs if other.lane is Lane.PLAYABLE)


ALL = {name: range(5) for name in ("240p", "480p", "720p", "audio-en")}


def test_subtitles_are_listed_once_the_film_is_whole() -> None:
    policy = PublicationPolicy()
    growing = plan_publication(an_asset(stored={**ALL, "720p": range(4)}, subtitles=(stored(ENGLISH),)), policy)
    whole = plan_publication(an_asset(stored=ALL, subtitles=(stored(ENGLISH),)), policy)
    assert growing is not None
    assert whole is not None
    assert growing.subtitles == ()
    assert [one.name for one in whole.subtitles] == ["text-en"]


def test_a_film_is_final_with_the_subtitles_of_its_source_and_waits_for_no_uploaded_ones() -> None:
    def final(*rows: SubtitleRow) -> bool:
        asset = an_asset(stored=ALL, subtitles=rows, storyboard={})
        presentation = plan_publication(asset, PublicationPolicy())
        assert presentation is not None
        return is_final(asset, presentation)

    uploaded = replace(ENGLISH, track_index=None)
    assert final()
    assert final(stored(ENGLISH))
    assert not final(SubtitleRow(rendition=ENGLISH))
    assert final(SubtitleRow(rendition=uploaded, whole_name="whole-0123456789ab.vtt"))


def test_the_command_maps_every_track_to_a_file_and_pins_what_may_run() -> None:
    argv = subtitles_command(
        a_source(start=Fraction(3, 2)),
        (ENGLISH, replace(ENGLISH, track_index=3)),
        input_path=Path("in"),
        output_paths=[Path("a.vtt"), Path("b.vtt")],
    )
    assert argv.count("-i") == 1
    maps = [argv[at + 1] for at, word in enumerate(argv) if word == "-map"]
    assert maps == ["0:2", "0:3"]
    assert argv[argv.index("-output_ts_offset") + 1] == "3598.500000"
    assert "subrip" in argv[argv.index("-codec_whitelist") + 1].split(",")
    assert "pgssub" not in argv[argv.index("-codec_whitelist") + 1].split(",")
