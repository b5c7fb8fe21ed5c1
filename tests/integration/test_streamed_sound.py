"""Sound of files that no index lies before: packets are copied out of what the store gives, and the pieces are to the byte
those from the whole file. Nothing of the whole is on disk, and all pieces together read little more than the file."""

from __future__ import annotations

import dataclasses
import subprocess
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from storage.blobs.memory import MemoryBlobs
from storage.jobs import Encoded, JobKind
from storage.media.ladder import AudioPiece
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from tests.steps import Worktable, a_small_plan, facts_of
from workers import sources, streams
from workers.ffmpeg.process import Tools, find_tools
from workers.planning.reads import Reads
from workers.sources import SourceCache
from workers.steps.audio import audio
from workers.streams import SourceStream

pytestmark = pytest.mark.integration

SECONDS = 64
BLOCK_BYTES = 4096
# What every opening reads, and what a search for a place may cost: small beside a film of hours.
CONSTANT_BYTES = 400 * 1024
BESIDE_S = 8
FILMS = {
    "mpegts": ["-f", "mpegts", "-c:v", "copy", "-c:a", "aac"],
    "mpeg": ["-f", "vob", "-c:v", "copy", "-c:a", "ac3"],
    "avi": ["-f", "avi", "-c:v", "copy", "-c:a", "libmp3lame"],
    "avi-in-blocks": ["-f", "avi", "-c:v", "copy", "-c:a", "adpcm_ms"],
    "ogg": ["-f", "ogg", "-c:v", "libtheora", "-b:v", "500k", "-c:a", "libvorbis"],
    "asf": ["-f", "asf", "-c:v", "copy", "-c:a", "wmav2"],
    "mxf": ["-f", "mxf", "-c:v", "copy", "-c:a", "pcm_s16le", "-ar", "48000"],
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
    encoded = ["-c:v", "mpeg2video", "-b:v", "500k", "-minrate", "500k", "-maxrate", "500k", "-bufsize", "500k"]
    ffmpeg(tools, "-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound, *encoded, "-c:a", "pcm_s16le", path)
    return path


class Ranges(MemoryBlobs):
    """Gives ranges of its objects, and never one as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0
        self._counting = threading.Lock()

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        data = super().get_range(key, start, stop)
        with self._counting:
            self.read_bytes += len(data)
        return data

    def download(self, key: str, path: Path) -> None:
        raise AssertionError("all of it was asked for")


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
        context = table.context(JobKind.AUDIO, rendition=table.plan.audio[0].name, piece=number)
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
    return path


@pytest.fixture
def node(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    monkeypatch.setattr(streams, "BLOCK_BYTES", BLOCK_BYTES)
    blobs = Ranges()
    blobs.put("sources/film", film.read_bytes())
    return Node(blobs, SourceCache(blobs, tmp_path / "cache", 10**9), tmp_path / "cache")


@pytest.fixture
def table(film: Path, tools: Tools, tmp_path: Path) -> Worktable:
    """Works on the whole film."""
    (tmp_path / "jobs").mkdir()
    source = facts_of(film, film.suffix[1:].partition("-")[0])
    plan = a_small_plan(source, gop_frames=50, segments_per_chunk=1, piece_segments=5)
    return Worktable(path=film, source=source, plan=plan, tools=tools, scratch=tmp_path / "jobs")


@pytest.mark.parametrize("film", FILMS, indirect=True)
def test_pieces_from_a_stream_are_those_from_the_whole(node: Node, table: Worktable) -> None:
    size = table.path.stat().st_size
    with capture_logs() as logs:
        for piece in table.plan.audio_pieces:
            before = node.blobs.read_bytes
            streamed = node.piece(table, piece.index)
            assert node.blobs.read_bytes - before < size * share(piece) * 1.1 + CONSTANT_BYTES
            whole = audio(table.context(JobKind.AUDIO, rendition=table.plan.audio[0].name, piece=piece.index))
            assert names(streamed) == names(whole), f"piece {piece.index}"
    assert [each for each in logs if each["event"] == "excerpt_not_believed"] == []
    assert node.blobs.read_bytes < size * sum(map(share, table.plan.audio_pieces)) * 1.1 + CONSTANT_BYTES
    assert node.told_bytes == node.blobs.read_bytes
    assert sum(path.stat().st_blocks * 512 for path in node.folder.iterdir()) < size / 2, "of the whole, on disk"


def share(piece: AudioPiece) -> float:
    """How much of the film a piece takes with what is read before it and behind. Pieces of films are 5 minutes."""
    return (len(piece.frames) * AAC_FRAME_SAMPLES / AUDIO_RATE_HZ + BESIDE_S) / SECONDS


def names(outcome: Encoded) -> list[str]:
    """Names say which bytes they are of."""
    return [name for output in outcome.outputs for name in (output.init_name, *(each.name for each in output.segments))]
