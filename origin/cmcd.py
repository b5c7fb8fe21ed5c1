"""CMCD (CTA-5004), versions 1 and 2, as a small library: text from a query, from headers or from an event report in, one
typed value out. Players are other people's programs: whatever does not fit is left out, nothing raises.

Version 2 writes structured fields (RFC 9651): inner lists ``br=(4500 800)``, parameters behind values, tokens. Version 1
is the part of that which has single values only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_plus

MAX_CHARS = 4096
MAX_EVENTS = 200
HEADERS = ("cmcd-object", "cmcd-request", "cmcd-session", "cmcd-status")

_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]{0,63}")
_STRING = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_BARE = re.compile(r"[^,;()\s\"]+")
_PARAMETER = re.compile(r"\s*;\s*[a-z*][a-z0-9_\-.*]*(?:=(?:\"(?:[^\"\\]|\\.)*\"|[^,;()\s\"]*))?")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,6})?")

Value = bool | float | str


class ObjectType(StrEnum):
    MANIFEST = "m"
    AUDIO = "a"
    VIDEO = "v"
    MUXED = "av"
    INIT = "i"
    CAPTIONS = "c"
    TIMED_TEXT = "tt"
    KEY = "k"
    OTHER = "o"


class State(StrEnum):
    """``sta`` of version 2."""

    STARTING = "s"
    PLAYING = "p"
    SEEKING = "k"
    REBUFFERING = "r"
    PAUSED = "a"
    WAITING = "w"
    ENDED = "e"
    FAILED = "f"
    QUIT = "q"
    PRELOADING = "d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmcd:
    """What one report says; None: nothing about it. ``br_kbps`` is the bitrate of the object, ``d_ms`` its duration,
    ``pt_ms`` the position of the playhead, ``msd_ms`` the delay from the wish to play to the first picture, ``bsd_ms``
    how long each stall since the last report took, ``ts_ms`` when it was so, on the player's clock."""

    version: int = 1
    session: str | None = None
    content: str | None = None
    object_type: ObjectType | None = None
    state: State | None = None
    event: str | None = None
    br_kbps: int | None = None
    d_ms: int | None = None
    starved: bool = False
    bsd_ms: tuple[int, ...] = ()
    msd_ms: int | None = None
    pt_ms: int | None = None
    ts_ms: int | None = None
    mtp_kbps: int | None = None
    failed: bool = False
    known: Mapping[str, tuple[Value, ...]] = field(default_factory=dict, compare=False)
    """Everything that could be read, by CMCD key."""


def parse_query(query: str) -> Cmcd | None:
    """The CMCD argument of a query string; None if there is none."""
    for pair in query[: 4 * MAX_CHARS].split("&"):
        name, _, value = pair.partition("=")
        if name == "CMCD":
            return interpret(parse_fields(unquote_plus(value, errors="replace")))
    return None


def parse_headers(headers: Iterable[tuple[bytes, bytes]]) -> Cmcd | None:
    """The CMCD headers among ``headers``, names in lower case; None if there are none."""
    values = [value.decode("latin-1") for name, value in headers if name.decode("latin-1") in HEADERS]
    return interpret(parse_fields(",".join(values))) if values else None


def parse_events(body: str) -> tuple[Cmcd, ...]:
    """The reports of event mode: one a line."""
    lines = [line for line in body.splitlines()[:MAX_EVENTS] if line.strip()]
    return tuple(interpret(parse_fields(line)) for line in lines)


def parse_fields(text: str) -> dict[str, tuple[Value, ...]]:
    """The keys of a CMCD dictionary with their values; single ones are lists of one. Stops at what it cannot read: what
    came before it stands."""
    text = text[:MAX_CHARS]
    found: dict[str, tuple[Value, ...]] = {}
    at = 0
    while at < len(text):
        key = _KEY.match(text, at)
        if key is None:
            break
        at = key.end()
        values: tuple[Value, ...] = (True,)
        if at < len(text) and text[at] == "=":
            read = _read_values(text, at + 1)
            if read is None:
                break
            values, at = read
        found[key[0]] = values
        at = _skip_parameters(text, at)
        while at < len(text) and text[at] in ", \t":
            at += 1
    return found


def _read_values(text: str, at: int) -> tuple[tuple[Value, ...], int] | None:
    if at >= len(text) or text[at] != "(":
        one = _read_value(text, at)
        return None if one is None else ((one[0],), one[1])
    values: list[Value] = []
    at += 1
    while at < len(text) and text[at] != ")":
        if text[at] in " ,\t":
            at += 1
            continue
        one = _read_value(text, at)
        if one is None or len(values) >= 64:
            return None
        values.append(one[0])
        at = _skip_parameters(text, one[1])
    return (tuple(values), at + 1) if at < len(text) else None


def _read_value(text: str, at: int) -> tuple[Value, int] | None:
    string = _STRING.match(text, at)
    if string is not None:
        return re.sub(r"\\(.)", r"\1", string[1]), string.end()
    bare = _BARE.match(text, at)
    if bare is None:
        return None
    word = bare[0]
    if _NUMBER.fullmatch(word):
        return float(word), bare.end()
    return {"?1": True, "?0": False, "true": True, "false": False}.get(word, word), bare.end()


def _skip_parameters(text: str, at: int) -> int:
    while (parameter := _PARAMETER.match(text, at)) is not None:
        at = parameter.end()
    return at


def interpret(known: Mapping[str, tuple[Value, ...]]) -> Cmcd:
    """The meaning of what was read; keys whose values cannot be meant are left out."""

    def number(key: str) -> int | None:
        values = [value for value in known.get(key, ()) if isinstance(value, float)]
        return round(values[0]) if values and values[0] >= 0 else None

    def word(key: str) -> str | None:
        value = next(iter(known.get(key, ())), None)
        return value if isinstance(value, str) and 0 < len(value) <= 64 and value.isprintable() else None

    rates = [value for value in known.get("br", ()) if isinstance(value, float) and 0 < value < 1e7]
    state = word("sta")
    kind = word("ot")
    event = word("e")
    return Cmcd(
        version=number("v") or 1,
        session=word("sid"),
        content=word("cid"),
        object_type=ObjectType(kind) if kind in set(ObjectType) else None,
        state=State(state) if state in set(State) else None,
        event=event,
        br_kbps=round(max(rates)) if rates else None,
        d_ms=number("d"),
        starved=known.get("bs") == (True,),
        bsd_ms=tuple(round(value) for value in known.get("bsd", ()) if isinstance(value, float) and 0 <= value < 1e8),
        msd_ms=number("msd"),
        pt_ms=number("pt"),
        ts_ms=number("ts"),
        mtp_kbps=number("mtp"),
        failed=event == "e" or state == State.FAILED,
        known=dict(known),
    )


def as_record(report: Cmcd) -> dict[str, Any]:
    """What is known, for logs and tests: without what is not said."""
    return {
        one.name: value
        for one in fields(report)
        if one.name != "known" and (value := getattr(report, one.name)) not in (None, (), False)
    }
