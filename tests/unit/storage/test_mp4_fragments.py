"""The headers of all fragments of an MP4 say together what one index would."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.media.mp4_fragments import named_fragments, parse_fragments
from storage.media.mp4_index import Mp4Index, TrackIndex, parse_mp4_index
from tests.media import Pictures, Sound, make_film
from workers.planning.reads import Reads, plan_reads

WAYS = {
    "one for each keyframe": "frag_keyframe+empty_moov+default_base_moof",
    "the first in the header's own tables": "frag_keyframe+default_base_moof",
    "places from the start of the file": "frag_keyframe+empty_moov",
    "places that nobody says": "frag_keyframe+empty_moov+omit_tfhd_offset",
    "a fragment for each track": "frag_keyframe+empty_moov+separate_moof+default_base_moof",
    "pictures shown before they are decoded": "frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets",
    "an index of segments": "frag_keyframe+empty_moov+default_base_moof+global_sidx",
    "with the places of segments, as DASH has it": "frag_keyframe+dash+delay_moov",
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds that begin late, with a gap in the pictures."""
    times = [Fraction(number + (50 if number > 100 else 0), 25) + 3 for number in range(250)]
    pictures, sound = Pictures(times=times, b_frames=2), Sound(seconds=Fraction(12), start=Fraction(3))
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", pictures, sound, container="mp4")


def in_fragments(film: Path, target: Path, flags: str) -> bytes:
    with (
        av.open(str(film)) as read,
        av.open(
            str(target), "w", format="mp4", options={"movflags": flags, "avoid_negative_ts": "disabled"}
        ) as written,
    ):
        streams = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.size:
                index = packet.stream_index
                packet.stream = streams[index]
                written.mux(packet)
    return target.read_bytes()


@pytest.fixture(scope="module")
def fragmented(film: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return in_fragments(film, tmp_path_factory.mktemp("way") / "film.mp4", WAYS["one for each keyframe"])


def boxes_of(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8].decode("latin-1"), at, data[at : at + length]
        at += length


def index_of(data: bytes) -> Mp4Index | None:
    (moov,) = (box for name, _, box in boxes_of(data) if name == "moov")
    return parse_fragments(moov, [(at, box) for name, at, box in boxes_of(data) if name == "moof"], len(data))


def bytes_of(track: TrackIndex, data: bytes) -> list[bytes]:
    """Every sample."""
    return [
        b"".join(data[start:stop] for start, stop in track.bytes_of(sample, sample + 1))
        for sample in range(track.count)
    ]


@pytest.mark.parametrize("way", WAYS)
def test_fragments_tell_what_the_index_of_the_same_film_tells(way: str, film: Path, tmp_path: Path) -> None:
    data = film.read_bytes()
    (moov,) = (box for name, _, box in boxes_of(data) if name == "moov")
    meant, found_data = parse_mp4_index(moov, len(data)), in_fragments(film, tmp_path / "film.mp4", WAYS[way])
    found = index_of(found_data)
    assert meant is not None
    assert found is not None
    for theirs, ours in zip(meant.tracks, found.tracks, strict=True):
        assert (ours.kind, ours.count) == (theirs.kind, theirs.count)
        assert bytes_of(ours, found_data) == bytes_of(theirs, data)
        assert list(ours.keyframes()) == list(theirs.keyframes())
        shift = next(ours.shown_times()) - next(
            theirs.shown_times()
        )  # one muxer writes an edit list, the other does not
        assert [time - shift for time in ours.shown_times()] == list(theirs.shown_times())
        for sample in range(0, ours.count, 17):
            assert ours.sample_at(ours.time_of(sample)) == sample


def test_a_recording_that_broke_off_has_an_index_of_what_is_there(fragmented: bytes) -> None:
    data = fragmented
    last = max(at for name, at, _ in boxes_of(data) if name == "moof")
    cut = data[: last + len(next(box for _, at, box in boxes_of(data) if at == last)) + 100]
    assert index_of(cut) is not None


def test_fragments_that_go_back_in_time_are_no_index(fragmented: bytes) -> None:
    data = fragmented
    (moov,) = (box for name, _, box in boxes_of(data) if name == "moov")
    moofs = [(at, box) for name, at, box in boxes_of(data) if name == "moof"]
    assert parse_fragments(moov, moofs, len(data)) is not None
    assert parse_fragments(moov, moofs[::-1], len(data)) is None


def test_fragments_without_times_are_no_index(fragmented: bytes) -> None:
    """Where they lie in time would depend on what was read before them."""
    assert index_of(fragmented) is not None
    assert index_of(fragmented.replace(b"tfdt", b"free")) is None


@pytest.mark.parametrize("way", ["one for each keyframe", "an index of segments"])
def test_a_file_names_its_fragments(way: str, film: Path, tmp_path: Path) -> None:
    data = in_fragments(film, tmp_path / "film.mp4", WAYS[way])
    named = {
        at for name, place, box in boxes_of(data) if name in ("mfra", "sidx") for at in named_fragments(box, place)
    }
    assert named == {at for name, at, _ in boxes_of(data) if name == "moof"}


@given(draw=st.data())
def test_fragments_with_any_byte_changed_are_refused_or_read_forwards(fragmented: bytes, draw: st.DataObject) -> None:
    whole = fragmented
    (moov,) = (box for name, _, box in boxes_of(whole) if name == "moov")
    moofs = [(at, bytearray(box)) for name, at, box in boxes_of(whole) if name == "moof"]
    _, changed = draw.draw(st.sampled_from(moofs))
    changed[draw.draw(st.integers(8, len(changed) - 1))] = draw.draw(st.integers(0, 255))
    index = parse_fragments(moov, [(at, bytes(box)) for at, box in moofs], len(whole))
    if index is not None:
        tracks = tuple(range(len(index.tracks)))
        assert all(0 <= start < stop for start, stop in plan_reads(index, Reads(tracks=tracks)))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_hint_or_none(body: bytes) -> None:
    for name in (b"sidx", b"mfra"):
        box = (len(body) + 8).to_bytes(4, "big") + name + body
        assert all(isinstance(place, int) for place in named_fragments(box, 0))
