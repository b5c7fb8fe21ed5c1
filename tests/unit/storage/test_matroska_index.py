"""Cues of Matroska, from bytes written by hand."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from storage.media.matroska_index import MatroskaIndex, parse_matroska_index

CLUSTER_BYTES = 1000


def element(name: int, content: bytes) -> bytes:
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + (len(content) | 1 << 56).to_bytes(8, "big") + content


def number(name: int, value: int) -> bytes:
    return element(name, value.to_bytes(8, "big"))


def a_film(clusters: int = 5, *, tick_ns: int = 1_000_000) -> bytes:
    """Clusters of a thousand bytes, one for each ten seconds, and Cues for track 1 behind them."""
    info = element(0x1549A966, number(0x2AD7B1, tick_ns))
    sound = element(0xAE, number(0xD7, 2) + number(0x83, 2))
    pictures = element(0xAE, number(0xD7, 1) + number(0x83, 1))
    tracks = element(0x1654AE6B, sound + pictures)
    header_bytes = len(element(0x114D9B74, element(0x4DBB, number(0x53AB, 0) + number(0x53AC, 0))) + info + tracks)
    cluster = element(0x1F43B675, b"\0" * (CLUSTER_BYTES - 12))
    cues_at = header_bytes + clusters * CLUSTER_BYTES
    seek = element(0x114D9B74, element(0x4DBB, number(0x53AB, 0x1C53BB6B) + number(0x53AC, cues_at)))
    points = b"".join(
        element(
            0xBB,
            number(0xB3, place * 10_000)
            + element(0xB7, number(0xF7, 2) + number(0xF1, 7))
            + element(0xB7, number(0xF7, 1) + number(0xF1, header_bytes + place * CLUSTER_BYTES)),
        )
        for place in range(clusters)
    )
    content = seek + info + tracks + clusters * cluster + element(0x1C53BB6B, points)
    return element(0x1A45DFA3, b"") + element(0x18538067, content)


def parsed(film: bytes) -> MatroskaIndex | None:
    return parse_matroska_index(film[:500], len(film), lambda start, stop: film[start:stop])


def test_a_keyframe_s_cluster_is_found_by_time() -> None:
    film = a_film()
    index = parsed(film)
    assert index is not None
    starts = [index.first_cluster + number * CLUSTER_BYTES for number in range(5)]
    assert film[starts[4] :].startswith(b"\x1f\x43\xb6\x75")
    assert index.bytes_of(None, Fraction(2)) == (starts[0], starts[1])
    assert index.bytes_of(Fraction(10), Fraction(19)) == (starts[1], starts[2])
    assert index.bytes_of(Fraction(9), Fraction(20)) == (starts[0], starts[3])
    assert index.bytes_of(Fraction(45), Fraction(60)) == (starts[4], len(film)), "there is nothing after the last"


def test_times_are_in_the_film_s_own_ticks() -> None:
    index = parsed(a_film(tick_ns=500_000))
    assert index is not None
    assert index.bytes_of(Fraction(5), Fraction(6))[0] == index.first_cluster + CLUSTER_BYTES


def test_a_film_without_cues_has_no_index() -> None:
    film = a_film()
    assert parsed(film[: film.index(b"\x1c\x53\xbb\x6b", 500)]) is None


@given(st.data())
def test_no_bytes_break_it(data: st.DataObject) -> None:
    film = bytearray(a_film(3))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(film) - 1))
        film[at] = data.draw(st.integers(0, 255))
    index = parsed(bytes(film))
    assert index is None or 0 <= index.places[0] <= index.places[-1] < len(film)
