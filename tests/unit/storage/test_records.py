"""Values to JSON and back without loss."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import pytest

from storage.ids import VideoId
from storage.media.ladder import EncodePlan
from storage.media.source import Source
from storage.media.time import FrameRange
from storage.records import from_record, to_record
from tests.builders import a_source, an_encode_plan


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    rate: Fraction
    colour: Colour = Colour.RED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    video: VideoId
    inner: Inner
    many: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (1, "one")
    maybe: Fraction | None = None
    free: dict[str, Any] | None = None


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(to_record(value)))


@pytest.mark.parametrize(
    "value",
    [
        Outer(video=VideoId("v"), inner=Inner(rate=Fraction(30_000, 1001))),
        Outer(
            video=VideoId("v"),
            inner=Inner(rate=Fraction(-1, 3)),
            many=(Inner(rate=Fraction(0)), Inner(rate=Fraction(5))),
            pair=(2, "two"),
            maybe=Fraction(1, 7),
            free={"a": [1, 2.5, None, True]},
        ),
    ],
)
def test_a_value_survives_json(value: Outer) -> None:
    assert from_record(Outer, through_json(value)) == value


def test_the_values_that_columns_hold_survive_json() -> None:
    plan, source = an_encode_plan(), a_source()
    assert from_record(EncodePlan, through_json(plan)) == plan
    assert from_record(Source, through_json(source)) == source


def test_fractions_are_exact_text() -> None:
    assert to_record(Fraction(30_000, 1001)) == "30000/1001"
    assert to_record(Fraction(2)) == "2/1"


def test_an_older_worker_reads_what_a_newer_one_wrote() -> None:
    record = to_record(Inner(rate=Fraction(25))) | {"added_later": {"by": "a newer version"}}
    assert from_record(Inner, record) == Inner(rate=Fraction(25))


def test_a_newer_worker_reads_what_an_older_one_wrote() -> None:
    assert from_record(Inner, {"rate": "25/1"}).colour is Colour.RED


def test_reading_checks_what_the_value_itself_checks() -> None:
    with pytest.raises(ValueError, match="not a range of frames"):
        from_record(FrameRange, {"start": 5, "stop": 5})
    with pytest.raises(ValueError, match="blue"):
        from_record(Inner, {"rate": "1/1", "colour": "blue"})


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, Outer])
def test_what_has_no_record_is_a_bug(value: object) -> None:
    with pytest.raises(TypeError):
        to_record(value)


def test_a_tuple_of_fixed_length_must_have_it() -> None:
    record = to_record(Outer(video=VideoId("v"), inner=Inner(rate=Fraction(1)))) | {"pair": [1]}
    with pytest.raises(ValueError, match="shorter"):
        from_record(Outer, record)
