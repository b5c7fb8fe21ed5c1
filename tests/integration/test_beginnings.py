"""Files without an index start from their beginning: what plays first needs no more of them, and is the same to the byte.
Matroska has an index for what comes later, and the headers of all fragments of an MP4 are one."""

from __future__ import annotations

import dataclasses
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from storage.jobs import Encoded, JobKind
from storage.media.source import Source
from storage.media.time import snap_frame_rate
from tests.large import Ranges
from tests.media import Pictures, Sound, make_film
from tests.steps import Worktable, a_small_plan
from workers import sources
from workers.ffmpeg.process import Tools, find_tools
from workers.planning.reads import Reads
from workers.sources import Fetched, SourceCache
from workers.steps import inspect
from workers.steps.audio import audio
from workers.steps.encode import encode
from workers.steps.inspect import inspect_file

pytestmark = pytest.mark.integration

SECONDS = 100
END_BYTES = 64 * 1024
CONTAINERS = {
    "matroska": [],
    "mpegts": [],
    "flv": [],
    "mpeg": ["-f", "vob", "-c:v", "mpeg2video", "-b:v", "400k", "-c:a", "mp2"],
    "asf": [],
    "avi": [],
    "mxf": ["-f", "mxf", "-c:v", "mpeg2video", "-b:v", "400k", "-c:a", "pcm_s16le", "-ar", "48000"],
    "ogg": ["-f", "ogg", *"-c:v libvpx -deadline realtime -cpu-used 8 -qmin 0 -qmax 8 -b:v 3M -c:a flac".split()],  # noqa: SIM905
    "fragments": ["-f", "mp4", "-movflags", "+frag_keyframe+empty_moov+default_base_moof"],
}


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    times = [Fraction(number, 25) for number in range(SECONDS * 25)]
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_film(
        path, Pictures(times=times, b_frames=2, keyframe_every=60), Sound(seconds=Fraction(SECONDS)), container="mp4"
    )


@pytest.fixture(params=CONTAINERS)
def film(request: pytest.FixtureRequest, original: Path, tools: Tools, tmp_path: Path) -> Path:
    path = tmp_path / f"film.{request.param}"
    written = CONTAINERS[request.param] or ["-f", request.param]
    subprocess.run(
        [str(tools.ffmpeg), "-nostdin", "-loglevel", "error", "-i", str(original), "-c", "copy", *written, str(path)],
        check=True,
    )
    return path


@pytest.fixture
def cache(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceCache:
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    monkeypatch.setattr(sources, "END_BYTES", END_BYTES)
    size = film.stat().st_size
    # The first is too short to hold what plays first, the second is not.
    beginnings = tuple(Reads(first_bytes=size // share) for share in (20, 3))
    monkeypatch.setattr(inspect, "BEGINNINGS", beginnings)
    blobs = Ranges(whole=False)
    blobs.put("sources/film", film.read_bytes())
    return SourceCache(blobs, tmp_path / "cache", 10**9)


@pytest.fixture
def table(film: Path, tools: Tools, tmp_path: Path) -> Worktable:
    """Works on the whole film."""
    for name in ("probe", "jobs"):
        (tmp_path / name).mkdir()
    source = inspect_file(film, tools=tools, scratch=tmp_path / "probe")
    plan = a_small_plan(source, gop_frames=50, segments_per_chunk=1, piece_segments=3)
    return Worktable(path=film, source=source, plan=plan, tools=tools, scratch=tmp_path / "jobs")


def test_what_plays_first_needs_only_the_beginning(cache: SourceCache, table: Worktable) -> None:
    fetched: list[Fetched] = []

    def part(reads: Reads) -> Fetched:
        fetched.append(cache.fetch_part("sources/film", reads))
        return fetched[-1]

    looked_at = inspect._source(dataclasses.replace(table.context(JobKind.INSPECT), part=part))
    from_beginning = dataclasses.replace(table, source=looked_at)
    jobs = [
        (encode, JobKind.ENCODE, {"chunk": 0, "rungs": ["96p"]}),
        (encode, JobKind.ENCODE, {"chunk": 1, "rungs": ["96p"]}),
        (audio, JobKind.AUDIO, {"rendition": table.plan.audio[0].name, "piece": 0}),
    ]
    for step, kind, payload in jobs:
        started = step(dataclasses.replace(from_beginning.context(kind, **payload), part=part))
        assert names(started) == names(step(table.context(kind, **payload)))

    assert nearly(looked_at) == nearly(table.source)
    assert float(looked_at.duration) == pytest.approx(float(table.source.duration), abs=0.15)
    assert looked_at.early_bytes is not None
    assert len(fetched) == 2 + len(jobs), (
        "the beginning was believed at the second look, and at once by all that followed"
    )
    assert sum(one.read_bytes for one in fetched) <= table.path.stat().st_size // 3 + END_BYTES


@pytest.mark.parametrize("film", ["matroska", "fragments"], indirect=True)
@pytest.mark.parametrize("number", [7, -1])
def test_an_index_that_lies_elsewhere_tells_what_later_chunks_need(
    cache: SourceCache, table: Worktable, number: int
) -> None:
    chunk, piece = range(len(table.plan.chunks))[number], range(len(table.plan.audio_pieces))[number]
    jobs = [
        (encode, JobKind.ENCODE, {"chunk": chunk, "rungs": ["96p"]}),
        (audio, JobKind.AUDIO, {"rendition": table.plan.audio[0].name, "piece": piece}),
    ]
    for step, kind, payload in jobs:
        fetched: list[Fetched] = []

        def part(reads: Reads, fetched: list[Fetched] = fetched) -> Fetched:
            fetched.append(cache.fetch_part("sources/film", reads))
            return fetched[-1]

        from_part = step(dataclasses.replace(table.context(kind, **payload), part=part))
        assert names(from_part) == names(step(table.context(kind, **payload)))
        assert len(fetched) == 1, "at the first go"
        assert fetched[0].read_bytes < table.path.stat().st_size / 2


def nearly(source: Source) -> tuple[object, ...]:
    """What planning and the grid of frames go by."""
    assert source.video is not None
    starts = [track.start for track in (source.video, *source.audio)]
    return source.demuxer, snap_frame_rate(source.video.frame_rate), source.start, starts


def names(outcome: Encoded) -> list[str]:
    """Names say which bytes they are of."""
    return [name for output in outcome.outputs for name in (output.init_name, *(each.name for each in output.segments))]
