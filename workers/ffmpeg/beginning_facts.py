"""Whether the beginning and the end of a file tell enough about it to start with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.errors import DamagedSource
from workers.planning.reads import EARLY_S

MOST_TIMES_FASTER = 20
"""A film whose whole is so many times denser or thinner than its beginning does not have the length that it seems to."""


def check_beginning(report: Mapping[str, Any]) -> None:
    """Raises `DamagedSource` where the report on the beginning and the end of a file is not to be believed: then all of
    the file has to be read."""
    if report["error"]:
        raise DamagedSource("The beginning of this file cannot be read.", detail=report["error"])
    if not report.get("early_bytes"):
        raise DamagedSource("The beginning of this file is longer than what was read of it.")
    pictures = any("head" in track for track in report["tracks"])
    for track in report["tracks"]:
        if track.get("sample", {}).get("from_middle"):
            raise DamagedSource("The beginning of this file does not decode.")
        if "head" in track:
            _check_length(report, track)
        elif track["type"] == "audio" and pictures and "scan" in track:
            _check_end_of_sound(report, track)
        elif "sample" in track and track["type"] == "audio" and not pictures and "scan" not in track:
            raise DamagedSource("The end of this file does not tell when its sound ends.")


def _check_end_of_sound(report: Mapping[str, Any], track: Mapping[str, Any]) -> None:
    """A film lasts as long as its sound: a few bytes in a header must not make hours of it."""
    ticks = track["scan"]["last"] + track["scan"]["last_duration"] - (track["scan"]["first"] or 0)
    if ticks * _tick_s(track) > _expected_s(report) * MOST_TIMES_FASTER:
        raise DamagedSource("The end of this file does not tell when its sound ends.")


def _tick_s(track: Mapping[str, Any]) -> float:
    numerator, _, denominator = track["time_base"].partition("/")
    return int(numerator) / int(denominator)


def _expected_s(report: Mapping[str, Any]) -> float:
    """How long the film is if all of it is as dense as its beginning."""
    return float(report["size_bytes"] / report["early_bytes"] * EARLY_S)


def _check_length(report: Mapping[str, Any], track: Mapping[str, Any]) -> None:
    head, tail = track["head"], track.get("tail")
    if not tail or head["first"] is None or tail["last"] <= head["last"]:
        raise DamagedSource("The end of this file does not tell when it ends.")
    seconds = (tail["last"] - head["first"]) * _tick_s(track)
    expected = _expected_s(report)
    if not expected / MOST_TIMES_FASTER <= seconds <= expected * MOST_TIMES_FASTER:
        raise DamagedSource("The end of this file has another clock than its beginning.")
