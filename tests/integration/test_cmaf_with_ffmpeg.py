"""Chunks that ffmpeg encodes apart are cut, put side by side, and decode as one film to the frame."""

from __future__ import annotations

import io
import subprocess
from array import array
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import imageio_ffmpeg
import pytest

from packager.cmaf import AudioCut, VideoCut, cut_audio, cut_video
from storage.media.time import FrameRange, video_timescale

pytestmark = pytest.mark.integration

RATE = Fraction(30_000, 1001)
TIMESCALE, FRAME_TICKS = video_timescale(RATE)
GOP, SEGMENT = 12, 24


def ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=120, stdin=subprocess.DEVNULL)


def encoded_chunk(path: Path, frames: FrameRange, crf: int) -> bytes:
    """``frames`` of a test film: picture n is a grey of its own, so that a decoded picture tells its number."""
    grey = f"color=black:s=64x64:r={RATE},format=yuv420p,geq=lum='16+4*mod(N+{frames.start}\\,50)':cb=128:cr=128"
    x264 = f"keyint={GOP}:min-keyint={GOP}:scenecut=0:open-gop=0:stitchable=1"
    ffmpeg(
        *("-f", "lavfi", "-i", grey, "-frames:v", len(frames), "-c:v", "libx264", "-preset", "veryfast", "-bf", 3),
        *("-crf", crf, "-maxrate", "800k", "-bufsize", "1600k", "-x264-params", x264),
        *("-video_track_timescale", TIMESCALE, "-use_editlist", 0, "-f", "mp4"),
        *("-movflags", "+empty_moov+frag_keyframe+default_base_moof+negative_cts_offsets", path),
    )
    return path.read_bytes()


def cut(data: bytes, frames: FrameRange) -> VideoCut:
    return cut_video(
        data,
        timescale=TIMESCALE,
        frame_ticks=FRAME_TICKS,
        first_frame=frames.start,
        expected_frames=len(frames),
        gop_frames=GOP,
        segment_frames=SEGMENT,
        first_segment=frames.start // SEGMENT,
    )


def pictures(data: bytes) -> list[tuple[int, int]]:
    """(presentation time, number that the picture shows) of every decoded picture."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        decoded = []
        for frame in container.decode(stream):
            assert frame.pts is not None
            luma = frame.planes[0]
            decoded.append((frame.pts, round((bytes(luma)[32 * luma.line_size + 32] - 16) / 4)))
        return decoded


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> list[VideoCut]:
    folder = tmp_path_factory.mktemp("chunks")
    ranges = (FrameRange(0, 24), FrameRange(24, 77))
    return [
        cut(encoded_chunk(folder / f"{crf}.mp4", frames, crf), frames)
        for frames, crf in zip(ranges, (20, 28), strict=True)
    ]


@pytest.fixture(scope="module")
def film(chunks: list[VideoCut]) -> tuple[bytes, list[bytes], list[tuple[int, bytes]]]:
    """Init segment, segments, and (frame, bytes) of every I-frame range."""
    segments = [segment for chunk in chunks for segment in chunk.segments]
    iframes = []
    for segment in segments:
        start = segment.start_ticks
        for iframe in segment.iframes:
            iframes.append((start // FRAME_TICKS, segment.data[iframe.offset : iframe.offset + iframe.size]))
            start += iframe.duration_ticks
    return chunks[0].init, [segment.data for segment in segments], iframes


def test_chunks_encoded_apart_share_their_init_segment(chunks: list[VideoCut]) -> None:
    first, second = chunks
    assert first.init == second.init


def test_segments_side_by_side_decode_to_every_frame_once_at_its_time(
    film: tuple[bytes, list[bytes], list[tuple[int, bytes]]],
) -> None:
    init, segments, _ = film
    decoded = pictures(init + b"".join(segments))
    assert [number for _, number in decoded] == [frame % 50 for frame in range(77)]
    # libavformat shifts a track with negative composition offsets as a whole; differences are what it keeps.
    start = decoded[0][0]
    assert [time - start for time, _ in decoded] == [frame * FRAME_TICKS for frame in range(77)]


def test_every_segment_decodes_alone(film: tuple[bytes, list[bytes], list[tuple[int, bytes]]]) -> None:
    init, segments, _ = film
    counts = [len(pictures(init + segment)) for segment in segments]
    assert counts == [24, 24, 24, 5]


def test_every_iframe_range_is_exactly_one_picture(film: tuple[bytes, list[bytes], list[tuple[int, bytes]]]) -> None:
    init, _, iframes = film
    assert [frame for frame, _ in iframes] == list(range(0, 77, GOP))
    for frame, data in iframes:
        assert pictures(init + data) == [(frame * FRAME_TICKS, frame % 50)]


def test_the_same_chunk_encoded_again_gives_the_same_bytes(tmp_path: Path) -> None:
    frames = FrameRange(24, 50)
    first, again = (cut(encoded_chunk(tmp_path / f"{n}.mp4", frames, 24), frames) for n in "ab")
    assert (first.init, list(first.segments)) == (again.init, list(again.segments))


# --- audio -----------------------------------------------------------------------------------------------------------

PRE_ROLL = 24
TONE = "aevalsrc='0.4*sin(2*PI*440*t)|0.4*sin(2*PI*440*t)':s=48000:d=6"


def audio_piece(path: Path, frames: FrameRange) -> AudioCut:
    start = max(0, frames.start - PRE_ROLL)
    samples = f"atrim=start_sample={1024 * start}:end_sample={1024 * (frames.stop + 2)},asetpts=N/SR/TB"
    ffmpeg(
        *("-f", "lavfi", "-i", f"{TONE},{samples}", "-c:a", "aac", "-b:a", "128k", "-use_editlist", 0, "-f", "mp4"),
        *("-movflags", "+empty_moov+default_base_moof", "-frag_duration", 1_000_000, path),
    )
    return cut_audio(
        path.read_bytes(),
        skip_frames=1 + frames.start - start,  # the encoder's priming frame, and the pre-roll
        frames=frames,
        segment_ranges=(frames,),
        first_segment=0 if frames.start == 0 else 1,
    )


def test_audio_pieces_join_without_a_click(tmp_path: Path) -> None:
    pieces = [audio_piece(tmp_path / f"{part.start}.mp4", part) for part in (FrameRange(0, 100), FrameRange(100, 200))]
    assert pieces[0].init == pieces[1].init
    assert pieces[0].facts.codecs == "mp4a.40.2"
    data = pieces[0].init + b"".join(segment.data for piece in pieces for segment in piece.segments)
    sound = array("f")
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(audio=0):
            assert frame.pts == len(sound)
            sound.frombytes(bytes(frame.planes[0])[: 4 * frame.samples])
    assert len(sound) == 200 * 1024
    # A 440 Hz sine at 0.4 moves by at most 0.023 from sample to sample; a click or a gap at the join moves by more.
    join = sound[99 * 1024 : 102 * 1024]
    assert max(abs(right - left) for left, right in pairwise(join)) < 0.03
    assert max(join) > 0.35
