"""Cutting: what the encoder wrote is checked to the frame, and what comes out is ours to the byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packager.cmaf import AudioFacts, CutSegment, VideoCut, cut_audio, cut_video, read_facts
from packager.cmaf.boxes import Box, child, children, find, walk
from packager.cmaf.samples import Sample, read_samples
from storage.errors import WrongOutput
from storage.media.time import FrameRange
from tests.fragmented import fake_audio, fake_video

GOP, SEGMENT = 5, 10


def cut(data: bytes, first_frame: int = 0, frames: int = 20, **changes: int) -> VideoCut:
    values = {
        "timescale": 12_800,
        "frame_ticks": 512,
        "first_frame": first_frame,
        "expected_frames": frames,
        "gop_frames": GOP,
        "segment_frames": SEGMENT,
        "first_segment": first_frame // SEGMENT,
    }
    return cut_video(data, **values | changes)


def samples_of(init: bytes, *segments: CutSegment) -> list[Sample]:
    return read_samples(memoryview(init + b"".join(segment.data for segment in segments)))


def kinds(data: bytes) -> list[bytes]:
    return [each.kind for each in walk(memoryview(data))]


def descendants(data: memoryview, box: Box) -> Iterator[bytes]:
    for inside in walk(data, box.content, box.stop):
        yield inside.kind
        if inside.kind in {b"trak", b"mdia", b"minf", b"stbl", b"mvex"}:
            yield from descendants(data, inside)


# --- segments --------------------------------------------------------------------------------------------------------


def test_each_gop_is_one_fragment_for_its_idr_and_one_for_the_rest() -> None:
    segments = list(cut(fake_video(range(20), gop_frames=GOP)).segments)
    assert [segment.number for segment in segments] == [0, 1]
    assert kinds(segments[0].data) == [b"styp", *[b"moof", b"mdat"] * 4]


def test_frame_n_is_shown_at_n_ticks_from_the_start_of_the_film() -> None:
    cut_chunk = cut(fake_video(range(30, 50), gop_frames=GOP), first_frame=30)
    samples = samples_of(cut_chunk.init, *cut_chunk.segments)
    assert [sample.decode_ticks for sample in samples] == [frame * 512 for frame in range(30, 50)]
    assert sorted(sample.present_ticks for sample in samples) == [frame * 512 for frame in range(30, 50)]
    assert [at for at, sample in enumerate(samples) if sample.sync] == [0, 5, 10, 15]


@pytest.mark.parametrize("delay_frames", [0, 1, 3], ids=["negative offsets", "one late", "three late"])
def test_where_the_muxer_put_its_zero_does_not_matter(delay_frames: int) -> None:
    usual = cut(fake_video(range(20), gop_frames=GOP))
    other = cut(fake_video(range(20), gop_frames=GOP, delay_frames=delay_frames))
    assert (other.init, list(other.segments)) == (usual.init, list(usual.segments))


def test_a_muxer_with_another_timescale_gives_the_same_bytes() -> None:
    usual = cut(fake_video(range(20), gop_frames=GOP))
    other = cut(fake_video(range(20), gop_frames=GOP, timescale=25_000, frame_ticks=1_000))
    assert (other.init, list(other.segments)) == (usual.init, list(usual.segments))


def test_an_iframe_range_holds_one_whole_fragment_with_one_sync_sample() -> None:
    cut_chunk = cut(fake_video(range(17), gop_frames=GOP), frames=17)
    for segment in cut_chunk.segments:
        for iframe in segment.iframes:
            lone = segment.data[iframe.offset : iframe.offset + iframe.size]
            assert kinds(lone) == [b"moof", b"mdat"]
            (sample,) = read_samples(memoryview(cut_chunk.init + lone))
            assert sample.sync
        assert sum(iframe.duration_ticks for iframe in segment.iframes) == segment.duration_ticks


def test_the_last_segment_and_its_last_gop_may_be_short() -> None:
    last = list(cut(fake_video(range(16), gop_frames=GOP), frames=16).segments)[-1]
    assert (last.start_ticks, last.duration_ticks) == (10 * 512, 6 * 512)
    assert [iframe.duration_ticks for iframe in last.iframes] == [5 * 512, 1 * 512]
    assert kinds(last.data) == [b"styp", *[b"moof", b"mdat"] * 3]  # a GOP of one picture has no rest


def test_sequence_numbers_follow_from_the_gop_and_grow_by_one() -> None:
    data = b"".join(s.data for s in cut(fake_video(range(20, 40), gop_frames=GOP), first_frame=20).segments)
    view = memoryview(data)
    headers = [child(view, moof, b"mfhd") for moof in walk(view) if moof.kind == b"moof"]
    assert [int.from_bytes(view[each.content + 4 : each.stop], "big") for each in headers] == list(range(9, 17))


def test_framing_costs_212_bytes_a_gop_and_8_a_picture() -> None:
    for segment in cut(fake_video(range(20), gop_frames=GOP)).segments:
        view = memoryview(segment.data)
        media = sum(box.stop - box.content for box in walk(view) if box.kind == b"mdat")
        size_and_offset = 8 * (SEGMENT - SEGMENT // GOP)  # an IDR picture needs neither
        assert len(segment.data) - media == len(b"styp") * 6 + SEGMENT // GOP * 212 + size_and_offset


def test_segments_are_made_one_at_a_time() -> None:
    segments = cut(fake_video(range(20), gop_frames=GOP)).segments
    assert next(segments).number == 0


# --- the init segment ------------------------------------------------------------------------------------------------


def test_the_init_segment_has_no_edit_list_no_times_and_what_the_encoder_says_of_the_picture() -> None:
    init = cut(fake_video(range(20), gop_frames=GOP)).init
    view = memoryview(init)
    ftyp, moov = walk(view)
    assert bytes(view[ftyp.content : ftyp.stop]) == b"iso6\0\0\0\0iso6cmfccmf2"
    assert b"edts" not in set(descendants(view, moov))
    assert b"colr" in init
    assert b"pasp" in init
    assert b"btrt" not in init
    mdhd = child(view, moov, b"trak", b"mdia", b"mdhd")
    assert bytes(view[mdhd.content : mdhd.content + 20]) == bytes(12) + (12_800).to_bytes(4, "big") + bytes(4)


def test_init_segments_of_chunks_are_equal() -> None:
    first = cut(fake_video(range(20), gop_frames=GOP))
    second = cut(fake_video(range(20, 40), gop_frames=GOP), first_frame=20)
    assert first.init == second.init


def test_facts_are_read_from_the_encoders_boxes() -> None:
    facts = cut(fake_video(range(20), gop_frames=GOP)).facts
    assert (facts.codecs, facts.width, facts.height, facts.pixel_aspect) == ("avc1.64001e", 640, 360, 1)
    assert read_facts(fake_audio(range(3))) == AudioFacts(
        codecs="mp4a.40.2", timescale=48_000, language="und", channels=2, sample_rate_hz=48_000
    )


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [19, 21], ids=["one missing", "one too many"])
def test_another_number_of_frames_is_refused(frames: int) -> None:
    with pytest.raises(WrongOutput, match="number of frames"):
        cut(fake_video(range(frames), gop_frames=GOP))


def test_a_keyframe_in_the_wrong_place_is_refused() -> None:
    with pytest.raises(WrongOutput, match="keyframe"):
        cut(fake_video(range(20), gop_frames=4))


def test_a_missing_keyframe_is_refused() -> None:
    with pytest.raises(WrongOutput, match="keyframe"):
        cut(fake_video(range(20), gop_frames=10))


def test_pictures_off_the_frame_grid_are_refused() -> None:
    with pytest.raises(WrongOutput, match="grid"):
        cut(fake_video(range(20), gop_frames=GOP, frame_ticks=500))


def test_a_sync_sample_that_is_no_idr_picture_is_refused() -> None:
    data = fake_video(range(20), gop_frames=GOP)
    at = data.index(b"\x65\0\0\0\x05")  # the IDR picture of frame 5
    with pytest.raises(WrongOutput, match="IDR"):
        cut(data[:at] + b"\x41" + data[at + 1 :])


def test_a_chunk_that_does_not_start_its_segment_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="does not start segment"):
        cut(fake_video(range(20), gop_frames=GOP), first_frame=5, first_segment=1)


def test_audio_where_video_was_expected_is_refused() -> None:
    with pytest.raises(WrongOutput, match="video track"):
        cut(fake_audio(range(20)))


@pytest.mark.parametrize("stop", [0, 20, 200, 700, 1200, -1])
def test_a_file_that_was_cut_short_is_refused(stop: int) -> None:
    with pytest.raises(WrongOutput):
        cut(fake_video(range(20), gop_frames=GOP)[:stop])


# --- audio -----------------------------------------------------------------------------------------------------------


def test_priming_and_pre_roll_are_dropped_and_frame_k_is_decoded_at_1024_k() -> None:
    parts = (FrameRange(188, 375), FrameRange(375, 400))
    piece = cut_audio(
        fake_audio(range(183, 405)), skip_frames=5, frames=FrameRange(188, 400), segment_ranges=parts, first_segment=1
    )
    segments = list(piece.segments)
    assert [(s.number, s.start_ticks, s.duration_ticks) for s in segments] == [
        (1, 188 * 1024, 187 * 1024),
        (2, 375 * 1024, 25 * 1024),
    ]
    data = piece.init + b"".join(segment.data for segment in segments)
    samples = read_samples(memoryview(data))
    assert [sample.decode_ticks for sample in samples] == [1024 * k for k in range(188, 400)]
    assert [int.from_bytes(data[s.offset : s.offset + 4], "big") for s in samples] == list(range(188, 400))
    assert all(sample.sync for sample in samples)


def test_an_audio_segment_is_one_fragment() -> None:
    ranges = (FrameRange(0, 10), FrameRange(10, 20))
    piece = cut_audio(
        fake_audio(range(30)), skip_frames=0, frames=FrameRange(0, 20), segment_ranges=ranges, first_segment=0
    )
    for segment in piece.segments:
        view = memoryview(segment.data)
        assert kinds(segment.data) == [b"styp", b"moof", b"mdat"]
        (moof,) = [box for box in walk(view) if box.kind == b"moof"]
        assert len(children(view, moof, b"traf")) == 1
        assert find(view, moof, b"traf", b"tfdt") is not None


def test_too_few_audio_frames_are_refused() -> None:
    with pytest.raises(WrongOutput, match="too few"):
        cut_audio(
            fake_audio(range(20)),
            skip_frames=1,
            frames=FrameRange(0, 20),
            segment_ranges=(FrameRange(0, 20),),
            first_segment=0,
        )


def test_segments_that_do_not_tile_the_piece_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="tile"):
        cut_audio(
            fake_audio(range(20)),
            skip_frames=0,
            frames=FrameRange(0, 20),
            segment_ranges=(FrameRange(0, 9), FrameRange(10, 20)),
            first_segment=0,
        )
