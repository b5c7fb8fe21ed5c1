"""What is made from a part of a source is to the byte what is made from the whole of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from storage.blobs.memory import MemoryBlobs
from storage.jobs import Encoded, JobKind, Thumbnailed
from tests.media import Pictures, Sound, make_film
from tests.steps import Worktable, a_small_plan
from workers import sources
from workers.ffmpeg.process import Tools, find_tools
from workers.planning.reads import BEGINNING, Reads
from workers.planning.thumbnails import StoryboardPlan
from workers.sources import Fetched, SourceCache
from workers.steps.audio import audio
from workers.steps.encode import encode
from workers.steps.inspect import inspect_file
from workers.steps.thumbnails import thumbnails

pytestmark = pytest.mark.integration

SECONDS = 70  # long enough for a storyboard of keyframes alone


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture(autouse=True)
def _nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr("workers.planning.reads.GAP_BYTES", 0)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    times = [Fraction(number, 25) for number in range(SECONDS * 25)]
    return make_film(
        tmp_path_factory.mktemp("film") / "film.mp4",
        Pictures(times=times, b_frames=2, keyframe_every=60),
        Sound(seconds=Fraction(SECONDS)),
        container="mp4",
    )


@dataclasses.dataclass
class Parts:
    """Gives a job a copy of its own, as the first job of a node has it."""

    film: Path
    folder: Path
    used: list[Fetched] = dataclasses.field(default_factory=list)

    def __call__(self, reads: Reads) -> Fetched:
        blobs = MemoryBlobs()
        blobs.put("sources/film", self.film.read_bytes())
        cache = SourceCache(blobs, self.folder / str(len(self.used)), 10**9)
        self.used.append(cache.fetch_part("sources/film", reads))
        return self.used[-1]


@pytest.fixture
def parts(film: Path, tmp_path: Path) -> Parts:
    return Parts(film, tmp_path / "parts")


@pytest.fixture
def table(film: Path, tools: Tools, tmp_path: Path) -> Worktable:
    for name in ("probe", "jobs"):
        (tmp_path / name).mkdir()
    source = inspect_file(film, tools=tools, scratch=tmp_path / "probe")
    plan = a_small_plan(source, gop_frames=25, segments_per_chunk=2)
    return Worktable(path=film, source=source, plan=plan, tools=tools, scratch=tmp_path / "jobs")


def test_index_and_beginning_tell_what_reading_everything_tells(
    film: Path, parts: Parts, table: Worktable, tools: Tools, tmp_path: Path
) -> None:
    fetched = parts(BEGINNING)
    assert fetched.read_bytes < film.stat().st_size / 5
    assert inspect_file(fetched.path, tools=tools, scratch=tmp_path / "probe", index=fetched.index) == table.source


@pytest.mark.parametrize("chunk", [0, 7, -1])
def test_a_chunk_encodes_alike_from_its_part(parts: Parts, table: Worktable, chunk: int) -> None:
    number = range(len(table.plan.chunks))[chunk]
    context = table.context(JobKind.ENCODE, chunk=number, rungs=["96p"])
    from_part = encode(dataclasses.replace(context, part=parts))
    assert _names(from_part) == _names(encode(table.context(JobKind.ENCODE, chunk=number, rungs=["96p"])))
    assert [fetched.index is not None for fetched in parts.used] == [True], "at the first go"
    assert parts.used[0].read_bytes < table.path.stat().st_size / 2


@pytest.mark.parametrize("piece", [0, 2, -1])
def test_a_piece_of_sound_encodes_alike_from_its_part(parts: Parts, table: Worktable, piece: int) -> None:
    number = range(len(table.plan.audio_pieces))[piece]
    payload = {"rendition": table.plan.audio[0].name, "piece": number}
    from_part = audio(dataclasses.replace(table.context(JobKind.AUDIO, **payload), part=parts))
    assert _names(from_part) == _names(audio(table.context(JobKind.AUDIO, **payload)))
    assert [fetched.index is not None for fetched in parts.used] == [True]


def test_thumbnails_are_alike_from_keyframes_alone(parts: Parts, table: Worktable) -> None:
    from_part = thumbnails(dataclasses.replace(table.context(JobKind.THUMBNAILS), part=parts))
    whole = thumbnails(table.context(JobKind.THUMBNAILS))
    assert _pictures(from_part) == _pictures(whole)
    assert len(parts.used) == 2
    storyboard, _poster = parts.used
    assert storyboard.read_bytes < table.path.stat().st_size * 0.6


def test_a_part_that_lacks_what_is_read_is_not_believed(parts: Parts, table: Worktable) -> None:
    def too_little(_: Reads) -> Fetched:
        return parts(BEGINNING)

    context = table.context(JobKind.ENCODE, chunk=7, rungs=["96p"])
    from_part = encode(dataclasses.replace(context, part=too_little))
    assert _names(from_part) == _names(encode(table.context(JobKind.ENCODE, chunk=7, rungs=["96p"])))


def _names(outcome: Encoded) -> list[str]:
    """Names say which bytes they are of."""
    return [name for output in outcome.outputs for name in (output.init_name, *(each.name for each in output.segments))]


def _pictures(outcome: Thumbnailed) -> list[str]:
    return [name.key for name in outcome.names]


SMALL_BOARD = StoryboardPlan(
    interval=Fraction(2), count=33, width=160, height=96, columns=5, rows=1, keyframes_only=True
)
"""Seven sprites, the last one not full, that begin between keyframes."""


@pytest.mark.parametrize("edges", [(0, 3, 7), range(8)], ids=str)
def test_sprites_are_alike_however_many_jobs_make_them(
    parts: Parts, table: Worktable, monkeypatch: pytest.MonkeyPatch, edges: Sequence[int]
) -> None:
    monkeypatch.setattr("workers.steps.thumbnails.plan_storyboard", lambda *_: SMALL_BOARD)
    monkeypatch.setattr("workers.planning.reads.KEYFRAMES_AFTER", 8)
    whole = thumbnails(table.context(JobKind.THUMBNAILS))
    expected = [table.blobs.get(name.key) for name in whole.names]
    assert len(set(expected)) == 8, "a poster and seven sprites, no two alike"
    made: list[Thumbnailed] = []
    for tiles in pairwise(edges):
        first_copy = len(parts.used)
        context = table.context(JobKind.THUMBNAILS, tiles=list(tiles))
        made.append(thumbnails(dataclasses.replace(context, part=parts)))
        assert all(fetched.index is not None for fetched in parts.used[first_copy:]), "no part needed the whole film"
    assert [table.blobs.get(name.key) for outcome in made for name in outcome.names] == expected
    assert len({tuple(outcome.storyboard["tiles"]) for outcome in made}) == 1, "all parts name all sprites alike"
    named = [name.name for outcome in made for name in outcome.names if name.immutable]
    assert made[0].storyboard == whole.storyboard | {"tiles": named}
    assert all(re.fullmatch(rf"storyboard/{number}-[0-9a-f]{{12}}\.jpg", name) for number, name in enumerate(named))
    assert len({name.rpartition("-")[2] for name in named}) == 1, "names differ in their number alone"


@pytest.mark.parametrize("known", [True, False], ids=["told", "not told"])
def test_sprites_of_when_pictures_have_ended_show_the_last_one(
    parts: Parts, table: Worktable, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    board = dataclasses.replace(SMALL_BOARD, count=60)
    monkeypatch.setattr("workers.steps.thumbnails.plan_storyboard", lambda *_: board)
    assert table.source.video
    assert table.source.video.duration == SECONDS
    if not known:
        video = dataclasses.replace(table.source.video, duration=None)
        table.source = dataclasses.replace(table.source, video=video)
    whole = thumbnails(table.context(JobKind.THUMBNAILS))
    context = table.context(JobKind.THUMBNAILS, tiles=[10, 12])
    late = thumbnails(dataclasses.replace(context, part=parts))
    assert [table.blobs.get(name.key) for name in late.names] == [
        table.blobs.get(name.key) for name in whole.names[11:]
    ]
    assert len(parts.used) == (1 if known else 2)
