"""Sound of files that no index lies before: packets are copied out of what the store gives, and the pieces are to the byte
those from the whole file. Nothing of the whole is on disk, and all pieces together read little more than the file."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from storage.errors import StoreUnavailable, ToolFailed
from storage.jobs import Encoded, JobKind
from storage.media.ladder import AudioPiece
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from tests.builders import a_source, an_audio_track
from tests.large import Ranges
from tests.steps import Worktable, a_small_plan, facts_of
from workers import headers, sources, streams
from workers.ffmpeg.excerpting.splicing import SEARCHED
from workers.ffmpeg.excerpts import PROGRAM, excerpt_command
from workers.ffmpeg.process import Interrupted, Tools, find_tools, run_tool
from workers.planning.reads import Reads
from workers.sources import SourceCache
from workers.steps import listening
from workers.steps.audio import audio
from workers.steps.context import StepContext
from workers.streams import SourceStream

pytestmark = pytest.mark.integration

SECONDS = 48
BLOCK_BYTES = 4096
# Small beside a film of hours: what the first to open a film on a machine reads, and what a search for a place may cost.
OPENING_BYTES, SEARCH_BYTES = 1600 * 1024, 500 * 1024
BESIDE_S, BESIDE_SEARCHED_S = 8, 20
"""What is read before a piece and behind it; more where keyframes are looked for. Pieces of films are 5 minutes."""
CUES, UNHEARD_OF = b"\x1c\x53\xbb\x6b", b"\x1c\x53\xbb\x6a"
FILMS = {
    "mpegts": ["-f", "mpegts", "-c:v", "copy", "-c:a", "aac"],
    "mpeg": ["-f", "vob", "-c:v", "copy", "-c:a", "ac3"],
    "avi": ["-f", "avi", "-c:v", "copy", "-c:a", "libmp3lame"],
    "avi-in-blocks": ["-f", "avi", "-c:v", "copy", "-c:a", "adpcm_ms"],
    "ogg": ["-f", "ogg", "-c:v", "libtheora", "-b:v", "1500k", "-c:a", "libvorbis"],
    "asf": ["-f", "asf", "-c:v", "copy", "-c:a", "wmav2"],
    "mxf": ["-f", "mxf", "-c:v", "copy", "-c:a", "pcm_s16le", "-ar", "48000"],
    "flv": ["-f", "flv", "-c:v", "flv", "-g", "125", "-b:v", "1500k", "-c:a", "aac"],
    "matroska": ["-f", "matroska", "-c:v", "copy", "-c:a", "aac"],
    "matroska-live": ["-f", "matroska", "-live", "1", "-c:v", "copy", "-c:a", "libopus", "-ar", "48000"],
}


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
    encoded = ["-c:v", "mpeg2video", "-b:v", "1500k", "-minrate", "1500k", "-maxrate", "1500k", "-bufsize", "1500k"]
    ffmpeg(tools, "-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound, *encoded, "-c:a", "pcm_s16le", path)
    return path


@dataclasses.dataclass
class Node:
    """A machine that has nothing of the film yet."""

    blobs: Ranges
    cache: SourceCache
    folder: Path
    told_bytes: int = 0

    def stream(self, reads: Reads) -> SourceStream | None:
        return self.cache.stream("sources/film", reads, self._count)

    def piece(self, table: Worktable, number: int) -> Encoded:
        """A piece from the stream, or from a part where that is known to do. Never from the whole."""
        context = a_piece(table, number)
        return audio(
            dataclasses.replace(
                context,
                source=self._whole,
                part=lambda reads: self.cache.fetch_part("sources/film", reads),
                stream=self.stream,
            )
        )

    def _whole(self) -> Path:
        raise AssertionError("all of it was asked for")

    def _count(self, size: int) -> None:
        self.told_bytes += size


@pytest.fixture
def film(request: pytest.FixtureRequest, original: Path, tools: Tools, tmp_path: Path) -> Path:
    path = tmp_path / f"film.{request.param}"
    ffmpeg(tools, "-i", original, *FILMS[request.param], path)
    path.write_bytes(path.read_bytes().replace(CUES, UNHEARD_OF))  # they are as long
    return path


@pytest.fixture
def node(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    monkeypatch.setattr(streams, "BLOCK_BYTES", BLOCK_BYTES)
    blobs = Ranges(whole=False)
    blobs.put("sources/film", film.read_bytes())
    return Node(blobs, SourceCache(blobs, tmp_path / "cache", 10**9), tmp_path / "cache")


@pytest.fixture
def table(film: Path, tools: Tools, tmp_path: Path) -> Worktable:
    """Works on the whole film."""
    (tmp_path / "jobs").mkdir()
    source = facts_of(film, film.suffix[1:].partition("-")[0])
    plan = a_small_plan(source, gop_frames=50, segments_per_chunk=1, piece_segments=4)
    return Worktable(path=film, source=source, plan=plan, tools=tools, scratch=tmp_path / "jobs")


@pytest.mark.parametrize("film", FILMS, indirect=True)
def test_pieces_from_a_stream_are_those_from_the_whole(node: Node, table: Worktable) -> None:
    size = table.path.stat().st_size
    with capture_logs() as logs:
        for piece in streamed_pieces(table):
            before = node.blobs.read_bytes
            streamed = node.piece(table, piece.index)
            beside = SEARCH_BYTES if before else OPENING_BYTES + SEARCH_BYTES
            assert node.blobs.read_bytes - before < size * share(table, piece) * 1.1 + beside
            whole = audio(a_piece(table, piece.index))
            assert names(streamed) == names(whole), f"piece {piece.index}"
    assert [each for each in logs if each["event"] == "excerpt_not_believed"] == []
    assert node.told_bytes == node.blobs.read_bytes
    assert sum(path.stat().st_blocks * 512 for path in node.folder.iterdir()) < size / 2, "of the whole, on disk"


@pytest.mark.parametrize("film", ["mpegts", "flv"], indirect=True)
def test_of_a_damaged_file_a_stream_gives_what_the_whole_gives(node: Node, table: Worktable) -> None:
    damaged = bytearray(table.path.read_bytes())
    for at in range(30_000, len(damaged), 40_000):
        damaged[at : at + 200] = bytes(200)
    table.path.write_bytes(damaged)
    node.blobs.put("sources/film", bytes(damaged))
    context = dataclasses.replace(a_piece(table, 2), stream=node.stream)
    assert names(audio(context)) == names(audio(a_piece(table, 2)))


@pytest.mark.parametrize("film", ["mpegts", "matroska"], indirect=True)
def test_where_sound_has_ended_there_is_silence_and_no_copy(
    node: Node, table: Worktable, original: Path, tools: Tools
) -> None:
    muxed = FILMS[table.path.suffix[1:]]
    ffmpeg(tools, "-i", original, "-af", "atrim=end=12", "-y", *muxed, table.path)
    node.blobs.put("sources/film", table.path.read_bytes().replace(CUES, UNHEARD_OF))
    assert names(node.piece(table, 2)) == names(audio(a_piece(table, 2)))


@pytest.mark.parametrize("film", ["mpegts"], indirect=True)
def test_a_tool_that_reads_without_end_gives_way_to_a_copy(
    node: Node, table: Worktable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "SEARCH_BYTES", 0)
    monkeypatch.setattr(listening, "DENSEST", Fraction(1, 4))
    with capture_logs() as logs:
        streamed = audio(dataclasses.replace(a_piece(table, 2), stream=node.stream))
    assert [each["said"] for each in logs if each["event"] == "excerpt_not_believed"] == ["ReadTooMuch"]
    assert names(streamed) == names(audio(a_piece(table, 2)))
    assert node.blobs.read_bytes < table.path.stat().st_size / 2


@pytest.mark.parametrize("film", ["mpegts"], indirect=True)
def test_a_store_that_is_away_is_no_fault_of_the_film(
    node: Node, table: Worktable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(key: str, start: int, stop: int) -> bytes:
        raise StoreUnavailable("It is away.")

    context = dataclasses.replace(a_piece(table, 2), stream=node.stream)
    assert node.stream(Reads(tracks=(1,))) is not None
    monkeypatch.setattr(node.blobs, "get_range", away)
    with pytest.raises(StoreUnavailable):
        audio(context)


@pytest.mark.parametrize("film", ["mpegts"], indirect=True)
def test_a_job_that_is_stopped_while_it_reads_ends_there(
    node: Node, table: Worktable, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = dataclasses.replace(a_piece(table, 2), stream=node.stream)
    given = node.blobs.get_range

    def last(key: str, start: int, stop: int) -> bytes:
        context.stop.set()
        return given(key, start, stop)

    assert node.stream(Reads(tracks=(1,))) is not None
    monkeypatch.setattr(node.blobs, "get_range", last)
    with pytest.raises(Interrupted):
        audio(context)


def test_a_tool_ends_with_the_worker_that_answers_it(tools: Tools, tmp_path: Path) -> None:
    """Where there is no cage either: a worker that was killed has closed its end."""
    ours, theirs = socket.socketpair()
    source = a_source(demuxer="mpegts", audio=(an_audio_track(index=1),))
    plan = a_small_plan(source)
    argv = excerpt_command(tools, source, plan.audio[0], plan.audio_pieces[0], size=10**9, to=tmp_path / "excerpt")
    hang_up = threading.Thread(target=lambda: (ours.recv(1), ours.close()))
    hang_up.start()
    with theirs, pytest.raises(ToolFailed, match="exit code 1") as failure:
        run_tool(
            argv,
            tools=dataclasses.replace(tools, bwrap=None),
            scratch=tmp_path,
            stdin=theirs.fileno(),
            reads=(PROGRAM,),
        )
    hang_up.join()
    assert "Connection" in failure.value.stderr_tail or "Broken" in failure.value.stderr_tail


def a_piece(table: Worktable, number: int) -> StepContext:
    """Work on the whole."""
    return table.context(JobKind.AUDIO, rendition=table.plan.audio[0].name, piece=number)


def streamed_pieces(table: Worktable) -> list[AudioPiece]:
    """The first comes from a copy of the beginning where that is known to do (`test_beginnings`)."""
    return [piece for piece in table.plan.audio_pieces if piece.index or table.source.demuxer not in headers.READ_ON]


def share(table: Worktable, piece: AudioPiece) -> float:
    """How much of the film a piece takes."""
    beside_s = BESIDE_SEARCHED_S if table.source.demuxer in SEARCHED else BESIDE_S
    return (len(piece.frames) * AAC_FRAME_SAMPLES / AUDIO_RATE_HZ + beside_s) / SECONDS


def names(outcome: Encoded) -> list[str]:
    """Names say which bytes they are of."""
    return [name for output in outcome.outputs for name in (output.init_name, *(each.name for each in output.segments))]
