"""Which bytes of a source are read: ranges of an index, and local copies that hold only those."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.blobs.memory import MemoryBlobs
from storage.errors import StoreUnavailable
from storage.media.mp4_index import ByteRange, Mp4Index, parse_mp4_index
from tests.media import Pictures, Sound, make_film
from workers import fragments, sources
from workers.planning.reads import BEGINNING, Reads, merged, missing, plan_reads, size_of
from workers.sources import SourceCache

ranges = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)).map(lambda pair: (pair[0], sum(pair))), max_size=8)


class CountingBlobs(MemoryBlobs):
    def __init__(self, film: bytes) -> None:
        super().__init__()
        self.put("sources/a", film)
        self.read: list[ByteRange] = []
        self.downloads = 0

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        self.read.append((start, stop))
        return super().get_range(key, start, stop)

    def download(self, key: str, path: Path) -> None:
        self.downloads += 1
        super().download(key, path)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Forty seconds with a keyframe every second, index first."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    times = [Fraction(number, 25) for number in range(1000)]
    make_film(path, Pictures(times=times, b_frames=2), Sound(seconds=Fraction(40)), container="mp4")
    return path.read_bytes()


@pytest.fixture(autouse=True)
def _nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SMALL_BYTES", 0)
    monkeypatch.setattr("workers.planning.reads.GAP_BYTES", 0)


def index_of(film: bytes) -> Mp4Index:
    start = film.index(b"moov") - 4
    index = parse_mp4_index(film[start : start + int.from_bytes(film[start : start + 4], "big")], len(film))
    assert index is not None
    return index


@given(ranges, ranges)
def test_what_is_had_and_what_is_missing_make_up_what_is_wanted(wanted: list[ByteRange], had: list[ByteRange]) -> None:
    have, want = merged(had), merged(wanted)
    gone = missing(want, have)
    inside = {at for start, stop in want for at in range(start, stop)} - {
        at for start, stop in have for at in range(start, stop)
    }
    assert {at for start, stop in gone for at in range(start, stop)} == inside
    assert size_of(gone) == len(inside)


def test_the_index_of_an_mp4_tells_its_samples(film: bytes) -> None:
    pictures, sound = index_of(film).tracks
    assert (pictures.kind, pictures.count, sound.kind) == ("vide", 1000, "soun")
    assert list(pictures.keyframes()) == list(range(0, 1000, 25))
    assert sorted(time * 25 // pictures.timescale for time in pictures.shown_times()) == list(range(1000))
    assert pictures.keyframe_before(pictures.sample_at(Fraction(10))) in (225, 250)


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999], ids=str)
def test_a_file_that_is_cut_off_has_no_index(film: bytes, cut: float) -> None:
    start = film.index(b"moov") - 4
    moov = film[start : start + int.from_bytes(film[start : start + 4], "big")]
    assert parse_mp4_index(moov, int(len(film) * cut)) is None
    assert parse_mp4_index(moov[: int(len(moov) * cut)], len(film)) is None


@given(st.data())
def test_an_index_with_any_byte_changed_is_refused_or_stays_inside_the_file(film: bytes, data: st.DataObject) -> None:
    start = film.index(b"moov") - 4
    moov = bytearray(film[start : start + int.from_bytes(film[start : start + 4], "big")])
    moov[data.draw(st.integers(8, len(moov) - 1))] = data.draw(st.integers(0, 255))
    index = parse_mp4_index(bytes(moov), len(film))
    if index is not None:
        tracks = tuple(range(len(index.tracks)))
        assert all(start < stop for start, stop in plan_reads(index, Reads(tracks=tracks)))


def test_a_chunk_reads_a_part_and_the_next_one_only_what_is_new(film: bytes, tmp_path: Path) -> None:
    blobs = CountingBlobs(film)
    cache = SourceCache(blobs, tmp_path, 10**9)
    first = cache.fetch_part("sources/a", Reads(tracks=(0,), start=Fraction(20), stop=Fraction(24)))
    assert first.index is not None
    assert first.read_bytes < len(film) / 2
    assert cache.fetch_part("sources/a", Reads(tracks=(0,), start=Fraction(20), stop=Fraction(24))).read_bytes == 0
    assert SourceCache(blobs, tmp_path, 10**9).fetch_part("sources/a", BEGINNING).read_bytes == 0, "known to the node"
    more = cache.fetch_part("sources/a", Reads(tracks=(0,), start=Fraction(24), stop=Fraction(28)))
    assert 0 < more.read_bytes < first.read_bytes
    assert blobs.downloads == 0
    assert len(blobs.read) == len(set(blobs.read)), "nothing is read twice"


def test_all_parts_together_are_the_file(film: bytes, tmp_path: Path) -> None:
    cache = SourceCache(CountingBlobs(film), tmp_path, 10**9)
    part = cache.fetch_part("sources/a", Reads(tracks=(0, 1)))
    assert part.path.read_bytes() == film


def test_keyframes_alone_are_a_fraction_of_the_pictures(film: bytes, tmp_path: Path) -> None:
    wanted = plan_reads(index_of(film), Reads(tracks=(0,), keyframes_only=True))
    assert size_of(wanted) < size_of(plan_reads(index_of(film), Reads(tracks=(0,))))


def test_a_copy_that_went_away_is_begun_anew_with_its_header(film: bytes, tmp_path: Path) -> None:
    cache = SourceCache(CountingBlobs(film), tmp_path, 10**9)
    cache.fetch_part("sources/a", BEGINNING).path.unlink()
    cache.close()
    again = cache.fetch_part("sources/a", BEGINNING)
    assert again.path.read_bytes()[: len(film) // 20] == film[: len(film) // 20]


def test_a_container_without_an_index_is_copied_whole(tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.ts", Pictures(times=[Fraction(n, 25) for n in range(50)]), container="mpegts")
    blobs = CountingBlobs(path.read_bytes())
    fetched = SourceCache(blobs, tmp_path / "cache", 10**9).fetch_part("sources/a", BEGINNING)
    assert fetched.index is None
    assert fetched.path.read_bytes() == path.read_bytes()
    assert blobs.downloads == 1


def test_a_store_that_gives_too_little_is_no_part(film: bytes, tmp_path: Path) -> None:
    class Stingy(CountingBlobs):
        def get_range(self, key: str, start: int, stop: int) -> bytes:
            return super().get_range(key, start, stop)[:-1]

    with pytest.raises(StoreUnavailable):
        SourceCache(Stingy(film), tmp_path, 10**9).fetch_part("sources/a", BEGINNING)


def test_parts_make_room_for_each_other(film: bytes, tmp_path: Path) -> None:
    blobs = CountingBlobs(film)
    blobs.put("sources/b", film)
    earlier = SourceCache(blobs, tmp_path, len(film))
    first = earlier.fetch_part("sources/a", Reads(tracks=(0, 1)))
    earlier.close()
    SourceCache(blobs, tmp_path, len(film)).fetch_part("sources/b", Reads(tracks=(0, 1)))
    assert not first.path.exists()


LATE = Reads(tracks=(0,), start=Fraction(30), stop=Fraction(32))


@pytest.fixture(scope="module")
def recording(film: bytes) -> bytes:
    """The same in forty fragments, and at its end a table that names them."""
    made = io.BytesIO()
    ways = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(io.BytesIO(film)) as read, av.open(made, "w", format="mp4", options=ways) as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                written.mux(packet)
    return made.getvalue()


@pytest.fixture
def _all_fragments_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    monkeypatch.setattr(fragments, "STEP_BYTES", 512)
    monkeypatch.setattr(fragments, "FEW", 10)
    monkeypatch.setattr(fragments, "WORTH_BYTES", 1000)
    monkeypatch.setattr(fragments, "WORTH_NAMED_BYTES", 1000)


@pytest.mark.usefixtures("_all_fragments_are_worth_it")
@pytest.mark.parametrize("named", [True, False], ids=["named at the end", "found one by one"])
def test_headers_are_read_once_and_samples_where_they_are_wanted(recording: bytes, tmp_path: Path, named: bool) -> None:
    film = recording if named else recording[: recording.rindex(b"mfra") - 4]
    blobs = CountingBlobs(film)
    late = SourceCache(blobs, tmp_path, 10**9).fetch_part("sources/a", LATE)
    assert late.index is not None
    assert late.read_bytes < len(film) / 2
    assert blobs.downloads == 0
    assert sum(stop - start for start, stop in blobs.read) == late.read_bytes, "every byte is told of"
    assert late.path.read_bytes().count(b"moof") == film.count(b"moof"), "all headers are here"
    before = len(blobs.read)
    again = SourceCache(blobs, tmp_path, 10**9).fetch_part("sources/a", LATE)
    assert (again.read_bytes, len(blobs.read)) == (0, before), "another process of the machine reads nothing again"


@pytest.mark.usefixtures("_all_fragments_are_worth_it")
def test_all_tracks_from_all_fragments_are_the_film(recording: bytes, tmp_path: Path) -> None:
    part = SourceCache(CountingBlobs(recording), tmp_path, 10**9).fetch_part("sources/a", Reads(tracks=(0, 1)))
    assert part.path.read_bytes() == recording


@pytest.mark.usefixtures("_all_fragments_are_worth_it")
def test_fragments_too_short_to_walk_are_read_with_all_the_rest(
    recording: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORTH_BYTES", "WORTH_NAMED_BYTES"):
        monkeypatch.setattr(fragments, name, len(recording))
    blobs = CountingBlobs(recording)
    fetched = SourceCache(blobs, tmp_path, 10**9).fetch_part("sources/a", LATE)
    assert fetched.whole
    assert blobs.downloads == 1
    assert fetched.read_bytes == len(recording) + sum(stop - start for start, stop in blobs.read)
    assert len(blobs.read) < 30, "it is given up early"


@pytest.mark.usefixtures("_all_fragments_are_worth_it")
def test_a_look_at_what_the_file_is_does_not_go_by_its_fragments(recording: bytes, tmp_path: Path) -> None:
    cache = SourceCache(CountingBlobs(recording), tmp_path, 10**9)
    assert cache.fetch_part("sources/a", LATE).index is not None
    assert cache.fetch_part("sources/a", Reads(first_bytes=len(recording))).whole
