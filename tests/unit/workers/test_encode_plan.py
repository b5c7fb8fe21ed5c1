"""The plan as a whole: what is refused, what is noted, which jobs follow, and how it is told."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from storage.errors import UnsupportedSource
from storage.jobs import JobKind, Lane
from storage.media.source import FieldOrder, OtherTrack, SubtitleTrack
from tests.builders import a_source, a_video_track, an_audio_track
from workers.flow import plan_jobs
from workers.planning.encode_plan import plan_encode, plan_notes
from workers.planning.policy import DEFAULT_POLICY
from workers.planning.report import Workplace, describe_plan, describe_source


@pytest.mark.parametrize(
    ("changes", "reason_code"),
    [
        pytest.param({"video": None, "duration": Fraction(10**6)}, "too_long", id="eleven days of sound"),
        pytest.param({"video": a_video_track(width=1, height=1)}, "picture_too_small", id="a tracking pixel"),
        pytest.param({"video": a_video_track(width=16_000, height=16_000)}, "picture_too_large", id="a bomb"),
        pytest.param({"video": a_video_track(sample_aspect=Fraction(20))}, "picture_too_large", id="a stretched one"),
        pytest.param({"duration": Fraction(10**6)}, "too_long", id="a film of eleven days"),
        pytest.param(
            {"others": tuple(OtherTrack(index=n, kind="data", codec="x") for n in range(2, 200))},
            "too_many_tracks",
            id="two hundred tracks",
        ),
    ],
)
def test_absurd_sources_are_refused_with_a_sentence(changes: dict[str, object], reason_code: str) -> None:
    with pytest.raises(UnsupportedSource) as refused:
        plan_encode(a_source(**changes), DEFAULT_POLICY)
    assert refused.value.reason_code == reason_code
    assert refused.value.sentence.endswith(".")


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        pytest.param({}, [], id="nothing to say"),
        pytest.param({"video": a_video_track(steady=False)}, ["frame_rate_evened"], id="varying"),
        pytest.param({"video": a_video_track(frame_rate=Fraction(120))}, ["frame_rate_lowered"], id="120 fps"),
        pytest.param({"video": a_video_track(field_order=FieldOrder.INTERLACED)}, ["deinterlaced"], id="interlaced"),
        pytest.param({"video": a_video_track(color_transfer="smpte2084", bit_depth=10)}, ["tone_mapped"], id="HDR"),
        pytest.param({"video": a_video_track(bit_depth=10)}, ["reduced_depth"], id="10 bit"),
        pytest.param({"video": a_video_track(width=7680, height=4320)}, ["scaled_down"], id="8K"),
        pytest.param({"video": a_video_track(width=161, height=121)}, [], id="one odd line"),
        pytest.param({"audio": (an_audio_track(channels=6),)}, [], id="surround"),
        pytest.param({"audio": (an_audio_track(channels=4),)}, ["downmixed"], id="four channels"),
        pytest.param({"audio": (an_audio_track(channels=8),)}, ["fewer_channels"], id="7.1"),
        pytest.param(
            {"audio": (an_audio_track(index=1), an_audio_track(index=2))}, ["audio_left_out"], id="two of one language"
        ),
    ],
)
def test_what_the_plan_changes_is_noted(changes: dict[str, object], codes: list[str]) -> None:
    source = a_source(**changes)
    assert [note.code for note in plan_notes(source, plan_encode(source, DEFAULT_POLICY))] == codes


def test_jobs_make_it_playable_first_and_then_follow_the_film() -> None:
    source = a_source(duration=Fraction(400))
    jobs = plan_jobs(plan_encode(source, DEFAULT_POLICY), Lane.BULK)
    told = [(str(job.kind), str(job.lane), *job.payload.values()) for job in jobs]
    rungs = ["240p", "360p", "480p", "720p"]
    assert told[:11] == [
        ("encode", "playable", 0, ["240p", "480p"]),
        ("audio", "playable", "audio-en", 0),
        ("encode", "playable", 1, ["240p", "480p"]),  # from 4 s
        ("encode", "bulk", 2, rungs),  # from 12 s
        ("encode", "bulk", 0, ["360p", "720p"]),
        ("encode", "bulk", 1, ["360p", "720p"]),
        ("audio", "bulk", "audio-en", 1),  # from 12 s
        ("encode", "bulk", 3, rungs),  # from 28 s
        ("thumbnails", "bulk"),
        ("encode", "bulk", 4, rungs),  # from 60 s
        ("audio", "bulk", "audio-en", 2),  # from 60 s
    ]
    assert [job.order for job in jobs] == list(range(len(jobs)))
    assert all(job.cost_cpu_ms > 0 for job in jobs)


def test_surround_sound_waits_for_what_everybody_hears_and_holds_nothing_up() -> None:
    plan = plan_encode(a_source(duration=Fraction(400), audio=(an_audio_track(channels=6),)), DEFAULT_POLICY)
    jobs = [job for job in plan_jobs(plan, Lane.BULK) if job.kind is JobKind.AUDIO]
    surround = [job for job in jobs if job.payload["rendition"] == "audio-en-surround"]
    assert {job.lane for job in surround} == {Lane.BULK}
    assert [job.payload["piece"] for job in surround] == list(range(len(plan.audio_pieces)))
    assert [job.payload for job in jobs if job.lane is Lane.PLAYABLE] == [{"rendition": "audio-en", "piece": 0}]


def test_sound_alone_has_segments_of_whole_aac_frames_and_jobs_for_nothing_else() -> None:
    source = a_source(video=None, duration=Fraction(61))
    plan = plan_encode(source, DEFAULT_POLICY)
    assert (plan.ladder.rungs, plan.ladder.fast_start, plan.chunks) == ((), (), ())
    assert plan.ladder.segment_seconds == Fraction(188 * 1024, 48_000)
    assert plan.total_frames == plan.audio_frames == -(-61 * 48_000 // 1024)
    assert plan.audio_pieces[-1].stop_segment == plan.segment_count == 16
    jobs = plan_jobs(plan, Lane.BULK)
    assert {job.kind for job in jobs} == {JobKind.AUDIO}
    assert [job.lane for job in jobs] == [Lane.PLAYABLE, *[Lane.BULK] * (len(jobs) - 1)]
    assert [note.code for note in plan_notes(source, plan)] == ["sound_only"]
    assert describe_plan(plan).startswith("0:01:01.013, sound alone, 16 segments of 4.011 s, recipe")


def test_a_single_rung_has_no_second_job_for_an_early_chunk() -> None:
    tiny = a_source(video=a_video_track(width=160, height=120), audio=(), duration=Fraction(1))
    jobs = plan_jobs(plan_encode(tiny, DEFAULT_POLICY), Lane.STANDARD)
    assert [job.kind for job in jobs] == [JobKind.ENCODE, JobKind.THUMBNAILS]


def test_facts_are_told_as_a_table() -> None:
    video = a_video_track(rotation=90, steady=False, bit_depth=10, color_transfer="smpte2084", frame_count=499)
    audio = an_audio_track(language="de", channels=6, title="Ton\x1b[31m", default=True)
    text = SubtitleTrack(index=2, codec="subrip", language="de", title="Für\x1balle", forced=True)
    source = a_source(
        demuxer="mov", size_bytes=5_000_000, duration=Fraction(20), video=video, audio=(audio,), subtitles=(text,)
    )
    assert describe_source(source) == (
        "MP4/QuickTime, 5 MB, 0:00:20.000\n"
        "\n"
        "track  kind   codec   details\n"
        "#0     video  h264    1280x720, shown as 720x1280, rotated by 90°, 25 fps on average, varying, 499 frames,"
        " 10 bit, smpte2084\n"
        "#1     audio  aac     5.1, 48000 Hz, German, “Ton?[31m”, default\n"
        "#2     text   subrip  German, “Für?alle”, forced"
    )


def test_a_plan_is_told_as_a_table() -> None:
    source = a_source(duration=Fraction(200), audio=(an_audio_track(channels=6),), video=a_video_track(bit_depth=10))
    plan = plan_encode(source, DEFAULT_POLICY)
    assert describe_plan(replace(plan, recipe="9"), plan_notes(source, plan), Workplace(slots=2, cores=2)) == (
        "0:03:20.000, 5000 frames at 25 fps, 50 segments of 4 s (2 GOPs of 50 frames), recipe 9\n"
        "\n"
        "rendition          size      codec  quality   rate\n"
        "240p               426x240   h264   CRF 23    ≤ 300 kb/s  first\n"
        "360p               640x360   h264   CRF 23    ≤ 700 kb/s\n"
        "480p               854x480   h264   CRF 23    ≤ 1.2 Mb/s  first\n"
        "720p               1280x720  h264   CRF 22    ≤ 2.8 Mb/s\n"
        "audio-en           stereo    aac    track #1  128 kb/s    English, default\n"
        "audio-en-surround  5.1       aac    track #1  384 kb/s    English\n"
        "\n"
        "11 chunks of video: 4, 8, 16, 2 × 32, 24, 20, 4 × 16 s\n"
        "before everything else: 12 s in 240p and 480p\n"
        "3 pieces of each sound: 12, 48, 140 s\n"
        "here: 2 jobs at once, threads to encode + decode: 2 + 2 for 2 rungs, 4 + 1 for 4 rungs\n"
        "\n"
        "! Colours are reduced from 10 to 8 bits. (reduced_depth)"
    )


def test_the_storyboard_of_a_long_film_is_many_jobs_where_keyframes_can_be_found() -> None:
    long = plan_encode(a_source(duration=Fraction(43_200)), DEFAULT_POLICY)
    whole, parts = (
        [job for job in plan_jobs(long, Lane.BULK, in_parts=in_parts) if job.kind is JobKind.THUMBNAILS]
        for in_parts in (False, True)
    )
    assert [job.payload for job in whole] == [{}]
    tiles = [range(*job.payload["tiles"]) for job in parts]
    assert [tile for part in tiles for tile in part] == list(range(44)), "in the order of the film"
    assert max(job.cost_cpu_ms for job in parts) <= 61_000
    starts = 200 * (len(parts) + 1)
    assert abs(sum(job.cost_cpu_ms for job in parts) - starts - 864_000) < len(parts)
    short = plan_encode(a_source(duration=Fraction(3000)), DEFAULT_POLICY)
    assert plan_jobs(short, Lane.BULK, in_parts=True) == plan_jobs(short, Lane.BULK)
