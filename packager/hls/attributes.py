"""Attribute lists of HLS tags (RFC 8216 section 4.2): each kind of value, rendered and checked."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

_PLACES = 6


def quoted(text: str) -> str:
    """A quoted string. The grammar knows no escapes: line breaks become spaces and double quotes single ones, as labels
    come from the source's own titles."""
    return '"' + " ".join(text.replace('"', "'").split()) + '"'


def resolution(width: int, height: int) -> str:
    return f"{width}x{height}"


def yes_no(value: bool) -> str:
    return "YES" if value else "NO"


def decimal(value: Fraction, places: int = _PLACES) -> str:
    """``value`` rounded to ``places`` decimals, always with a fraction: some parsers take ``4`` for an old integer
    duration."""
    scaled = round(value * 10**places)
    whole, fraction = divmod(scaled, 10**places)
    return f"{whole}.{fraction:0{places}d}"


def attribute_list(attributes: Mapping[str, str | int | None]) -> str:
    """``NAME=value,…`` in the given order; those that are None are left out."""
    return ",".join(f"{name}={value}" for name, value in attributes.items() if value is not None)
