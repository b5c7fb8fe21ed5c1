"""What a chosen poster has to be, before it goes to the store. Pure."""

from __future__ import annotations

import struct

from storage.errors import InvalidRequest

MAX_POSTER_BYTES = 4 << 20
MAX_SIDE = 4096
_SIZES_IN = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers: DHT, JPG and DAC share their range


def checked_poster(data: bytes) -> tuple[int, int]:
    """Width and height of the JPEG ``data``; raises `InvalidRequest` for anything else."""
    size = _jpeg_size(data)
    if size is None:
        raise InvalidRequest("A poster is a JPEG picture.")
    if not all(16 <= side <= MAX_SIDE for side in size):
        raise InvalidRequest(f"A poster's sides have between 16 and {MAX_SIDE} pixels.")
    return size


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the frame header of a JPEG (ITU T.81 B.2.2) that is whole."""
    if not data.startswith(b"\xff\xd8\xff") or not data.rstrip(b"\x00").endswith(b"\xff\xd9"):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _SIZES_IN:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None
