"""Finding a time in files that do not say where it lies."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ffmpeg.excerpting import windows
from workers.ffmpeg.excerpting.clusters import find_cluster, tick_of
from workers.ffmpeg.excerpting.searching import BACK_S, Mark, latest_mark
from workers.ffmpeg.excerpting.splicing import SplicedFile
from workers.ffmpeg.excerpting.tags import after_metadata, find_tag
from workers.ffmpeg.excerpting.windows import WINDOW_BYTES
from workers.ffmpeg.excerpting.writing import Unfit


@dataclass
class Film:
    """Bytes with marks in them, all the same distance apart in time."""

    data: bytes
    places: list[int]
    reads: int = 0

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, start: int, wanted: int) -> bytes:
        self.reads += 1
        return self.data[start : start + wanted]


def sized(value: int, width: int) -> bytes:
    return (value | 1 << 7 * width).to_bytes(width, "big")


def cluster(number: int, payload: bytes, *, unknown: bool = False, crc: bool = False) -> bytes:
    body = (b"\xbf\x84abcd" if crc else b"") + b"\xe7\x84" + number.to_bytes(4, "big")
    body += b"\xa3" + sized(len(payload), 4) + payload
    return b"\x1f\x43\xb6\x75" + (b"\x01" + b"\xff" * 7 if unknown else sized(len(body), 8)) + body


def a_matroska(payloads: list[bytes], **changes: bool) -> Film:
    info = b"\x15\x49\xa9\x66" + sized(7, 1) + b"\x2a\xd7\xb1\x83\x0f\x42\x40"
    data = b"\x1a\x45\xdf\xa3\x84head" + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + info
    places = []
    for number, payload in enumerate(payloads):
        places.append(len(data))
        data += cluster(number, payload, **changes)
    return Film(data, places)


def tag(kind: int, milliseconds: int, payload: bytes) -> bytes:
    time = milliseconds.to_bytes(4, "big")
    header = bytes([kind]) + len(payload).to_bytes(3, "big") + time[1:] + time[:1] + bytes(3)
    return header + payload + (len(payload) + 11).to_bytes(4, "big")


def a_flash_video(payloads: list[bytes], first_ms: int = 0, metadata: bytes = b"") -> Film:
    data = b"FLV\x01\x05\x00\x00\x00\x09" + bytes(4) + (tag(0x12, 0, metadata) if metadata else b"")
    places = []
    for number, payload in enumerate(payloads):
        places.append(len(data))
        data += tag(8 + number % 2, first_ms + number, payload)
    return Film(data, places)


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


# Payloads that hold what marks begin with.
payloads = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.just(b"\x1f\x43\xb6\x75\x88aaaaaaaa"),
        st.just(b"\x08\x00\x00\x05" + bytes(7) + b"abcde"),
        st.integers(0, 9).map(lambda seed: noise(3000, seed)),
    ),
    min_size=1,
    max_size=12,
)


@given(payloads, st.data())
def test_the_next_tag_is_found_from_anywhere(contents: list[bytes], data: st.DataObject) -> None:
    film = a_flash_video(contents, first_ms=1 << 24)
    start = data.draw(st.integers(0, film.size))
    after = [number for number, place in enumerate(film.places) if place >= start]
    expected = Mark(film.places[after[0]], Fraction((1 << 24) + after[0], 1000)) if after else None
    assert find_tag(film, start, film.size) == expected


@given(payloads, st.booleans(), st.booleans(), st.data())
def test_the_next_cluster_is_found_from_anywhere(
    contents: list[bytes], unknown: bool, crc: bool, data: st.DataObject
) -> None:
    film = a_matroska(contents, unknown=unknown, crc=crc)
    start = data.draw(st.integers(0, film.size))
    after = [number for number, place in enumerate(film.places) if place >= start]
    expected = Mark(film.places[after[0]], Fraction(after[0], 1000)) if after else None
    assert find_cluster(film, tick_of(film.data), start, film.size) == expected


def test_marks_on_the_edge_of_a_window_are_found() -> None:
    for short in range(20):
        film = a_matroska([noise(WINDOW_BYTES - short - 20, 1), b"x"])
        assert find_cluster(film, Fraction(1, 1000), film.places[0] + 1, film.size) == Mark(
            film.places[1], Fraction(1, 1000)
        )


def test_a_mark_that_begins_beyond_the_stop_is_not_given() -> None:
    film = a_flash_video([b"abc", b"def"])
    assert find_tag(film, film.places[0] + 1, film.places[1]) is None
    assert find_tag(film, film.places[0] + 1, film.places[1] + 1) is not None


def test_a_file_without_marks_is_given_up_before_all_of_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "FURTHEST_BYTES", 4 * WINDOW_BYTES)
    film = Film(bytes(20 * WINDOW_BYTES), [])
    with pytest.raises(Unfit):
        find_tag(film, 0, film.size)
    assert film.reads <= 6


def test_a_tick_is_a_millisecond_unless_the_file_says_otherwise() -> None:
    film = a_matroska([b"x"])
    assert tick_of(film.data) == Fraction(1, 1000)
    assert tick_of(film.data.replace(b"\x2a\xd7\xb1\x83\x0f\x42\x40", b"\x2a\xd7\xb1\x83\x00\x51\x61")) == Fraction(
        0x5161, 10**9
    )
    assert tick_of(b"") == Fraction(1, 1000)


def test_what_follows_long_metadata_is_the_beginning_too() -> None:
    assert after_metadata(a_flash_video([b"abc"], metadata=noise(5000, 1))) == 13 + 11 + 5000 + 4
    assert after_metadata(a_flash_video([b"abc"])) == 13


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), min_size=1, max_size=80),
    st.integers(-5, 500),
    st.integers(1, 100),
)
def test_the_mark_found_is_near_the_last_one_before_the_time(
    steps: list[tuple[int, int]], time: int, near: int
) -> None:
    marks, place, at = [], 0, 0
    for length, later in steps:
        marks.append(Mark(place, Fraction(at)))
        place, at = place + length, at + later

    def find(start: int, stop: int) -> Mark | None:
        return next((mark for mark in marks if start <= mark.place < stop), None)

    found = latest_mark(find, marks[0], place, Fraction(time), near)
    best = max((mark for mark in marks if mark.time <= time), key=lambda mark: mark.place, default=marks[0])
    assert found in marks
    assert found.time <= max(time, marks[0].time)
    assert found.place <= best.place
    assert best.place - found.place <= near + 50


def test_times_that_begin_anew_are_not_searched_in() -> None:
    marks = [Mark(at, Fraction(at % 500)) for at in range(0, 1000, 10)]

    def find(start: int, stop: int) -> Mark | None:
        return next((mark for mark in marks if start <= mark.place < stop), None)

    assert BACK_S < 490
    with pytest.raises(Unfit):
        latest_mark(find, Mark(300, Fraction(300)), 1000, Fraction(450), 5)


@given(st.binary(min_size=40, max_size=300), st.data())
def test_a_spliced_file_is_its_beginning_a_filling_and_its_rest(content: bytes, data: st.DataObject) -> None:
    head = data.draw(st.integers(0, len(content)))
    rest = data.draw(st.integers(head, len(content)))
    gap = data.draw(st.sampled_from([0, rest - head])) if rest - head >= 9 else 0
    filling = b"\xec\x01" + (gap - 9).to_bytes(7, "big") if gap else b""
    file = SplicedFile(Film(content, []), Mark(head, Fraction(0)), Mark(rest, Fraction(9)), filling, gap)
    expected = content[:head] + filling.ljust(gap, b"\0") + content[rest:]
    assert file.size == len(expected)
    start = data.draw(st.integers(0, len(expected)))
    assert file.seek(start) == start
    read = b""
    while piece := file.read(data.draw(st.integers(1, 50))):
        read += piece
    assert read == expected[start:]
