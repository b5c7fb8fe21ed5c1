"""Reading the segments of an asset. A film of twelve hours has 60,000 of them, and is published after every chunk.

A segment's row is written once and never changes, and each notes the revision of its asset that it came with. So what was
read once is kept, and only what came since is read again: milliseconds instead of seconds.
"""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa

from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.rows import segment_from
from storage.catalogue.sql.tables import segments
from storage.jobs import Segment

KEPT_SEGMENTS = 150_000
"""Of all assets together: about 100 MB. What was wanted least lately goes first."""


@dataclass(slots=True)
class _Kept:
    """Segments of an asset by rendition and number, all that came with ``revision`` or before."""

    revision: int = -1
    by_rendition: dict[str, dict[int, Segment]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(its) for its in self.by_rendition.values())


class SegmentReader:
    """Thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, tx: Transaction, asset: str, revision: int) -> Mapping[str, list[Segment]]:
        """The segments of ``asset`` by rendition, in order; ``revision`` is its revision in the same snapshot."""
        with self._lock:
            kept = self._kept.pop(asset, None)
        if kept is None or kept.revision > revision or not _has_any(tx, asset):
            kept = _Kept()  # nothing known, a snapshot from before, or they are gone with their video
        _read_since(tx, asset, kept)
        kept.revision = revision
        listed = {name: [its[number] for number in sorted(its)] for name, its in kept.by_rendition.items()}
        with self._lock:
            self._kept[asset] = kept
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT_SEGMENTS:
                self._kept.popitem(last=False)
        return listed


def _has_any(tx: Transaction, asset: str) -> bool:
    return tx.first(sa.select(segments.c.number).where(segments.c.asset_id == asset).limit(1)) is not None


def _read_since(tx: Transaction, asset: str, kept: _Kept) -> None:
    newer = sa.or_(segments.c.revision > kept.revision, segments.c.revision.is_(None))
    query = sa.select(segments).where(segments.c.asset_id == asset, newer)
    with _unhurried():
        for row in tx.connection.execute(query):
            kept.by_rendition.setdefault(row.rendition, {})[row.number] = segment_from(row)


@contextmanager
def _unhurried() -> Iterator[None]:
    """Without the garbage collector, which walks over all that was made so far again and again, and finds nothing."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
