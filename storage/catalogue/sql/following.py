"""Followers of events, and how far they have come."""

from __future__ import annotations

import sqlalchemy as sa

from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.tables import events, followers


class SqlFollowing:
    _db: Database

    def position(self, follower: str) -> int:
        with self._db.read() as tx:
            known = _position(tx, follower)
        if known is not None:
            return known
        with self._db.write() as tx:
            newest = tx.scalar(sa.select(sa.func.coalesce(sa.func.max(events.c.id), 0)))
            insert = tx.insert(followers).values(name=follower, event_id=newest)
            tx.execute(insert.on_conflict_do_nothing(index_elements=["name"]))
            position = _position(tx, follower)
        assert position is not None
        return position

    def advance(self, follower: str, event_id: int) -> None:
        with self._db.write() as tx:
            tx.execute(
                sa.update(followers)
                .where(followers.c.name == follower, followers.c.event_id < event_id)
                .values(event_id=event_id)
            )

    def follower_lags_ms(self) -> dict[str, int]:
        oldest = sa.select(sa.func.min(events.c.at_ms)).where(events.c.id > followers.c.event_id).scalar_subquery()
        with self._db.read() as tx:
            rows = tx.all(sa.select(followers.c.name, oldest.label("at_ms")).order_by(followers.c.name))
            return {row.name: 0 if row.at_ms is None else max(0, tx.now - row.at_ms) for row in rows}


def _position(tx: Transaction, follower: str) -> int | None:
    found = tx.scalar(sa.select(followers.c.event_id).where(followers.c.name == follower))
    return None if found is None else int(found)
