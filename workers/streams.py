"""Sources that are read from the store as a tool asks for their bytes. What opening them takes is kept on the machine, as
everybody who opens them reads it; the rest passes through memory, a bounded number of blocks.
"""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Protocol

from storage.errors import StoreUnavailable
from workers.ffmpeg.excerpting.remote import ANSWER, LANDED, MOST_BYTES, OPENED, QUESTION, READ
from workers.frames import SoundFrames

BLOCK_BYTES = 64 * 1024
HELD_BLOCKS = 512
"""32 MiB for each tool that reads."""
OPENING_BYTES = 320 * 1024 * 1024
"""What a tool may read to open a file: an index may be so large."""
AHEAD_BLOCKS = 16
"""So much is read at once, and once more ahead, where somebody reads on and on."""

Fetch = Callable[[int, int], bytes]


class ReadTooMuch(Exception):
    """A tool asked for more of a source than it has use for."""


class Readable(Protocol):
    """What a tool reads through us."""

    size: int

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)``, as far as there are any. Raises what the store raises."""

    def opened(self) -> None:
        """The tool knows what the file is."""

    def landed(self) -> None:
        """It has found where it is going to read on."""


class SourceStream:
    """``size`` bytes. ``kept(start, stop)`` gives them and keeps them here, ``fetch(start, stop)`` gives them. ``frames``: of a
    file of MP3 or AAC, in which nobody else finds a time."""

    def __init__(self, size: int, *, kept: Fetch, fetch: Fetch, frames: SoundFrames | None = None) -> None:
        self.size, self.frames = size, frames
        self._kept, self._fetch = kept, fetch
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._opened = False
        self._ahead: tuple[range, Future[bytes]] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)``, as far as there are any. Raises what the store raises."""
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        first = start // BLOCK_BYTES
        data = b"".join(self._block(number) for number in range(first, -(-stop // BLOCK_BYTES)))
        return data[start - first * BLOCK_BYTES : stop - first * BLOCK_BYTES]

    def opened(self) -> None:
        """From here on, bytes are read for this reader alone."""
        self._opened = True

    def landed(self) -> None:
        """No matter: it finds and reads in one."""

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._blocks.clear()

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            if self._ahead is not None and number in self._ahead[0]:
                blocks, coming = self._ahead
                self._ahead = None
                self._hold(blocks, coming.result())
            else:
                self._read(range(number, number + max(1, self._run_before(number))))
        self._blocks.move_to_end(number)
        data = self._blocks[number]
        if self._opened and self._ahead is None and self._run_before(number) == AHEAD_BLOCKS:
            self._read_ahead(number + 1)
        return data

    def _run_before(self, number: int) -> int:
        """How many blocks right before ``number`` are here: whoever read those reads on."""
        run = 0
        while run < AHEAD_BLOCKS and number - run - 1 in self._blocks:
            run += 1
        return run

    def _read(self, blocks: range) -> None:
        there = next((number for number in blocks if number in self._blocks), blocks.stop)
        blocks = range(blocks.start, there)
        self._hold(blocks, (self._fetch if self._opened else self._kept)(*self._bytes(blocks)))

    def _read_ahead(self, number: int) -> None:
        while number in self._blocks:
            number += 1
        blocks = range(number, number + AHEAD_BLOCKS)
        if blocks.start * BLOCK_BYTES < self.size:
            self._ahead = blocks, self._pool.submit(self._fetch, *self._bytes(blocks))

    def _bytes(self, blocks: range) -> tuple[int, int]:
        return blocks.start * BLOCK_BYTES, min(blocks.stop * BLOCK_BYTES, self.size)

    def _hold(self, blocks: range, data: bytes) -> None:
        start, stop = self._bytes(blocks)
        if len(data) != stop - start:
            raise StoreUnavailable("The store gave less of an object than it has.")
        for at in range(0, len(data), BLOCK_BYTES):
            self._blocks[blocks.start + at // BLOCK_BYTES] = data[at : at + BLOCK_BYTES]
        while len(self._blocks) > HELD_BLOCKS:
            self._blocks.popitem(last=False)


class Answers:
    """Answers the questions of one tool (`workers.ffmpeg.excerpting.remote`). ``error``: why it stopped."""

    def __init__(self, connection: socket.socket, stream: Readable, most_bytes: Sequence[int]) -> None:
        self._connection, self._stream = connection, stream
        self._left, *self._to_come = OPENING_BYTES, *most_bytes
        self._untold = {OPENED: stream.opened, LANDED: stream.landed}
        self.error: Exception | None = None

    def run(self) -> None:
        """Until the other side hangs up, asks for nonsense or for more than it may."""
        try:
            with suppress(ConnectionError):
                while self._answer():
                    pass
        except Exception as error:  # it belongs to whoever waits for the tool
            self.error = error
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _answer(self) -> bool:
        question = b""
        while len(question) < QUESTION.size:
            came = self._connection.recv(QUESTION.size - len(question))
            if not came:
                return False
            question += came
        what, start, length = QUESTION.unpack(question)
        if what in (OPENED, LANDED):
            if what in self._untold:  # it may say so again
                self._left = self._to_come.pop(0) if self._to_come else self._left
                self._untold.pop(what)()
            return True
        if what != READ or length > MOST_BYTES:
            return False
        self._left -= length
        if self._left < 0:
            raise ReadTooMuch
        data = self._stream.read(start, start + length)
        self._connection.sendall(ANSWER.pack(len(data)) + data)
        return True


@contextmanager
def answering(stream: Readable, *most_bytes: int) -> Iterator[tuple[socket.socket, Answers]]:
    """The tool's end of a connection on which ``stream`` is read; at most ``most_bytes`` of it once it is opened, and so many
    once it has landed, reading again included."""
    ours, theirs = socket.socketpair()
    answers = Answers(ours, stream, most_bytes)
    thread = threading.Thread(target=answers.run, name="answers", daemon=True)
    thread.start()
    try:
        yield theirs, answers
    finally:
        theirs.close()
        with suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)
        thread.join()
        ours.close()
