"""Laws of planning, for any source."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from storage.jobs import JobKind, Lane
from storage.media.ladder import EncodePlan
from storage.media.source import Source, VideoTrack
from storage.media.time import audio_segment_frames
from storage.records import from_record, to_record
from tests.builders import a_source, a_video_track, an_audio_track
from workers.flow import plan_jobs
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import DEFAULT_POLICY

FRAME_RATES = st.one_of(
    st.sampled_from([Fraction(24_000, 1001), Fraction(24), Fraction(25), Fraction(30), Fraction(60_000, 1001)]),
    st.fractions(min_value=Fraction(1, 20), max_value=240, max_denominator=5000),
)
PICTURES = st.builds(
    a_video_track,
    width=st.integers(16, 8000),
    height=st.integers(16, 8000),
    rotation=st.sampled_from([0, 90, 180, 270]),
    sample_aspect=st.fractions(min_value=Fraction(1, 2), max_value=2, max_denominator=100),
    frame_rate=FRAME_RATES,
).filter(lambda video: min(video.display_size) >= 16 and video.display_size[0] * video.display_size[1] <= 8192 * 8192)
SOURCES = st.builds(
    lambda video, duration, languages: a_source(
        video=video,
        duration=duration,
        audio=tuple(an_audio_track(index=1 + n, language=language) for n, language in enumerate(languages)),
    ),
    PICTURES,
    st.fractions(min_value=0, max_value=20_000, max_denominator=90_000),
    st.lists(st.sampled_from(["en", "de", "und"]), max_size=4),
)


def planned(source: Source) -> EncodePlan:
    return plan_encode(source, DEFAULT_POLICY)


@given(PICTURES)
def test_ladders_rise_and_never_upscale(video: VideoTrack) -> None:
    ladder = planned(a_source(video=video)).ladder
    width, height = video.display_size
    assert all(rung.width <= width and rung.height <= height for rung in ladder.rungs)
    assert all(rung.width % 2 == 0 and rung.height % 2 == 0 for rung in ladder.rungs)
    areas = [rung.width * rung.height for rung in ladder.rungs]
    assert areas == sorted(set(areas))
    rates = [rung.max_rate_bps for rung in ladder.rungs]
    assert rates == sorted(rates)
    assert rates[0] <= 300_000
    assert len({rung.name for rung in ladder.rungs}) == len(ladder.rungs)
    assert ladder.fast_start[0] == ladder.rungs[0].name


@given(PICTURES)
def test_rungs_keep_the_shape_of_the_picture(video: VideoTrack) -> None:
    width, height = video.display_size
    for rung in planned(a_source(video=video)).ladder.rungs:
        # Both sides are even: each may be off by a pixel, which counts for more in a small picture.
        assert abs(rung.width * height - rung.height * width) <= 2 * max(width, height)


@given(SOURCES)
def test_chunks_tile_the_time_line_at_segments(source: Source) -> None:
    plan = planned(source)
    at = 0
    for index, chunk in enumerate(plan.chunks):
        assert chunk.index == index
        assert chunk.frames.start == at == chunk.first_segment * plan.ladder.segment_frames
        at = chunk.frames.stop
    assert at == plan.total_frames >= 1
    assert len(plan.chunks[0].frames) <= plan.ladder.segment_frames


@given(SOURCES)
def test_chunks_are_bounded(source: Source) -> None:
    plan = planned(source)
    a_segment = plan.ladder.segment_seconds
    longest = max(60, 600 / plan.ladder.frame_rate, a_segment) + a_segment / 2
    assert all(len(chunk.frames) / plan.ladder.frame_rate <= longest for chunk in plan.chunks)


@given(SOURCES)
def test_pieces_of_sound_tile_it_and_no_segment_is_silent_of_data(source: Source) -> None:
    plan = planned(source)
    if not source.audio:
        assert (plan.audio, plan.audio_pieces, plan.audio_frames) == ((), (), 0)
        return
    frame = segment = 0
    for piece in plan.audio_pieces:
        assert (piece.frames.start, piece.first_segment) == (frame, segment)
        frame, segment = piece.frames.stop, piece.stop_segment
    assert (frame, segment) == (plan.audio_frames, plan.segment_count)
    last = audio_segment_frames(plan.segment_count - 1, plan.ladder.segment_seconds, plan.audio_frames)
    assert last.stop == plan.audio_frames
    assert 0 <= Fraction(plan.audio_frames * 1024, 48_000) - plan.duration <= Fraction(2 * 1024, 48_000)


@given(SOURCES)
def test_one_sound_is_the_default_and_names_are_unique(source: Source) -> None:
    plan = planned(source)
    assert [rendition.default for rendition in plan.audio].count(True) == (1 if source.audio else 0)
    names = [rendition.name for rendition in plan.audio] + [rung.name for rung in plan.ladder.rungs]
    assert len(set(names)) == len(names)


@given(SOURCES, st.sampled_from([Lane.INTERACTIVE, Lane.STANDARD, Lane.BULK]))
def test_jobs_cover_every_chunk_rung_and_piece_once(source: Source, lane: Lane) -> None:
    plan = planned(source)
    jobs = plan_jobs(plan, lane)
    encoded = Counter(
        (job.payload["chunk"], rung) for job in jobs if job.kind is JobKind.ENCODE for rung in job.payload["rungs"]
    )
    assert encoded == Counter((chunk.index, rung.name) for chunk in plan.chunks for rung in plan.ladder.rungs)
    heard = Counter((job.payload["rendition"], job.payload["piece"]) for job in jobs if job.kind is JobKind.AUDIO)
    assert heard == Counter((rendition.name, piece.index) for rendition in plan.audio for piece in plan.audio_pieces)
    assert [job.kind for job in jobs].count(JobKind.THUMBNAILS) == 1
    assert JobKind.PUBLISH not in {job.kind for job in jobs}
    assert {job.lane for job in jobs} <= {Lane.PLAYABLE, lane}


@given(SOURCES)
def test_a_plan_survives_its_record(source: Source) -> None:
    plan = planned(source)
    assert from_record(EncodePlan, to_record(plan)) == plan
    assert from_record(Source, to_record(source)) == source
