"""Local copies of sources: one per machine, whoever asks, and room made without taking any away from its user."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from storage.blobs.local import LocalBlobs
from storage.blobs.memory import MemoryBlobs
from storage.errors import NoRoom, NotFound
from workers.sources import SourceCache


class CountingBlobs(MemoryBlobs):
    """Counts downloads, and lets a test hold them up."""

    def __init__(self, **objects: bytes) -> None:
        super().__init__()
        self.downloads: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        for name, data in objects.items():
            self.put(f"sources/{name}", data)

    def download(self, key: str, path: Path) -> None:
        self.downloads.append(key)
        assert self.may_go_on.wait(10)
        super().download(key, path)


def test_a_source_is_downloaded_once(tmp_path: Path) -> None:
    blobs = CountingBlobs(a=b"film")
    first = SourceCache(blobs, tmp_path, 1000).fetch("sources/a").path
    second = SourceCache(blobs, tmp_path, 1000).fetch("sources/a").path
    assert first == second
    assert first.read_bytes() == b"film"
    assert blobs.downloads == ["sources/a"]


def test_others_wait_for_a_download_under_way(tmp_path: Path) -> None:
    blobs = CountingBlobs(a=b"film")
    blobs.may_go_on.clear()
    with ThreadPoolExecutor(4) as pool:
        fetches = [pool.submit(SourceCache(blobs, tmp_path, 1000).fetch, "sources/a") for _ in range(4)]
        blobs.may_go_on.set()
        assert {fetch.result().path.read_bytes() for fetch in fetches} == {b"film"}
    assert len(blobs.downloads) == 1


def test_a_store_of_files_is_read_in_place(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "store")
    blobs.put("sources/a", b"film")
    path = SourceCache(blobs, tmp_path / "cache", 1000).fetch("sources/a").path
    assert path == blobs.local_path("sources/a")
    assert not (tmp_path / "cache").exists()


def test_room_is_made_from_what_was_not_wanted_for_longest(tmp_path: Path) -> None:
    blobs = CountingBlobs(a=b"x" * 400, b=b"x" * 400, c=b"x" * 400)
    earlier = SourceCache(blobs, tmp_path, 1000)
    a, b = earlier.fetch("sources/a").path, earlier.fetch("sources/b").path
    os.utime(a, (1, 1))
    os.utime(b, (2, 2))
    earlier.close()

    c = SourceCache(blobs, tmp_path, 1000).fetch("sources/c").path

    assert (a.exists(), b.exists(), c.exists()) == (False, True, True)


def test_what_somebody_uses_is_never_dropped(tmp_path: Path) -> None:
    blobs = CountingBlobs(a=b"x" * 800, b=b"x" * 800)
    user = SourceCache(blobs, tmp_path, 1000)
    a = user.fetch("sources/a").path

    b = SourceCache(blobs, tmp_path, 1000).fetch("sources/b").path

    assert a.exists()
    assert b.exists()


def test_a_source_larger_than_the_cache_is_still_fetched(tmp_path: Path) -> None:
    blobs = CountingBlobs(a=b"x" * 5000)
    assert SourceCache(blobs, tmp_path, 1000).fetch("sources/a").path.stat().st_size == 5000


def test_a_dropped_source_is_downloaded_again(tmp_path: Path) -> None:
    blobs = CountingBlobs(a=b"film")
    cache = SourceCache(blobs, tmp_path, 1000)
    cache.fetch("sources/a")
    cache.close()
    cache.fetch("sources/a").path.unlink()
    cache.close()
    assert cache.fetch("sources/a").path.read_bytes() == b"film"
    assert len(blobs.downloads) == 2


def test_an_absent_source_is_not_found_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        SourceCache(CountingBlobs(), tmp_path, 1000).fetch("sources/a")
    assert not list(tmp_path.glob("*.source"))


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.shelf.free_bytes", lambda folder: 3)
    with pytest.raises(NoRoom):
        SourceCache(CountingBlobs(a=b"film"), tmp_path, 1000).fetch("sources/a")


class HangingBlobs(CountingBlobs):
    """Writes half of a file and then waits for ever."""

    def __init__(self, half_way: Event) -> None:
        super().__init__(a=b"film")
        self._half_way = half_way

    def download(self, key: str, path: Path) -> None:
        path.write_bytes(b"fi")
        self._half_way.set()
        threading.Event().wait()


def _fetch(root: Path, half_way: Event) -> None:
    SourceCache(HangingBlobs(half_way), root, 1000).fetch("sources/a")


def test_a_killed_download_leaves_neither_lock_nor_half_a_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    half_way = context.Event()
    killed = context.Process(target=_fetch, args=(tmp_path, half_way))
    killed.start()
    assert half_way.wait(30)
    assert killed.pid
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()

    path = SourceCache(CountingBlobs(a=b"film"), tmp_path, 1000).fetch("sources/a").path

    assert path.read_bytes() == b"film"
    assert [file.name for file in tmp_path.rglob("*") if file.is_file() and not file.name.startswith("gate-")] == [
        path.name
    ]
