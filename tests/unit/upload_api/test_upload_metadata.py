from __future__ import annotations

import base64

import pytest

from storage.errors import InvalidRequest
from storage.jobs import Lane
from upload_api.tus.metadata import MAX_METADATA_BYTES, parse_metadata, read_wishes


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_24_keys_without_a_value_are_fine() -> None:
    assert parse_metadata("flag,name YQ==,other ") == {"flag": b"", "name": b"a", "other": b""}


@pytest.mark.parametrize(
    "raw",
    ["a YQ==,a Yg==", "a YQ==,,b Yg==", ",", "a not!base64", "a YQ", "a YQ== x", "a \xe9"],
    ids=["twice", "hole", "only a comma", "alphabet", "padding", "two values", "not ASCII"],
)
def test_24_malformed_metadata_is_refused(raw: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_metadata(raw)


def test_metadata_has_a_limit() -> None:
    with pytest.raises(InvalidRequest):
        parse_metadata("a " + "A" * MAX_METADATA_BYTES)


@pytest.mark.parametrize(
    ("metadata", "title", "filename"),
    [
        ({}, "Untitled", None),
        ({"filename": b"holiday.final.mp4"}, "holiday.final", "holiday.final.mp4"),
        ({"name": b"x.mov"}, "x", "x.mov"),
        ({"title": b"A day", "filename": b"x.mov"}, "A day", "x.mov"),
        ({"filename": b"../../etc/passwd"}, "passwd", "passwd"),
        ({"filename": b"C:\\clips\\a.avi"}, "a", "a.avi"),
        ({"title": b"two\r\nlines\x00here"}, "two lines here", None),
        ({"title": "Zażółć 🐟".encode()}, "Zażółć 🐟", None),
        ({"title": b"\xff\xfe"}, "\ufffd\ufffd", None),
        ({"title": b"x" * 500}, "x" * 200, None),
        ({"filename": b".mp4"}, ".mp4", ".mp4"),
    ],
)
def test_titles_and_names_are_made_harmless(metadata: dict[str, bytes], title: str, filename: str | None) -> None:
    wishes = read_wishes(metadata)
    assert (wishes.title, wishes.filename) == (title, filename)


def test_priority_chooses_a_granted_lane() -> None:
    assert read_wishes({}).lane is Lane.STANDARD
    assert read_wishes({"priority": b"bulk"}).lane is Lane.BULK
    for priority in (b"playable", b"urgent"):
        with pytest.raises(InvalidRequest):
            read_wishes({"priority": priority})
