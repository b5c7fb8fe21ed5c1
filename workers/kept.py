"""Sources that are read from the store as a tool asks for their bytes, where all that it asked for stays here: whoever
reads the same afterwards finds it in the copy with holes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from storage.media.mp4_index import ByteRange
from workers.planning.reads import merged, missing, size_of

BLOCK_BYTES = 128 * 1024
"""What is asked for is rounded to these: the tool that comes afterwards may read a little earlier, or in larger steps."""
AHEAD_BLOCKS = 8
"""So much is read ahead where somebody reads on and on."""
MOST_AHEAD_BYTES = 32 * 1024 * 1024
"""The same where it is known that he will."""

Ensure = Callable[[int, int], tuple[ByteRange, ...]]
"""``ensure(start, stop)`` has those bytes fetched to the copy; what that holds now."""


class KeptReads:
    """``size`` bytes of a source whose copy with holes is at ``path``, open as ``descriptor``, which is closed in the end.
    ``expected_bytes``: about so many are read in one go once their place is found. ``give_up()`` has it that nobody here
    reads this source so again."""

    def __init__(
        self,
        path: Path,
        descriptor: int,
        size: int,
        *,
        ensure: Ensure,
        expected_bytes: int,
        give_up: Callable[[], object],
    ) -> None:
        self.path, self.size, self.give_up = path, size, give_up
        self.asked: tuple[ByteRange, ...] = ()
        """What was asked for, in whole blocks."""
        self.have: tuple[ByteRange, ...] = ()
        """What is known to be here."""
        self._descriptor, self._ensure = descriptor, ensure
        self._expected_bytes, self._landed = expected_bytes, False
        self._fetched_bytes = 0  # since it landed
        self._run: ByteRange = (0, 0)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)``, as far as there are any. Raises what the store raises."""
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        first, last = self._in_blocks(start, stop)
        on = self._run[0] <= first <= self._run[1]
        self._run = (self._run[0], max(self._run[1], last)) if on else (first, last)
        self.asked = merged([*self.asked, (first, last)])
        if missing([(first, last)], self.have):
            until = min(self.size, last + self._ahead())
            self._fetched_bytes += size_of(missing([(first, until)], self.have)) if self._landed else 0
            self.have = self._ensure(first, until)
        data = b""
        while len(data) < stop - start:
            more = os.pread(self._descriptor, stop - start - len(data), start + len(data))
            if not more:
                raise OSError("the copy is shorter than the source")
            data += more
        return data

    def opened(self) -> None:
        """No matter: what it reads to open the file is kept as all else."""

    def landed(self) -> None:
        """From here on it reads on."""
        self._landed = True

    def close(self) -> None:
        os.close(self._descriptor)

    def _in_blocks(self, start: int, stop: int) -> ByteRange:
        return start // BLOCK_BYTES * BLOCK_BYTES, min(self.size, -(-stop // BLOCK_BYTES) * BLOCK_BYTES)

    def _ahead(self) -> int:
        run = self._run[1] - self._run[0]
        least = AHEAD_BLOCKS * BLOCK_BYTES if run > AHEAD_BLOCKS * BLOCK_BYTES else 0
        if not self._landed:
            return least
        # Half of what may be left, again and again: some parts of a film have fewer bytes than others.
        ahead = min(MOST_AHEAD_BYTES, max(least, (self._expected_bytes - max(run, self._fetched_bytes)) // 2))
        return ahead // BLOCK_BYTES * BLOCK_BYTES
