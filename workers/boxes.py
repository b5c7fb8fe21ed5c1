"""The outermost boxes of an ISO media file (ISO 14496-12, 4.2), wherever its bytes come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from storage.media.mp4_index import ByteRange

MOST_BOXES = 1000
HEADER_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """``stop``: as its header says, which may be beyond the end of a file that was cut off."""

    name: bytes
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def top_level_boxes(read: Callable[[int, int], bytes], size: int) -> Iterator[Box]:
    """All boxes of the outermost level, up to where they make no sense."""
    at = 0
    while at + 8 <= size:
        header = read(at, at + HEADER_BYTES)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:
            length = size - at
        if length < 8:
            return
        yield Box(name=header[4:8], start=at, stop=at + length)
        at += length


def box_headers(read: Callable[[int, int], bytes], size: int) -> dict[str, ByteRange]:
    """Where the outermost boxes lie, the last of each name; stops where they stop making sense, and at the first fragment
    after the header: there may be one for every second of the film."""
    found: dict[str, ByteRange] = {}
    for box in islice(top_level_boxes(read, size), MOST_BOXES):
        found[box.name.decode("latin-1")] = (box.start, min(box.stop, size))
        if {"moov", "moof"} <= found.keys():
            break
    return found
