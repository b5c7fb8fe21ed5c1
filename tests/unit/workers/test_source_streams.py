"""Bytes for a tool that reads a source through us: right, few, and no more than it may."""

from __future__ import annotations

import errno
import os
import random
import socket
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.blobs.local import LocalBlobs
from storage.blobs.memory import MemoryBlobs
from storage.errors import StoreUnavailable
from workers import kept, sources, streams
from workers.ffmpeg.excerpting.remote import MOST_BYTES, QUESTION, READ, RemoteFile
from workers.kept import KeptReads
from workers.planning.reads import Reads
from workers.sources import SourceCache
from workers.streams import BLOCK_BYTES, HELD_BLOCKS, ReadTooMuch, SourceStream, answering

FILM = random.Random(1).randbytes(3 * 1024 * 1024 + 17)
FRAME = b"\xff\xfb\x90\x00".ljust(417, b"\0")  # of an MP3
LATE = Reads(tracks=(1,), start=None, stop=None)


class Store:
    """Remembers what was asked for."""

    def __init__(self, film: bytes = FILM) -> None:
        self.film = film
        self.kept: list[tuple[int, int]] = []
        self.fetched: list[tuple[int, int]] = []

    def stream(self) -> SourceStream:
        return SourceStream(len(self.film), kept=self._kept, fetch=self._fetched)

    def _kept(self, start: int, stop: int) -> bytes:
        self.kept.append((start, stop))
        return self.film[start:stop]

    def _fetched(self, start: int, stop: int) -> bytes:
        self.fetched.append((start, stop))
        return self.film[start:stop]

    @property
    def fetched_bytes(self) -> int:
        return sum(stop - start for start, stop in self.fetched)


places = st.integers(0, len(FILM) + 10)


@given(st.lists(st.tuples(places, st.integers(0, 200_000)), max_size=20), st.integers(0, 20))
def test_any_walk_reads_the_bytes_of_the_file(walk: list[tuple[int, int]], opened_at: int) -> None:
    stream = Store().stream()
    for number, (start, length) in enumerate(walk):
        if number == opened_at:
            stream.opened()
        assert stream.read(start, start + length) == FILM[start : start + length]
    stream.close()


def test_who_reads_on_is_read_ahead_for_and_nothing_is_read_twice() -> None:
    store = Store()
    stream = store.stream()
    stream.opened()
    for at in range(0, len(FILM), 10_000):
        stream.read(at, at + 10_000)
    stream.close()
    assert store.fetched_bytes == len(FILM)
    assert len(store.fetched) < 12


def test_who_leaps_about_is_given_single_blocks() -> None:
    store = Store()
    stream = store.stream()
    stream.opened()
    for at in range(5 * BLOCK_BYTES, len(FILM), 7 * BLOCK_BYTES):
        stream.read(at, at + 100)
    stream.close()
    assert all(stop - start <= BLOCK_BYTES for start, stop in store.fetched)


def test_what_opening_reads_is_kept_and_what_comes_later_is_not() -> None:
    store = Store()
    stream = store.stream()
    stream.read(0, 100)
    stream.opened()
    stream.read(2_000_000, 2_000_100)
    stream.close()
    assert [start for start, _ in store.kept] == [0]
    assert len(store.fetched) == 1


def test_memory_stays_bounded_however_much_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 64)
    stream = Store().stream()
    stream.opened()
    for at in range(0, len(FILM), 32 * 64):
        stream.read(at, at + 32 * 64)
    held = len(stream._blocks)
    stream.close()
    assert held <= HELD_BLOCKS


def test_a_short_answer_of_the_store_is_its_fault() -> None:
    stream = SourceStream(1000, kept=lambda start, stop: b"", fetch=lambda start, stop: b"")
    with pytest.raises(StoreUnavailable):
        stream.read(0, 10)


def test_a_tool_reads_seeks_and_meets_the_end() -> None:
    with answering(Store().stream(), 10**9) as (connection, _):
        file = RemoteFile(connection, len(FILM))
        assert file.read(10) == FILM[:10]
        assert file.seek(-7, os.SEEK_END) == len(FILM) - 7
        assert file.read(100) == FILM[-7:]
        assert file.read(100) == b""
        file.seek(5)
        file.opened()
        assert file.read(5) + file.read(5) == FILM[5:15]
        assert file.tell() == 15


def test_a_tool_that_asks_for_more_than_it_may_is_left_alone() -> None:
    with answering(Store().stream(), 1000) as (connection, answers):
        file = RemoteFile(connection, len(FILM))
        file.read(5000)  # opening has a measure of its own
        file.opened()
        file.read(900)
        with pytest.raises(OSError):
            file.read(900)
    assert isinstance(answers.error, ReadTooMuch)


def test_a_search_has_a_measure_apart_from_what_is_read_where_it_ends() -> None:
    with answering(Store().stream(), 1000, 5000) as (connection, answers):
        file = RemoteFile(connection, len(FILM))
        file.opened()
        file.read(900)
        file.landed()
        assert file.read(4900)
        with pytest.raises(OSError):
            file.read(900)
    assert isinstance(answers.error, ReadTooMuch)


def test_opening_has_an_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "OPENING_BYTES", 1000)
    with answering(Store().stream(), 10**9) as (connection, answers), pytest.raises(OSError):
        RemoteFile(connection, len(FILM)).read(1001)
    assert isinstance(answers.error, ReadTooMuch)


def test_a_full_disk_is_not_taken_for_a_tool_that_hung_up() -> None:
    def full(start: int, stop: int) -> bytes:
        raise OSError(errno.ENOSPC, "full")

    stream = SourceStream(1000, kept=full, fetch=full)
    with answering(stream, 10**9) as (connection, answers), pytest.raises(OSError):
        RemoteFile(connection, 1000).read(10)
    assert isinstance(answers.error, OSError)


@pytest.mark.parametrize(
    "question", [QUESTION.pack(READ, 0, MOST_BYTES + 1), QUESTION.pack(77, 0, 1), QUESTION.pack(READ, 0, 1)[:5]]
)
def test_nonsense_is_hung_up_on(question: bytes) -> None:
    with answering(Store().stream(), 10**9) as (connection, answers):
        connection.sendall(question)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert answers.error is None


def test_what_the_store_raises_waits_for_whoever_asked_for_the_tool() -> None:
    def broken(start: int, stop: int) -> bytes:
        raise StoreUnavailable("It is away.")

    stream = SourceStream(1000, kept=broken, fetch=broken)
    with answering(stream, 10**9) as (connection, answers), pytest.raises(OSError):
        RemoteFile(connection, 1000).read(10)
    assert isinstance(answers.error, StoreUnavailable)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceCache:
    monkeypatch.setattr(sources, "SOON_BYTES", 1024 * 1024)
    blobs = MemoryBlobs()
    blobs.put("sources/large", b"RIFF0000AVI " + FILM)
    blobs.put("sources/frames-and-more", FRAME * 2500 + bytes(100) + FRAME * 2500)
    blobs.put("sources/small", b"RIFF0000AVI " + FILM[: 512 * 1024])
    return SourceCache(blobs, tmp_path / "cache", 10**9)


def uncounted(_: int) -> None: ...


def test_what_opening_takes_is_read_from_the_store_once_a_machine(cache: SourceCache) -> None:
    counted: list[int] = []
    for _ in range(2):
        stream = cache.stream("sources/large", LATE, counted.append)
        assert stream is not None
        assert stream.read(0, 300_000) == (b"RIFF0000AVI " + FILM)[:300_000]
        stream.opened()
        assert stream.read(100, 200) == (b"RIFF0000AVI " + FILM)[100:200]
        stream.close()
    assert 300_000 <= sum(counted) <= 300_000 + 4 * BLOCK_BYTES


def test_files_that_are_small_or_here_or_in_place_or_hold_more_than_frames_are_not_streamed(
    cache: SourceCache, tmp_path: Path
) -> None:
    assert cache.stream("sources/small", LATE, uncounted) is None
    assert cache.stream("sources/large", LATE, uncounted) is not None
    cache.fetch("sources/large")
    assert cache.stream("sources/large", LATE, uncounted) is None
    assert cache.stream("sources/frames-and-more", LATE, uncounted) is None
    files = LocalBlobs(tmp_path / "files")
    files.put("sources/large", FILM)
    assert SourceCache(files, tmp_path / "other", 10**9).stream("sources/large", LATE, uncounted) is None


def rehearsal(cache: SourceCache, share: Fraction = Fraction(0)) -> KeptReads:
    found = cache.rehearsal("sources/large", LATE, share, uncounted)
    assert found is not None
    return found


def test_any_walk_of_a_rehearsal_reads_the_bytes_of_the_file_and_leaves_them_here(
    cache: SourceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, walk = b"RIFF0000AVI " + FILM, random.Random(2)
    places = [walk.randrange(len(film)) for _ in range(40)]
    for _ in range(2):
        stream = rehearsal(cache, Fraction(walk.randrange(4), 10))
        for number, place in enumerate(places):
            if number == 10:
                stream.landed()
            assert stream.read(place, place + 50_000) == film[place : place + 50_000]
        stream.close()
        # What nobody fetches again was noted as here.
        monkeypatch.setattr(MemoryBlobs, "get_range", None)


def test_bytes_that_did_not_come_are_not_taken_for_bytes_that_are_here(
    cache: SourceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks_off(self: MemoryBlobs, key: str, start: int, stop: int) -> bytes:
        raise StoreUnavailable("It is away.")

    stream = rehearsal(cache)
    with monkeypatch.context() as away:
        away.setattr(MemoryBlobs, "get_range", breaks_off)
        with pytest.raises(StoreUnavailable):
            stream.read(2_000_000, 2_000_100)
    assert stream.read(2_000_000, 2_000_100) == (b"RIFF0000AVI " + FILM)[2_000_000:2_000_100]
    stream.close()


def test_who_reads_on_from_where_he_landed_is_read_ahead_for_as_far_as_his_share(
    cache: SourceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "BLOCK_BYTES", 16 * 1024)
    counted: list[int] = []
    stream = cache.rehearsal("sources/large", LATE, Fraction(1, 2), counted.append)
    assert stream is not None
    stream.landed()
    before = sum(counted)
    for at in range(0, len(FILM) // 2, 65536):
        stream.read(at, at + 65536)
    assert len(counted) < 12
    assert len(FILM) // 2 <= sum(counted) - before <= len(FILM) * 0.6
    stream.close()


def test_what_is_small_or_here_or_in_vain_is_not_rehearsed(cache: SourceCache) -> None:
    assert cache.rehearsal("sources/small", LATE, Fraction(0), uncounted) is None
    stream = rehearsal(cache)
    stream.give_up()
    stream.close()
    assert cache.rehearsal("sources/large", LATE, Fraction(0), uncounted) is None
    assert cache.stream("sources/large", LATE, uncounted) is not None, "sound may be found all the same"
