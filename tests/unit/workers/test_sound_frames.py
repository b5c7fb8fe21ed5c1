"""Frames of MP3 and AAC: how many there are, where each begins, and when nobody may believe to know."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from storage.blobs.memory import MemoryBlobs
from storage.media.sound_frames import LengthTag, kind_of, length_tag
from workers import sources
from workers.frames import SoundFrames, count_frames, steady_frames, told_frames, write_down, written_down
from workers.planning.reads import Reads
from workers.shelf import Shelf
from workers.sources import SourceCache
from workers.sparse import SparseCopy, frames_note_of

ID3V2 = b"ID3\x04\0\0\0\0\x07\x68" + bytes(1000)
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + b"\xd0\x07\0\0" + (57).to_bytes(4, "little") + b"\1\0\0\0" + b"\0\0\0\xa0" + bytes(8)
APE_TAG = APE + b"x" * 25 + APE[:20] + b"\0\0\0\x80" + bytes(8)
KBPS_128, KBPS_160 = 9, 10


class Store(MemoryBlobs):
    read_bytes = 0

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        self.read_bytes += stop - start
        return super().get_range(key, start, stop)


def mp3_frame(kbps: int = KBPS_128, *, padded: bool = False, body: bytes = b"") -> bytes:
    length = 144 * {KBPS_128: 128_000, KBPS_160: 160_000}[kbps] // 44_100 + padded
    return (bytes((0xFF, 0xFB, kbps << 4 | padded << 1, 0)) + body).ljust(length, b"\0")


def steady(count: int) -> Iterator[bytes]:
    """As encoders write them: a byte more wherever one is due."""
    lag = 0
    for _ in range(count):
        lag += 144 * 128_000 % 44_100
        yield mp3_frame(padded=lag >= 44_100)
        lag %= 44_100


def varied(count: int) -> Iterator[bytes]:
    walk = random.Random(3)
    return (mp3_frame(walk.choice((KBPS_128, KBPS_160))) for _ in range(count))


def adts_frames(count: int) -> Iterator[bytes]:
    walk = random.Random(4)
    for _ in range(count):
        length = walk.randrange(7, 900)
        header = bytes((0xFF, 0xF1, 0x50, 0x80 | length >> 11, length >> 3 & 0xFF, (length & 7) << 5 | 0x1F, 0xFC))
        yield header.ljust(length, b"\0")


def xing(frames: int, size: int, *, padding: int = 0, name: bytes = b"Xing") -> bytes:
    told = name + b"\0\0\0\3" + frames.to_bytes(4, "big") + size.to_bytes(4, "big")
    return mp3_frame(body=bytes(32) + told + b"LAME".ljust(21, b"\0") + (576 << 12 | padding).to_bytes(3, "big"))


def tagged(frames: Iterable[bytes], count: int, **tag: int) -> bytes:
    sound = b"".join(frames)
    return xing(count, len(sound) + len(xing(0, 0)), **tag) + sound


def copy_of(data: bytes, folder: Path) -> tuple[SparseCopy, Store]:
    blobs = Store()
    blobs.put("sources/a", data)
    return SparseCopy(blobs, "sources/a", folder / "a.sparse", len(data)), blobs


@pytest.mark.parametrize("behind", [b"", ID3V1, APE_TAG, APE_TAG + ID3V1])
@pytest.mark.parametrize("demuxer", ["mp3", "aac"])
def test_frames_are_counted_and_tags_are_not(demuxer: str, behind: bytes, tmp_path: Path) -> None:
    frames = list(varied(500) if demuxer == "mp3" else adts_frames(500))
    data = ID3V2 + b"".join(frames) + behind
    copy, _ = copy_of(data, tmp_path)
    found = count_frames(copy, len(data), demuxer)
    assert found is not None
    assert (found.count, found.heard) == (500, 500 * found.samples)
    ends = [len(ID3V2 + b"".join(frames[:number])) for number in range(500)]
    assert [found.place(number, lambda start, stop: data[start:stop]) for number in range(500)] == ends
    assert found.place(500, lambda start, stop: data[start:stop]) == len(data), "what stands behind comes along"


def test_a_file_is_counted_through_without_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.sparse.PIECE_BYTES", 10_007)
    data = b"".join(adts_frames(2000))
    copy, blobs = copy_of(data, tmp_path)
    found = count_frames(copy, len(data), "aac")
    assert found is not None
    assert found.count == 2000
    assert blobs.read_bytes == copy.read_bytes < len(data) * 1.2
    assert sum(stop - start for start, stop in copy.have) < len(data) / 5


@pytest.mark.parametrize("demuxer", ["mp3", "aac"])
def test_a_frame_that_is_cut_off_is_the_last_one(demuxer: str, tmp_path: Path) -> None:
    """So demuxers have it too."""
    data = b"".join(varied(90) if demuxer == "mp3" else adts_frames(90))
    data += mp3_frame()[:50] if demuxer == "mp3" else b"\xff\xf1\x50\x80\x20\x1f\xfc" + bytes(40)
    copy, _ = copy_of(data, tmp_path)
    found = count_frames(copy, len(data), demuxer)
    assert found is not None
    assert found.count == 91


@pytest.mark.parametrize(
    "between",
    [bytes(10), b"\xff\xfb\x94\0".ljust(384, b"\0"), b"\xff\xfb\x00\0", ID3V2],
    ids=["zeros", "rate", "free", "tag"],
)
def test_what_else_stands_between_frames_leaves_the_count_to_others(between: bytes, tmp_path: Path) -> None:
    data = b"".join(varied(40)) + between + b"".join(varied(40))
    copy, _ = copy_of(data, tmp_path)
    assert count_frames(copy, len(data), "mp3") is None


def test_a_tag_tells_how_many_there_are_where_the_file_is_as_long_as_it_says(tmp_path: Path) -> None:
    data = ID3V2 + tagged(varied(2000), 2000, padding=1000) + ID3V1
    copy, blobs = copy_of(data, tmp_path)
    found = told_frames(copy, len(data), "mp3")
    assert found is not None
    assert (found.count, found.placed) == (2000, False)
    assert found.heard == 2000 * 1152 - (1000 - 529), "a decoder's delay is part of the padding"
    assert blobs.read_bytes < len(data) / 4


def test_a_tag_of_another_file_is_not_believed(tmp_path: Path) -> None:
    """As of a film that was cut off, or of two that were joined."""
    whole = tagged(varied(400), 400, padding=1000)
    files = {"cut": whole[:-1000], "joined": whole + b"".join(varied(100)), "with more": whole + bytes(50)}
    counts = {}
    for name, data in files.items():
        (tmp_path / name).mkdir()
        copy, _ = copy_of(data, tmp_path / name)
        assert told_frames(copy, len(data), "mp3") is None
        counts[name] = count_frames(copy, len(data), "mp3")
    assert counts["joined"] is None, "padding is told of a place that is not the end"
    assert counts["with more"] is None
    assert counts["cut"] is not None
    assert counts["cut"].heard == counts["cut"].count * 1152 < 400 * 1152 - 1000, "nothing of it is padding"


def test_a_tag_of_fraunhofers_encoder_is_read() -> None:
    told = b"VBRI\0\1\0\0\0\0" + (4711).to_bytes(4, "big") + (12).to_bytes(4, "big")
    frame = mp3_frame(body=bytes(32) + told)
    kind = kind_of("mp3", frame)
    assert kind is not None
    assert length_tag(kind, frame) == LengthTag(frames=12, size_bytes=4711)
    assert length_tag(kind, mp3_frame()) is None


@pytest.mark.parametrize("tag", [True, False])
def test_of_one_bit_rate_every_frame_is_found_by_its_number(tag: bool, tmp_path: Path) -> None:
    frames = list(steady(20_000))
    data = tagged(frames, 20_000, padding=900) if tag else ID3V2 + b"".join(frames)
    data += ID3V1
    copy, blobs = copy_of(data, tmp_path)
    found = steady_frames(copy, len(data), "mp3")
    assert found is not None
    assert (found.count, found.placed) == (20_000, True)
    assert blobs.read_bytes < len(data) / 10
    at = found.first
    for number, frame in enumerate(frames):
        if number % 997 == 0 or number > 19_990:
            assert found.place(number, lambda start, stop: data[start:stop]) == at
        at += len(frame)


@pytest.mark.parametrize("odd", [1, 7_001, 19_999])
def test_a_single_frame_of_another_length_is_seen(odd: int, tmp_path: Path) -> None:
    frames = list(steady(20_000))
    frames[odd] = mp3_frame(KBPS_160)
    data = b"".join(frames)
    copy, _ = copy_of(data, tmp_path)
    assert steady_frames(copy, len(data), "mp3") is None


def test_a_count_is_made_once_on_a_machine_and_goes_with_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SOON_BYTES", 0)
    data = b"".join(adts_frames(3000))
    blobs = Store()
    blobs.put("sources/a", data)

    def stream() -> SoundFrames | None:
        cache = SourceCache(blobs, tmp_path, 10**9)
        found = cache.stream("sources/a", Reads(tracks=(0,)), lambda size: None)
        cache.close()
        assert found is not None
        found.close()
        return found.frames

    first, before = stream(), blobs.read_bytes
    assert stream() == first
    assert first is not None
    assert blobs.read_bytes - before < len(data) / 10, "a second process finds the count"
    shelf = Shelf(tmp_path, 0)
    shelf.make_room(1)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("gate-")] == []


def test_a_note_that_is_damaged_or_of_another_file_counts_for_nothing(tmp_path: Path) -> None:
    data = b"".join(adts_frames(100))
    copy, _ = copy_of(data, tmp_path)
    found = count_frames(copy, len(data), "aac")
    assert found is not None
    note = frames_note_of(tmp_path / "a.sparse")
    write_down(found, note)
    assert written_down(note, len(data)) == found
    assert written_down(note, len(data) + 1) is None
    note.write_text(note.read_text()[:-20])
    assert written_down(note, len(data)) is None
    assert written_down(tmp_path / "none.frames", len(data)) is None
