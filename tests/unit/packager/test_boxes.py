"""Boxes: what fits is walked, what does not is refused."""

from __future__ import annotations

import struct

import pytest

from packager.cmaf.boxes import box, child, full_box, walk
from storage.errors import WrongOutput


def test_boxes_side_by_side_are_walked_in_order() -> None:
    data = memoryview(box(b"ftyp", b"iso6") + full_box(b"tfdt", 1, 0, bytes(8)))
    assert [(each.kind, each.start, each.content, each.stop) for each in walk(data)] == [
        (b"ftyp", 0, 8, 12),
        (b"tfdt", 12, 20, 32),
    ]


def test_a_64_bit_size_is_read() -> None:
    data = memoryview(struct.pack(">I4sQ", 1, b"mdat", 20) + b"abcd")
    (mdat,) = walk(data)
    assert bytes(data[mdat.content : mdat.stop]) == b"abcd"


def test_a_size_of_zero_reaches_to_the_end() -> None:
    (mdat,) = walk(memoryview(struct.pack(">I4s", 0, b"mdat") + b"abcd"))
    assert mdat.stop == 12


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0\0\0", id="half a header"),
        pytest.param(struct.pack(">I4s", 100, b"moov"), id="larger than the file"),
        pytest.param(struct.pack(">I4s", 7, b"moov"), id="smaller than its header"),
        pytest.param(struct.pack(">I4s", 1, b"moov"), id="half a 64-bit header"),
    ],
)
def test_a_box_that_does_not_fit_is_refused(data: bytes) -> None:
    with pytest.raises(WrongOutput):
        list(walk(memoryview(data)))


def test_a_missing_box_is_named() -> None:
    data = memoryview(box(b"moov", box(b"trak")))
    (moov,) = walk(data)
    with pytest.raises(WrongOutput) as refused:
        child(data, moov, b"trak", b"mdia")
    assert refused.value.fields == {"box": "trak/mdia"}
