"""Chunks of files whose index is libavformat's own, or that it searches by halves: what ffmpeg is going to read is fetched
beforehand, by a program that reads as it does. What comes out is to the byte what the whole file gives."""

from __future__ import annotations

import dataclasses
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from storage.jobs import Encoded, JobKind, Thumbnailed
from tests.large import Ranges
from tests.steps import Worktable, a_small_plan, facts_of
from workers import kept, sources
from workers.ffmpeg import rehearsals
from workers.ffmpeg.process import Tools, find_tools
from workers.planning.reads import Reads, merged, size_of
from workers.planning.thumbnails import StoryboardPlan
from workers.sources import SourceCache
from workers.steps.audio import audio
from workers.steps.context import StepContext
from workers.steps.encode import encode
from workers.steps.thumbnails import thumbnails
from workers.streams import SourceStream

pytestmark = pytest.mark.integration

SECONDS = 48
BLOCK_BYTES = 4096
H264 = "-c:v libx264 -preset ultrafast -bf 2 -g 12 -b:v 1500k -minrate 1500k -maxrate 1500k -bufsize 1500k".split()  # noqa: SIM905
FILMS = {
    "mpegts": ["-f", "mpegts", *H264, "-c:a", "aac"],
    "mpeg": ["-f", "vob", "-c:v", "copy", "-c:a", "pcm_dvd", "-ar", "48000"],
    "avi": ["-f", "avi", *H264, "-c:a", "libmp3lame"],
    "ogg": ["-f", "ogg", "-c:v", "libtheora", "-b:v", "1500k", "-c:a", "libvorbis"],
    "asf": ["-f", "asf", "-c:v", "copy", "-c:a", "wmav2"],
    "mxf": ["-f", "mxf", "-c:v", "copy", "-c:a", "pcm_s16le", "-ar", "48000"],
    "flv": ["-f", "flv", "-flvflags", "add_keyframe_index", *H264, "-c:a", "aac"],
    "matroska": ["-f", "matroska", *H264, "-c:a", "aac"],
    "avi-layer2": ["-f", "avi", *H264, "-c:a", "mp2", "-ar", "44100"],
    "avi-without-index": ["-f", "avi", *H264, "-c:a", "libmp3lame"],
}
SOUGHT = [name for name in FILMS if name not in ("avi-layer2", "avi-without-index", "matroska")]


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


def ffmpeg(tools: Tools, *arguments: object) -> None:
    subprocess.run([str(tools.ffmpeg), "-nostdin", "-loglevel", "error", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def original(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    pictures = f"testsrc=size=160x96:rate=25:duration={SECONDS}"
    sound = f"aevalsrc=0.5*sin(2*PI*(200*t+15*t*t))|0.4*sin(2*PI*(300*t+10*t*t)):s=44100:d={SECONDS}"
    encoded = ["-c:v", "mpeg2video", "-bf", "2", "-b:v", "1500k", "-minrate", "1500k", "-maxrate", "1500k"]
    encoded += ["-bufsize", "1500k", "-c:a", "pcm_s16le"]
    ffmpeg(tools, "-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound, *encoded, path)
    return path


@dataclasses.dataclass
class Node:
    """A machine that has nothing of the film yet."""

    blobs: Ranges
    cache: SourceCache
    folder: Path
    told_bytes: int = 0

    def _count(self, size: int) -> None:
        self.told_bytes += size

    def stream(self, reads: Reads) -> SourceStream | None:
        return self.cache.stream("sources/film", reads, self._count)

    def reads(self, context: StepContext) -> StepContext:
        return dataclasses.replace(
            context,
            source=lambda: self.cache.fetch("sources/film").path,
            part=lambda reads: self.cache.fetch_part("sources/film", reads),
            rehearsal=lambda reads, share: self.cache.rehearsal("sources/film", reads, share, self._count),
        )


@pytest.fixture(scope="module")
def written(original: Path, tools: Tools) -> Callable[[str], Path]:
    """The film in a container, written once."""

    @cache
    def write(name: str) -> Path:
        path = original.with_name(f"film.{name}")
        ffmpeg(tools, "-i", original, *FILMS[name], path)
        if name == "avi-without-index":
            path.write_bytes(path.read_bytes().replace(b"idx1", b"JUNK"))
        return path

    return write


@pytest.fixture
def film(request: pytest.FixtureRequest, written: Callable[[str], Path]) -> Path:
    return written(request.param)


@pytest.fixture
def node(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    monkeypatch.setattr(kept, "BLOCK_BYTES", BLOCK_BYTES)
    blobs = Ranges(whole=True)
    blobs.put("sources/film", film.read_bytes())
    return Node(blobs, SourceCache(blobs, tmp_path / "cache", 10**9), tmp_path / "cache")


@pytest.fixture
def table(film: Path, tools: Tools, tmp_path: Path) -> Worktable:
    """Works on the whole film."""
    (tmp_path / "jobs").mkdir()
    source = facts_of(film, film.suffix[1:].partition("-")[0])
    plan = a_small_plan(source, gop_frames=50, segments_per_chunk=1, piece_segments=2)
    # One thread: several do not conceal damage alike each time, and that of MPEG-2 nothing does.
    return Worktable(path=film, source=source, plan=plan, tools=tools, scratch=tmp_path / "jobs", threads=1)


def a_chunk(table: Worktable, number: int) -> StepContext:
    """Work on the whole."""
    return table.context(JobKind.ENCODE, chunk=number, rungs=["96p"])


@pytest.mark.parametrize("film", SOUGHT, indirect=True)
def test_chunks_from_what_was_rehearsed_are_those_from_the_whole(node: Node, table: Worktable) -> None:
    size, last = table.path.stat().st_size, len(table.plan.chunks) - 1
    for number in (last, last // 2):
        before = len(node.blobs.given)
        made = encode(node.reads(a_chunk(table, number)))
        whole = encode(a_chunk(table, number))
        assert names(made) == names(whole), f"chunk {number}"
        assert made.notes == whole.notes == ()
    # What opening takes is here since the last chunk. This one takes 4 s, 5 before and 4 behind.
    assert size_of(node.blobs.given[before:]) < size * 0.42
    assert node.blobs.downloads == 0
    assert size_of(node.blobs.given) == size_of(merged(node.blobs.given)) == node.told_bytes, "nothing was read twice"


@pytest.mark.parametrize("film", ["avi-without-index"], indirect=True)
def test_where_all_that_comes_before_would_be_read_all_is_copied_and_nobody_tries_again(
    node: Node, table: Worktable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsals, "FURTHEST_S", 15)
    last = len(table.plan.chunks) - 1
    with capture_logs() as logs:
        made = [encode(node.reads(a_chunk(table, number))) for number in (last, last - 1)]
    assert [each["said"] for each in logs if each["event"] == "rehearsal_in_vain"] == [
        "Unfit: the place that was sought is much later"
    ]
    assert size_of(node.blobs.given) < table.path.stat().st_size / 4, "what it cost to see that"
    assert node.blobs.downloads == 1
    assert [names(each) for each in made] == [names(encode(a_chunk(table, number))) for number in (last, last - 1)]
    (whole,) = node.folder.glob("*.source")
    node.cache.close()
    whole.unlink()
    with capture_logs() as logs:
        encode(node.reads(a_chunk(table, last)))
    assert [each["event"] for each in logs if each["event"] == "rehearsal_in_vain"] == []


@pytest.mark.parametrize("film", ["avi"], indirect=True)
def test_of_a_damaged_stretch_the_whole_is_asked_too(node: Node, table: Worktable) -> None:
    size, number = table.path.stat().st_size, len(table.plan.chunks) // 2
    damaged = bytearray(table.path.read_bytes())
    middle = size * (2 * number + 1) // (2 * len(table.plan.chunks))
    for place in range(middle - size // 40, middle + size // 40, 3000):
        damaged[place : place + 1500] = bytes(1500)
    table.path = table.scratch.with_name(table.path.name)
    table.path.write_bytes(damaged)
    node.blobs.put("sources/film", bytes(damaged))
    with capture_logs() as logs:
        made = encode(node.reads(a_chunk(table, number)))
    whole = encode(a_chunk(table, number))
    assert names(made) == names(whole)
    assert made.notes == whole.notes
    assert node.blobs.downloads == 1
    assert "part_not_believed" in [each["event"] for each in logs]


@pytest.mark.parametrize("film", ["mpeg", "avi-layer2"], indirect=True)
def test_sound_that_no_small_file_carries_exactly_is_rehearsed_too(node: Node, table: Worktable) -> None:
    piece = len(table.plan.audio_pieces) // 2
    context = table.context(JobKind.AUDIO, rendition=table.plan.audio[0].name, piece=piece)
    made = audio(dataclasses.replace(node.reads(context), stream=node.stream))
    assert names(made) == names(audio(table.context(JobKind.AUDIO, **context.job.payload)))
    assert node.blobs.downloads == 0
    assert size_of(node.blobs.given) < table.path.stat().st_size * 0.6


@pytest.mark.parametrize("film", ["mpegts"], indirect=True)
def test_two_who_rehearse_at_once_do_not_wait_for_each_others_bytes(node: Node, table: Worktable) -> None:
    """Each waits in the store until the other is there too."""
    other = SourceCache(node.blobs, node.folder, 10**9)
    reads = Reads(tracks=(0,), start=Fraction(1), stop=Fraction(2))
    size = table.path.stat().st_size
    streams = [each.rehearsal("sources/film", reads, Fraction(0), lambda size: None) for each in (node.cache, other)]
    meeting = threading.Barrier(2, timeout=60)
    given = node.blobs.get_range

    def meet(key: str, start: int, stop: int) -> bytes:
        meeting.wait()
        return given(key, start, stop)

    node.blobs.get_range = meet  # type: ignore[method-assign]
    places = [size // 4, size // 2]
    with ThreadPoolExecutor(2) as pool:
        came = list(pool.map(lambda stream, at: stream.read(at, at + 9000), streams, places))
    film = table.path.read_bytes()
    assert came == [film[at : at + 9000] for at in places]
    node.blobs.get_range = given  # type: ignore[method-assign]
    before = len(node.blobs.given)
    assert [stream.read(at, at + 9000) for stream, at in zip(streams, reversed(places), strict=True)] == came[::-1]
    assert len(node.blobs.given) == before, "each has what the other fetched"
    for stream in streams:
        stream.close()


BOARD = StoryboardPlan(interval=Fraction(2), count=24, width=160, height=96, columns=5, rows=1, keyframes_only=True)
"""Five sprites, the last one not full, that begin between keyframes."""


@pytest.mark.parametrize("film", ["mpegts", "avi", "matroska"], indirect=True)
def test_sprites_made_in_parts_are_those_made_of_the_whole(
    node: Node, table: Worktable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.steps.thumbnails.plan_storyboard", lambda *_: BOARD)
    monkeypatch.setattr("workers.steps.thumbnails.POSTER_SECONDS", 4)
    whole = pictures(table, thumbnails(table.context(JobKind.THUMBNAILS)))
    assert len(set(whole)) == 6, "a poster and five sprites, no two alike"
    first, late = (
        pictures(table, thumbnails(node.reads(table.context(JobKind.THUMBNAILS, tiles=tiles))))
        for tiles in ([0, 1], [4, 5])
    )
    assert first == whole[:2]
    assert late == whole[5:]
    assert node.blobs.downloads == 0
    assert size_of(node.blobs.given) < table.path.stat().st_size * 0.95
    assert size_of(node.blobs.given) == size_of(merged(node.blobs.given))


def pictures(table: Worktable, made: Thumbnailed) -> list[bytes]:
    return [table.blobs.get(name.key) for name in made.names]


def names(outcome: Encoded) -> list[str]:
    """Names say which bytes they are of."""
    return [name for output in outcome.outputs for name in (output.init_name, *(each.name for each in output.segments))]
