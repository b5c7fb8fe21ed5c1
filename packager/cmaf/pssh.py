"""Boxes that tell players which keys to ask for (ISO/IEC 23001-7 section 8.1)."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from uuid import UUID

from packager.cmaf.boxes import full_box, reading, walk
from storage.errors import WrongOutput
from storage.media.encryption import KeyFacts

COMMON_SYSTEM = "1077efec-c0b2-4d02-ace3-3c1e52e2fb4b"
"""W3C's: a list of key ids, for every key system that needs no more (ClearKey)."""


def common_pssh(keys: Sequence[KeyFacts]) -> bytes:
    """The box that lists all ``keys``: who asks once has the keys of all periods."""
    ids = b"".join(bytes.fromhex(key.kid) for key in keys)
    return full_box(b"pssh", 1, 0, UUID(COMMON_SYSTEM).bytes, struct.pack(">I", len(keys)), ids, struct.pack(">I", 0))


def pssh_boxes(keys: Sequence[KeyFacts]) -> list[bytes]:
    """What an init segment says of ``keys``: the common box, and those of DRM services, each once."""
    given = [base64.b64decode(system.pssh) for key in keys for system in key.systems if system.pssh]
    return [common_pssh(keys), *dict.fromkeys(given)]


def read_pssh(data: bytes) -> tuple[str, tuple[str, ...]]:
    """The system and the key ids of a pssh box; version 0 lists none. Raises `WrongOutput`."""
    view = memoryview(data)
    with reading():
        boxes = list(walk(view))
        if len(boxes) != 1 or boxes[0].kind != b"pssh":
            raise WrongOutput("This is not a pssh box.")
        at = boxes[0].content
        version, system = view[at], str(UUID(bytes=bytes(view[at + 4 : at + 20])))
        if version == 0:
            return system, ()
        (count,) = struct.unpack_from(">I", view, at + 20)
        if at + 24 + 16 * count > len(view):
            raise WrongOutput("A pssh box is cut short.")
        return system, tuple(bytes(view[at + 24 + 16 * n : at + 40 + 16 * n]).hex() for n in range(count))


def checked_pssh(text: str) -> str:
    """``text``, if it is a pssh box in Base64; raises `WrongOutput` otherwise."""
    try:
        read_pssh(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise WrongOutput("A pssh box is not Base64.") from error
    return text
