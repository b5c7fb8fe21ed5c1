"""What an ISO media file says in boxes that ffmpeg does not tell of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO

LARGEST_HEADER_BYTES = 64 * 1024 * 1024


def boxes(path: Path) -> dict[str, Any]:
    """The top level of an ISO media file: box names in order, whether one reaches beyond the end of the file, and
    whether its tracks are protected (ffmpeg does not open some protected files at all)."""
    names: list[str] = []
    protected = overrun = False
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= size and len(names) < 1000:
            length, name = _box_header(file, at)
            names.append(name)
            overrun = overrun or length < 8 or at + length > size
            if name == "moov":
                file.seek(at)
                header = file.read(min(length, LARGEST_HEADER_BYTES))
                protected = b"sinf" in header and (b"encv" in header or b"enca" in header)
            if length < 8:
                break
            at += length
    return {"names": names[:20], "has_header": "moov" in names, "overrun": overrun, "protected": protected}


def dolby_vision(path: Path, demuxer: str) -> dict[str, int] | None:
    """Profile and base layer of Dolby Vision, from its configuration record in MP4 and Matroska headers."""
    with path.open("rb") as file:
        if demuxer == "mov":
            header = movie_header(file, path.stat().st_size)
            found = re.search(rb"dv[cvw]C\x01[\x00-\x0f](?P<record>...)", header, re.DOTALL)
        elif demuxer == "matroska":
            # BlockAddIDExtraData of 24 bytes, behind a BlockAddIDType that spells dvcC or dvvC.
            found = re.search(rb"dv[cvw]C.{0,16}?\x41\xed\x98\x01.(?P<record>...)", file.read(1 << 20), re.DOTALL)
        else:
            return None
    if found is None:
        return None
    bits = int.from_bytes(found["record"], "big")  # profile 7, level 6, three flags, compatibility 4, reserved
    return {"profile": bits >> 17, "compatibility": bits >> 4 & 15}


def movie_header(file: BinaryIO, size: int) -> bytes:
    """The ``moov`` box, header included; empty if there is none."""
    at = 0
    while at + 8 <= size:
        length, name = _box_header(file, at)
        if name == "moov":
            file.seek(at)
            return file.read(min(length, LARGEST_HEADER_BYTES))
        if length < 8:
            break
        at += length
    return b""


def _box_header(file: BinaryIO, at: int) -> tuple[int, str]:
    """(length, name) of the box at ``at`` (ISO 14496-12, 4.2): length 0 means to the end, 1 that 64 bits follow."""
    file.seek(at)
    header = file.read(16)
    length, name = int.from_bytes(header[:4], "big"), header[4:8].decode("latin-1")
    if length == 1:
        length = int.from_bytes(header[8:16], "big")
    elif length == 0:
        length = file.seek(0, 2) - at
    return length, name
