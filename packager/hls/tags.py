"""The tags that both kinds of playlist know, and what every tag can do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from packager.hls.attributes import attribute_list, decimal, yes_no

PROTOCOL_VERSION = 6
"""RFC 8216 section 7: EXT-X-MAP in a playlist that is not I-frames-only needs 6. What needs more says so."""


class Tag(Protocol):
    """A line of a playlist, or a tag and the URI line that belongs to it."""

    def lines(self) -> Iterable[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    number: int = PROTOCOL_VERSION

    def lines(self) -> Iterable[str]:
        yield f"#EXT-X-VERSION:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndependentSegments:
    """Every segment can be decoded without another one: each starts with an IDR picture."""

    def lines(self) -> Iterable[str]:
        yield "#EXT-X-INDEPENDENT-SEGMENTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where to start playing. Without it a player takes a growing playlist for a live one and starts near its end."""

    offset: Fraction = Fraction(0)
    precise: bool = True

    def lines(self) -> Iterable[str]:
        attributes = {"TIME-OFFSET": decimal(self.offset, 1), "PRECISE": yes_no(self.precise)}
        yield f"#EXT-X-START:{attribute_list(attributes)}"


def render_playlist(tags: Iterable[Tag]) -> str:
    """The text of a playlist: ``#EXTM3U`` first, one line each, a line feed after the last."""
    lines = ["#EXTM3U"]
    for tag in tags:
        lines.extend(tag.lines())
    return "\n".join([*lines, ""])
