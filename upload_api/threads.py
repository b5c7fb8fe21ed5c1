"""Blocking calls from async code. The catalogue and the store have threads of their own, so that slow parts never keep
a HEAD from its database row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

P = ParamSpec("P")
R = TypeVar("R")

CATALOGUE_THREADS = 16
COMPUTE_THREADS = 4


class Threads:
    """Three bounded groups of threads. A call that has started is waited for even when its caller is cancelled: no effect
    is left running behind our back."""

    def __init__(self, part_threads: int) -> None:
        self._catalogue = anyio.CapacityLimiter(CATALOGUE_THREADS)
        self._parts = anyio.CapacityLimiter(part_threads)
        self._compute = anyio.CapacityLimiter(COMPUTE_THREADS)

    async def catalogue(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """``call`` in a thread for short calls."""
        return await _finished(partial(call, *args, **kwargs), self._catalogue)

    async def store(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """``call`` in a thread for calls that move bytes."""
        return await _finished(partial(call, *args, **kwargs), self._parts)

    async def compute(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """``call`` in a thread for work that lets the interpreter go, as digests do, and waits for nobody."""
        return await _finished(partial(call, *args, **kwargs), self._compute)


async def _finished(call: Callable[[], R], limiter: anyio.CapacityLimiter) -> R:
    running = asyncio.ensure_future(anyio.to_thread.run_sync(call, limiter=limiter))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # nobody is there to hear of it
        raise
