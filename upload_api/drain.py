"""The end of a process's service, announced to whoever has to wind something up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Drain:
    """Begins once. Afterwards nothing new is taken on, and what runs ends itself soon with everything it has stored."""

    def __init__(self) -> None:
        self.begun = False
        self._listeners: set[Callable[[], None]] = set()

    def begin(self) -> None:
        """Call it in the event loop's thread."""
        if not self.begun:
            self.begun = True
            for listener in tuple(self._listeners):
                listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """``listener`` is called when the drain begins (at once, if it has). Returns what takes it off again."""
        self._listeners.add(listener)
        if self.begun:
            listener()
        return lambda: self._listeners.discard(listener)

    async def wait(self) -> None:
        """Returns when the drain has begun."""
        begun = asyncio.Event()
        forget = self.listen(begun.set)
        try:
            await begun.wait()
        finally:
            forget()
