"""Files in which libavformat would look for a time by reading all that comes before. It is shown another file: the
beginning, which says what the tracks are, and then at once what comes a little before that time.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from .clusters import find_cluster, tick_of
from .remote import RemoteFile
from .searching import Find, Mark, latest_mark
from .tags import after_metadata, find_tag
from .windows import Bytes

SEARCHED = frozenset({"matroska", "flv"})
HEAD_BYTES = 512 * 1024
NEAR_BYTES = 2 * 1024 * 1024
_VOID = b"\xec\x01"
_VOID_HEADER_BYTES = 9


@dataclass(frozen=True)
class Spliced:
    """``file``, and since which time (seconds) it is read on in."""

    file: SplicedFile
    time: Fraction


def spliced(file: RemoteFile, demuxer: str, time: Fraction) -> Spliced | None:
    """``file`` without what lies between its beginning and ``time``; None where that is nothing to speak of.

    Raises `Unfit` where the time cannot be found."""
    head_bytes = min(HEAD_BYTES, file.size // 64)
    find: Find
    if demuxer == "flv":
        head_bytes += after_metadata(file)
        find = partial(find_tag, file)
    else:
        find = partial(find_cluster, file, tick_of(file.read_at(0, HEAD_BYTES)))
    first = find(head_bytes, file.size)
    file.opened()
    if first is None or first.time > time:
        return None
    mark = latest_mark(find, first, file.size, time, min(NEAR_BYTES, file.size // 64))
    if mark.place - first.place < _VOID_HEADER_BYTES:
        return None
    # Places in a Matroska file stay what they are: a Void takes the room of what is left out (RFC 8794, 11.3.2).
    gap = mark.place - first.place if demuxer == "matroska" else 0
    filling = _VOID + (gap - _VOID_HEADER_BYTES).to_bytes(7, "big") if gap else b""
    return Spliced(SplicedFile(file, first, mark, filling, gap), mark.time)


class SplicedFile:
    """For `av.open`: ``file`` up to ``head``, ``gap`` bytes that begin with ``filling``, and ``file`` from ``rest`` on."""

    def __init__(self, file: Bytes, head: Mark, rest: Mark, filling: bytes, gap: int) -> None:
        self._file, self._head, self._rest = file, head.place, rest.place
        self._filling, self._resumed = filling, head.place + gap
        self.size = self._resumed + file.size - rest.place
        self._at = 0

    def read(self, wanted: int = -1) -> bytes:
        data = self.read_at(self._at, self.size - self._at if wanted < 0 else wanted)
        self._at += len(data)
        return data

    def read_at(self, start: int, wanted: int) -> bytes:
        """At most ``wanted`` bytes; fewer where a part of the file ends."""
        if start < self._head:
            return self._file.read_at(start, min(wanted, self._head - start))
        if start < self._resumed:
            into = start - self._head
            wanted = min(wanted, self._resumed - start, 64 * 1024)
            return self._filling[into : into + wanted].ljust(wanted, b"\0")
        return self._file.read_at(self._rest + start - self._resumed, wanted)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at
