"""ISO base media file boxes (ISO/IEC 14496-12 section 4.2): walking and building them. No box's meaning lives here."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from storage.errors import WrongOutput

Buffer = bytes | bytearray | memoryview | mmap.mmap
"""Bytes that may be large: a mapped file is read only where boxes are."""

_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a box lies in its buffer: header at ``start``, content in ``[content, stop)``."""

    kind: bytes
    start: int
    content: int
    stop: int


@contextmanager
def reading() -> Iterator[None]:
    """Reads of fields inside: one that reaches beyond its bytes is a `WrongOutput`, not a bug of ours."""
    try:
        yield
    except (struct.error, IndexError) as error:
        raise WrongOutput("A box is cut short.") from error


def walk(data: memoryview, start: int = 0, stop: int | None = None) -> Iterator[Box]:
    """The boxes that lie side by side in ``data[start:stop]``; raises `WrongOutput` where one does not fit."""
    end = len(data) if stop is None else stop
    while start < end:
        if start + _HEADER.size > end:
            raise WrongOutput("The file ends inside a box header.", offset=start)
        size, kind = _HEADER.unpack_from(data, start)
        content = start + _HEADER.size
        if size == 1:  # a 64-bit size follows the type
            if content + _LARGE.size > end:
                raise WrongOutput("The file ends inside a box header.", offset=start)
            (size,) = _LARGE.unpack_from(data, content)
            content += _LARGE.size
        elif size == 0:  # to the end of the file
            size = end - start
        if size < content - start or start + size > end:
            raise WrongOutput("A box is larger than what holds it.", offset=start, box=kind.decode("latin-1"))
        yield Box(kind=kind, start=start, content=content, stop=start + size)
        start += size


def children(data: memoryview, parent: Box, kind: bytes) -> list[Box]:
    """The boxes of ``kind`` directly inside ``parent``."""
    return [box for box in walk(data, parent.content, parent.stop) if box.kind == kind]


def find(data: memoryview, parent: Box, *path: bytes) -> Box | None:
    """The first box down ``path`` from ``parent``, or None."""
    for kind in path:
        inside = children(data, parent, kind)
        if not inside:
            return None
        parent = inside[0]
    return parent


def child(data: memoryview, parent: Box, *path: bytes) -> Box:
    """The box down ``path`` from ``parent``; raises `WrongOutput` where there is none."""
    found = find(data, parent, *path)
    if found is None:
        raise WrongOutput("A box is missing.", box="/".join(kind.decode("latin-1") for kind in path))
    return found


def box(kind: bytes, *content: bytes | memoryview) -> bytes:
    """A box of ``kind`` around ``content``."""
    body = b"".join(content)
    return _HEADER.pack(_HEADER.size + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *content: bytes | memoryview) -> bytes:
    """A box with a version and 24 bits of flags before its content."""
    return box(kind, struct.pack(">I", version << 24 | flags), *content)
