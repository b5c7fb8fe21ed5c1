"""Settings as text: their variables' names, what these may hold, and what is shown of it. Pure."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from storage.errors import InvalidRequest

PREFIX = "FISHLADDER_"


def variable(name: str) -> str:
    """``database_url`` → ``FISHLADDER_DATABASE_URL``."""
    return PREFIX + name.upper()


def unknown(key: str, known: tuple[str, ...]) -> str:
    """The sentence about a variable that is no setting."""
    near = difflib.get_close_matches(key.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in known], n=1)
    hint = f" Did you mean {PREFIX}{near[0]}?" if near else ""
    return f"There is no setting {key}.{hint} `fishladder settings` lists all of them."


def parse(key: str, kind: Any, text: str) -> Any:
    """``text`` as a value of ``kind``; an optional setting is unset by an empty text. Raises `InvalidRequest`."""
    if typing.get_origin(kind) is types.UnionType:
        (inner,) = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        return None if text == "" else parse(key, inner, text)
    if typing.get_origin(kind) is tuple:
        (item, _) = typing.get_args(kind)
        return tuple(parse(key, item, part.strip()) for part in text.split(",") if part.strip())
    try:
        return cast(Callable[[str], Any], kind)(text)
    except ValueError as error:
        raise InvalidRequest(f"{key} is {text!r}, but must be {_expected(kind)}.", variable=key) from error


def _expected(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "one of " + ", ".join(kind)
    return "a whole number" if kind is int else f"a {kind.__name__}"


def type_name(kind: Any) -> str:
    """What people read of the type ``kind``."""
    if typing.get_origin(kind) is types.UnionType:
        (inner,) = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        return f"{type_name(inner)}, optional"
    if typing.get_origin(kind) is tuple:
        return f"list of {type_name(typing.get_args(kind)[0])}"
    if issubclass(kind, StrEnum):
        return " | ".join(kind)
    return {str: "text", int: "whole number", Path: "path"}[kind]


def render(value: object) -> str:
    """``value`` as `parse` reads it."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def masked(text: str, *, secret: bool) -> str:
    """A secret keeps nothing but, in a URL, what is not its password."""
    if not secret or not text:
        return text
    if "://" not in text:
        return "********"
    parts = urlsplit(text)
    if parts.password is None:
        return text
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:********@{host}"))
