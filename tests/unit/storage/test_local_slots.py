"""Parts that are written to their places in what will be the object, and the cases in which they must not be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.blobs import StoredPart
from storage.blobs.local import LocalBlobs
from storage.errors import Conflict

KEY = "sources/video"


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path)


def put(blobs: LocalBlobs, multipart: str, **bodies: bytes) -> tuple[StoredPart, ...]:
    """Parts ``_1=…``, ``_2=…`` in the order in which they are named."""
    stored = [blobs.put_part(KEY, multipart, int(name[1:]), body) for name, body in bodies.items()]
    return tuple(sorted(stored, key=lambda part: part.number))


def data_of(tmp_path: Path, multipart: str) -> Path:
    return tmp_path / ".multipart" / multipart / "data"


@pytest.mark.parametrize("order", [("_1", "_2", "_3"), ("_2", "_1", "_3"), ("_2", "_3", "_1")], ids=" ".join)
def test_equal_parts_become_the_object_without_being_copied(
    blobs: LocalBlobs, tmp_path: Path, order: tuple[str, ...]
) -> None:
    bodies = {"_1": b"aaaa", "_2": b"bbbb", "_3": b"c"}
    multipart = blobs.begin_multipart(KEY)
    parts = put(blobs, multipart, **{name: bodies[name] for name in order})
    inode = data_of(tmp_path, multipart).stat().st_ino
    blobs.complete_multipart(KEY, multipart, parts)
    assert blobs.get(KEY) == b"aaaabbbbc"
    assert blobs.local_path(KEY).stat().st_ino == inode
    assert blobs.complete_multipart(KEY, multipart, parts).size_bytes == 9  # again


@pytest.mark.parametrize(
    "bodies",
    [
        {"_1": b"aa", "_2": b"bbbb", "_3": b"c"},
        {"_3": b"c", "_1": b"aaaa", "_2": b"bbbb"},
        {"_1": b"aaaa", "_2": b"b", "_3": b"cccc"},
        {"_1": b"old!", "_2": b"bbbb", "_10": b"c"},
    ],
    ids=["growing", "the last one first", "a short one inside", "numbers with a gap"],
)
def test_parts_that_do_not_fit_are_copied(blobs: LocalBlobs, bodies: dict[str, bytes]) -> None:
    multipart = blobs.begin_multipart(KEY)
    parts = put(blobs, multipart, **bodies)
    blobs.complete_multipart(KEY, multipart, parts)
    assert blobs.get(KEY) == b"".join(bodies[name] for name in sorted(bodies, key=lambda name: int(name[1:])))


def test_a_part_that_is_sent_again_does_not_touch_the_first_one(blobs: LocalBlobs, tmp_path: Path) -> None:
    multipart = blobs.begin_multipart(KEY)
    put(blobs, multipart, _1=b"aaaa", _2=b"bbbb")
    (again,) = put(blobs, multipart, _1=b"AAAA")
    assert data_of(tmp_path, multipart).read_bytes() == b"aaaabbbb"
    (last,) = put(blobs, multipart, _3=b"c")
    second = StoredPart(number=2, etag=put(blobs, multipart, _2=b"bbbb")[0].etag, size_bytes=4)
    blobs.complete_multipart(KEY, multipart, (again, second, last))
    assert blobs.get(KEY) == b"AAAAbbbbc"


def test_the_same_bytes_again_are_those_that_are_in_their_place(blobs: LocalBlobs, tmp_path: Path) -> None:
    """As whoever goes on after a crash sends them: what its predecessor stored and did not record."""
    multipart = blobs.begin_multipart(KEY)
    parts = put(blobs, multipart, _1=b"aaaa", _2=b"bb")
    assert put(blobs, multipart, _1=b"aaaa", _2=b"bb") == parts
    (longer,) = put(blobs, multipart, _2=b"bbc")
    assert longer != parts[1]
    inode = data_of(tmp_path, multipart).stat().st_ino
    blobs.complete_multipart(KEY, multipart, parts)
    assert (blobs.get(KEY), blobs.local_path(KEY).stat().st_ino) == (b"aaaabb", inode)


def test_pieces_are_written_as_the_part_that_they_are_together(blobs: LocalBlobs) -> None:
    multipart = blobs.begin_multipart(KEY)
    pieces = [bytes([n % 256]) * (n % 7) for n in range(3000)]
    parts = [blobs.gather_part(KEY, multipart, number, pieces) for number in (1, 2)]
    other = [*pieces[:-1], memoryview(b"other")]
    parts.append(blobs.gather_part(KEY, multipart, 2, other))  # a file of its own
    blobs.complete_multipart(KEY, multipart, (parts[0], parts[2]))
    assert blobs.get(KEY) == b"".join(pieces) + b"".join(other)


def test_a_writer_that_is_late_cannot_spoil_the_object(blobs: LocalBlobs, tmp_path: Path) -> None:
    """It took a place and hung before it wrote; its successor's part is the one that was recorded."""
    multipart = blobs.begin_multipart(KEY)
    put(blobs, multipart, _1=b"aaaa")
    (tmp_path / ".multipart" / multipart / "taken-00002").touch()
    late = os.open(data_of(tmp_path, multipart), os.O_WRONLY)
    parts = (*put(blobs, multipart, _1=b"aaaa"), *put(blobs, multipart, _2=b"bbbb"))
    blobs.complete_multipart(KEY, multipart, parts)
    os.pwrite(late, b"XXXX", 4)
    os.close(late)
    assert blobs.get(KEY) == b"aaaabbbb"


def test_a_part_that_was_not_stored_joins_nothing(blobs: LocalBlobs) -> None:
    multipart = blobs.begin_multipart(KEY)
    (first,) = put(blobs, multipart, _1=b"aaaa")
    with pytest.raises(Conflict):
        blobs.complete_multipart(KEY, multipart, (first, StoredPart(number=2, etag="0" * 32, size_bytes=4)))
    second = put(blobs, multipart, _2=b"bbbb")
    blobs.complete_multipart(KEY, multipart, (first, *second))
    assert blobs.get(KEY) == b"aaaabbbb"


def test_a_join_that_was_cut_off_after_the_move_counts_as_done(blobs: LocalBlobs, tmp_path: Path) -> None:
    multipart = blobs.begin_multipart(KEY)
    parts = put(blobs, multipart, _1=b"aaaa", _2=b"bb")
    folder = tmp_path / ".multipart" / multipart
    (tmp_path / "sources").mkdir()
    (folder / "data").rename(tmp_path / "sources" / "video")
    assert blobs.complete_multipart(KEY, multipart, parts).size_bytes == 6
    assert blobs.get(KEY) == b"aaaabb"
