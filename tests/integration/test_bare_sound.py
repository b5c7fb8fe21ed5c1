"""Files of sound alone are neither copied nor read to their end before they play: their beginning and their last bytes tell
what they are, and every piece is to the byte what the whole file gives."""

from __future__ import annotations

import dataclasses
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from storage.errors import DamagedSource
from storage.jobs import Encoded, JobKind
from storage.media.ladder import EncodePlan
from storage.media.source import Source
from tests.large import Ranges
from tests.steps import Worktable
from workers import sources, streams
from workers.ffmpeg.process import Tools, find_tools
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import ChunkPolicy, Policy
from workers.planning.reads import Reads
from workers.sources import SourceCache
from workers.steps import inspect
from workers.steps.audio import audio
from workers.steps.context import StepContext
from workers.steps.inspect import inspect_file

pytestmark = pytest.mark.integration

SECONDS = 60
END_BYTES = 64 * 1024
POLICY = Policy(chunks=ChunkPolicy(first_audio_piece_s=4, audio_growth=4, audio_piece_s=16))
MP3 = ["-f", "mp3", "-c:a", "libmp3lame"]
FILES = {
    "wav": ["-f", "wav", "-c:a", "pcm_s24le", "-ar", "48000"],
    "rf64": ["-f", "wav", "-rf64", "always"],
    "w64": ["-f", "w64"],
    "wav-of-unknown-length": ["-f", "wav", "pipe:1"],
    "aiff": ["-f", "aiff"],
    "flac": ["-f", "flac"],
    "flac-of-unknown-length": ["-f", "flac", "pipe:1"],
    "mp3-with-its-length": [*MP3, "-q:a", "4"],
    "mp3-of-one-rate": [*MP3, "-b:a", "128k"],
    "mp3-of-one-rate-and-no-tag": [*MP3, "-b:a", "128k", "-write_xing", "0"],
    "mp3-of-unknown-length": [*MP3, "-q:a", "4", "-write_xing", "0"],
    "aac": ["-f", "adts", "-c:a", "aac", "-b:a", "96k"],
    "ogg": ["-f", "ogg", "-c:a", "libopus", "-ar", "48000", "-b:a", "128k"],
}
COUNTED = {"mp3-of-unknown-length", "aac"}
"""Nothing in them tells how long they are: they are read once, and nothing of them kept."""
COUNTED_LATER = {"mp3-with-its-length"}
LIKE_OTHERS = {"rf64", "w64", "wav-of-unknown-length", "flac-of-unknown-length", "mp3-of-one-rate-and-no-tag"}
"""Only what they are, and where they end, is told in another way."""


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture(scope="module")
def original(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "original.wav"
    # With noise, which AAC decoders make up as they go: it is that of the whole only from the same packet on.
    left, right = ("0.3*sin(2*PI*(200*t+15*t*t))+0.2*random(0)", "0.3*sin(2*PI*(300*t+10*t*t))")
    ffmpeg(tools, "-f", "lavfi", "-i", f"aevalsrc={left}|{right}:s=44100:d={SECONDS}", path)
    return path


@pytest.fixture(scope="module", params=FILES)
def file(
    request: pytest.FixtureRequest, original: Path, tools: Tools, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("file") / f"file.{request.param}"
    *arguments, last = [*FILES[request.param]]
    to = [last] if last == "pipe:1" else [last, path]
    path.write_bytes(b"")
    with path.open("r+b") as written:
        ffmpeg(tools, "-y", "-i", original, *arguments, *to, stdout=written)
    return path


def ffmpeg(tools: Tools, *arguments: object, stdout: object = None) -> None:
    argv = [str(tools.ffmpeg), "-nostdin", "-loglevel", "error", *map(str, arguments)]
    subprocess.run(argv, check=True, stdout=stdout)  # type: ignore[call-overload]


@dataclasses.dataclass
class Node:
    """A machine that has nothing of the file yet, and may never have all of it."""

    blobs: Ranges
    cache: SourceCache
    folder: Path

    def context(self, context: StepContext) -> StepContext:
        return dataclasses.replace(
            context,
            source=self._whole,
            part=lambda reads: self.cache.fetch_part("sources/file", reads),
            stream=lambda reads: self.cache.stream("sources/file", reads, lambda size: None),
        )

    def _whole(self) -> Path:
        raise AssertionError("all of it was asked for")


@pytest.fixture
def node(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    monkeypatch.setattr(sources, "END_BYTES", END_BYTES)
    monkeypatch.setattr(streams, "BLOCK_BYTES", 4096)
    size = file.stat().st_size
    monkeypatch.setattr(inspect, "BEGINNINGS", (Reads(first_bytes=(size - END_BYTES) // 2),))
    blobs = Ranges(whole=False)
    blobs.put("sources/file", file.read_bytes())
    return Node(blobs, SourceCache(blobs, tmp_path / "cache", 10**9), tmp_path / "cache")


@pytest.fixture
def table(file: Path, tools: Tools, tmp_path: Path) -> Worktable:
    """Works on the whole file."""
    for name in ("probe", "jobs"):
        (tmp_path / name).mkdir()
    source = inspect_file(file, tools=tools, scratch=tmp_path / "probe")
    return Worktable(path=file, source=source, plan=planned(source), tools=tools, scratch=tmp_path / "jobs")


def test_a_file_of_sound_starts_from_its_beginning_and_every_piece_is_that_of_the_whole(
    node: Node, table: Worktable
) -> None:
    size, kind = table.path.stat().st_size, table.path.suffix[1:]
    found = inspect._source(node.context(table.context(JobKind.INSPECT)))
    if kind == "ogg":  # its last page tells the time, the encoder's delay included
        assert abs(found.duration - table.source.duration) < Fraction(1, 100)
    else:
        assert dataclasses.replace(found, early_bytes=None) == table.source
    assert found.early_bytes is not None
    assert node.blobs.read_bytes <= size // 2 + 2 * END_BYTES + (size if kind in COUNTED else 0)

    from_parts = dataclasses.replace(table, source=dataclasses.replace(table.source, early_bytes=found.early_bytes))
    pieces = table.plan.audio_pieces
    left_to_count = {2: size} if kind in COUNTED_LATER else {}
    for piece in (pieces[0], pieces[2], pieces[-1]) if kind not in LIKE_OTHERS else pieces[-1:]:
        payload = {"rendition": table.plan.audio[0].name, "piece": piece.index}
        before = node.blobs.read_bytes
        with capture_logs() as logs:
            made = audio(node.context(from_parts.context(JobKind.AUDIO, **payload)))
        assert node.blobs.read_bytes - before < size / 2 + left_to_count.get(piece.index, 0), f"piece {piece.index}"
        assert [each for each in logs if each["event"].endswith("not_believed")] == []
        assert names(made) == names(audio(table.context(JobKind.AUDIO, **payload))), f"piece {piece.index}"
    assert sum(path.stat().st_blocks * 512 for path in node.folder.iterdir()) < size * 0.8, "of the whole, on disk"


@pytest.mark.parametrize("kind", ["aiff", "flac"])
def test_a_file_that_ends_before_its_header_says_is_not_believed_by_its_beginning(
    kind: str, original: Path, tools: Tools, tmp_path: Path
) -> None:
    path, cut = tmp_path / "file", tmp_path / "cut"
    ffmpeg(tools, "-i", original, *FILES[kind], path)
    size = path.stat().st_size
    assert inspect_file(path, tools=tools, scratch=tmp_path, first_bytes=size // 2).early_bytes is not None
    cut.write_bytes(path.read_bytes()[: size * 9 // 10])
    with pytest.raises(DamagedSource, match="when its sound ends"):
        inspect_file(cut, tools=tools, scratch=tmp_path, first_bytes=size // 2)


def planned(source: Source) -> EncodePlan:
    return plan_encode(source, POLICY)


def names(outcome: Encoded) -> list[str]:
    """Names say which bytes they are of."""
    return [name for output in outcome.outputs for name in (output.init_name, *(each.name for each in output.segments))]
