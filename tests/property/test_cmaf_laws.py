"""However a film is split into chunks, the same segments come out."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from packager.cmaf import CutSegment, cut_audio, cut_video
from packager.cmaf.samples import read_samples
from storage.errors import FishladderError
from storage.media.time import FrameRange
from tests.fragmented import fake_audio, fake_video

TICKS = 512


def cut_film(total: int, gop: int, segment: int, chunk_segments: list[int]) -> tuple[set[bytes], list[CutSegment]]:
    """A film cut in chunks of so many segments each, the last one repeated as long as needed."""
    inits: set[bytes] = set()
    segments: list[CutSegment] = []
    first, index = 0, 0
    while first < total:
        stop = min(total, first + segment * chunk_segments[min(index, len(chunk_segments) - 1)])
        cut = cut_video(
            fake_video(range(first, stop), gop_frames=gop),
            timescale=12_800,
            frame_ticks=TICKS,
            first_frame=first,
            expected_frames=stop - first,
            gop_frames=gop,
            segment_frames=segment,
            first_segment=first // segment,
        )
        inits.add(cut.init)
        segments += cut.segments
        first, index = stop, index + 1
    return inits, segments


@given(
    total=st.integers(1, 120),
    gop=st.integers(1, 12),
    gops=st.integers(1, 3),
    chunk_segments=st.lists(st.integers(1, 4), min_size=1, max_size=5),
)
def test_any_split_into_chunks_gives_the_same_segments(
    total: int, gop: int, gops: int, chunk_segments: list[int]
) -> None:
    whole = cut_film(total, gop, gop * gops, [total])
    split = cut_film(total, gop, gop * gops, chunk_segments)
    assert split == whole
    (init,), segments = split
    assert [segment.number for segment in segments] == list(range(len(segments)))
    samples = read_samples(memoryview(init + b"".join(segment.data for segment in segments)))
    assert [sample.decode_ticks for sample in samples] == [frame * TICKS for frame in range(total)]
    assert sorted(sample.present_ticks for sample in samples) == [frame * TICKS for frame in range(total)]
    assert [at for at, sample in enumerate(samples) if sample.sync] == list(range(0, total, gop))


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    pieces=st.lists(st.booleans(), min_size=8, max_size=8),
    pre_roll=st.integers(0, 4),
)
def test_any_split_into_pieces_gives_the_same_audio_segments(
    lengths: list[int], pieces: list[bool], pre_roll: int
) -> None:
    ranges, stop = [], 0
    for length in lengths:
        ranges.append(FrameRange(stop, stop + length))
        stop += length

    def cut_piece(first: int, end: int) -> tuple[bytes, list[CutSegment]]:
        frames = FrameRange(ranges[first].start, ranges[end - 1].stop)
        data = fake_audio(range(frames.start - pre_roll - 1, frames.stop + 1))
        cut = cut_audio(
            data, skip_frames=pre_roll + 1, frames=frames, segment_ranges=ranges[first:end], first_segment=first
        )
        return cut.init, list(cut.segments)

    init, whole = cut_piece(0, len(ranges))
    edges = [0, *(at for at in range(1, len(ranges)) if pieces[at]), len(ranges)]
    split = [cut_piece(first, end) for first, end in pairwise(edges)]
    assert {piece_init for piece_init, _ in split} == {init}
    assert [segment for _, segments in split for segment in segments] == whole


FILM = fake_video(range(10), gop_frames=5)


@given(at=st.integers(0, 1400), patch=st.binary(min_size=1, max_size=8))
def test_damaged_bytes_are_refused_or_cut_but_never_a_bug(at: int, patch: bytes) -> None:
    data = FILM[:at] + patch + FILM[at + len(patch) :]
    try:
        cut = cut_video(
            data,
            timescale=12_800,
            frame_ticks=TICKS,
            first_frame=0,
            expected_frames=10,
            gop_frames=5,
            segment_frames=10,
            first_segment=0,
        )
    except FishladderError:
        return
    (segment,) = cut.segments
    assert segment.duration_ticks == 10 * TICKS
