"""A file whose bytes are asked for over a socket.

A question is `QUESTION` (what, offset, length); the answer to `READ` is `ANSWER` (how many bytes) and the bytes: fewer
than asked for only at the file's end. `OPENED` has no answer: what was read up to there is read by everybody who opens
this file, and worth keeping. Nor has `LANDED`: what was read since was for finding a place.
"""

from __future__ import annotations

import os
import socket
import struct

QUESTION = struct.Struct(">BQI")
ANSWER = struct.Struct(">I")
READ, OPENED, LANDED = 1, 2, 3
MOST_BYTES = 1024 * 1024
"""So many bytes are asked for at once, at most."""


class RemoteFile:
    """For `av.open`: read only."""

    def __init__(self, connection: socket.socket, size: int) -> None:
        self._connection, self.size, self._at = connection, size, 0

    def read(self, wanted: int = -1) -> bytes:
        data = self.read_at(self._at, self.size - self._at if wanted < 0 else wanted)
        self._at += len(data)
        return data

    def read_at(self, start: int, wanted: int) -> bytes:
        """Fewer bytes than ``wanted`` only at the end of the file, or where more are asked for at once than is allowed."""
        wanted = min(wanted, MOST_BYTES, max(0, self.size - start))
        if wanted <= 0:
            return b""
        self._connection.sendall(QUESTION.pack(READ, start, wanted))
        (length,) = ANSWER.unpack(self._received(ANSWER.size))
        return self._received(length)

    def opened(self) -> None:
        self._connection.sendall(QUESTION.pack(OPENED, 0, 0))

    def landed(self) -> None:
        self._connection.sendall(QUESTION.pack(LANDED, 0, 0))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def _received(self, length: int) -> bytes:
        data = bytearray(length)
        view, have = memoryview(data), 0
        while have < length:
            came = self._connection.recv_into(view[have:])
            if not came:
                raise ConnectionError("nobody answers any more")
            have += came
        return bytes(data)
