"""Objects that nothing points at any more, and when they may go."""

from __future__ import annotations

import sqlalchemy as sa

from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.tables import doomed

SUPERSEDED_GRACE_MS = 10 * 60 * 1000
"""Players and caches may still ask for a manifest version that was just replaced."""
SETTLED_GRACE_MS = 60 * 1000
"""Time for workers to notice that their lease is gone."""
SECOND_PASS_MS = 60 * 60 * 1000
"""A worker that was slow to notice may store objects after the first pass: everything of a settled video comes due
once more after this time."""


def doom_superseded(tx: Transaction, keys: set[str]) -> None:
    """Manifest versions that were replaced, or lost the race for their revision."""
    for key in keys:
        _doom(tx, key=key, after_ms=tx.now + SUPERSEDED_GRACE_MS, passes=1)


def spare(tx: Transaction, keys: set[str]) -> None:
    """Keys that a row names again: names that say what is in an object come back with it."""
    if keys:
        wanted = [{"its_key": key} for key in sorted(keys)]
        tx.execute(sa.delete(doomed).where(doomed.c.key == sa.bindparam("its_key")), wanted)


def doom_key(tx: Transaction, key: str) -> None:
    """The source of a settled video."""
    _doom(tx, key=key, after_ms=tx.now + SETTLED_GRACE_MS, passes=2)


def doom_prefix(tx: Transaction, prefix: str) -> None:
    """Everything of an asset that no video points at any more, or all tails of a closed upload."""
    _doom(tx, prefix=prefix, after_ms=tx.now + SETTLED_GRACE_MS, passes=2)


def _doom(tx: Transaction, *, prefix: str | None = None, key: str | None = None, after_ms: int, passes: int) -> None:
    insert = tx.insert(doomed).values(prefix=prefix, key=key, after_ms=after_ms, passes=passes)
    tx.execute(
        insert.on_conflict_do_update(
            index_elements=[doomed.c.prefix if prefix is not None else doomed.c.key],
            set_={"after_ms": after_ms, "passes": passes},
        )
    )
