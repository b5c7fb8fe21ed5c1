"""Whatever is wrong with the index of a file: a part of it is read, or all of it, and never nothing for an error's sake."""

from __future__ import annotations

import os
import random
import shutil
from fractions import Fraction
from pathlib import Path

import av
import pytest

from storage.blobs.memory import MemoryBlobs
from tests.media import Pictures, Sound, make_film
from tests.mutations import mutated
from workers import fragments, sources
from workers.planning.reads import BEGINNING, Reads
from workers.sources import SourceCache

COUNT = int(os.environ.get("LADDER_TEST_MUTATED_INDEXES", "60"))
SECONDS = 40
FORMATS = {
    "index first": ("mp4", {"movflags": "faststart"}),
    "index last": ("mp4", {}),
    "fragments": ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "fragments with an index of segments": ("mp4", {"movflags": "frag_keyframe+default_base_moof+global_sidx"}),
    "cues last": ("matroska", {}),
    "cues first": ("matroska", {"reserve_index_space": "4096"}),
}
WANTED = (
    BEGINNING,
    Reads(tracks=(0,), stop=Fraction(4), first_bytes=20_000),
    Reads(tracks=(0,), start=Fraction(12), stop=Fraction(20)),
    Reads(tracks=(1,), start=Fraction(27)),
    Reads(tracks=(0,), start=Fraction(20), keyframes_only=True),
)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    times = [Fraction(number, 10) for number in range(SECONDS * 10)]
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_film(path, Pictures(times=times, b_frames=2), Sound(seconds=Fraction(SECONDS)), container="mp4")


@pytest.fixture(autouse=True)
def _nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    monkeypatch.setattr(fragments, "WORTH_BYTES", 0)
    monkeypatch.setattr(fragments, "WORTH_NAMED_BYTES", 0)
    monkeypatch.setattr(fragments, "FEW", 4)


def written(film: Path, target: Path, container: str, options: dict[str, str]) -> bytes:
    with av.open(str(film)) as read, av.open(str(target), "w", format=container, options=options) as copy:
        streams = {stream.index: copy.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                copy.mux(packet)
    return target.read_bytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_with_a_damaged_index_is_read_all_the_same(kind: str, film: Path, tmp_path: Path) -> None:
    good = written(film, tmp_path / "good", *FORMATS[kind])
    for number in range(COUNT):
        data = mutated(good, random.Random(f"{kind}/{number}"))
        if not data:
            continue
        blobs = MemoryBlobs()
        blobs.put("sources/a", data)
        cache = SourceCache(blobs, tmp_path / "cache", 10**9)
        for reads in WANTED:
            fetched = cache.fetch_part("sources/a", reads)
            assert fetched.path.stat().st_size == len(data), (kind, number, reads)
            assert not fetched.whole or fetched.path.read_bytes() == data, (kind, number, reads)
        cache.close()
        shutil.rmtree(tmp_path / "cache")
