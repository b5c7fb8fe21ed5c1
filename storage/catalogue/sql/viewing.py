"""Viewing: visibilities of videos, and plays."""

from __future__ import annotations

import sqlalchemy as sa

from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.moving import locked_video
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.viewing_tables import plays, view_counts, visibilities
from storage.grants import Visibility
from storage.ids import VideoId
from storage.plays import Heard, Play

_SUMMED = ("stalls", "stalled_ms", "media_ms", "weighted_kbps_ms", "switches", "failures", "requests", "sent_bytes")


class SqlViewing:
    _db: Database

    def visibility(self, video: VideoId) -> Visibility | None:
        with self._db.read() as tx:
            found = tx.scalar(sa.select(visibilities.c.visibility).where(visibilities.c.video_id == video))
        return Visibility(found) if found is not None else None

    def set_visibility(self, video: VideoId, visibility: Visibility | None) -> None:
        with self._db.write() as tx:
            row = locked_video(tx, video)
            before = tx.scalar(sa.select(visibilities.c.visibility).where(visibilities.c.video_id == video))
            if visibility is None:
                tx.execute(sa.delete(visibilities).where(visibilities.c.video_id == video))
            else:
                insert = tx.insert(visibilities).values(video_id=video, visibility=visibility)
                tx.execute(insert.on_conflict_do_update(index_elements=["video_id"], set_={"visibility": visibility}))
            if before != visibility:
                tx.announce(row, "visibility", {"visibility": visibility})

    def record_plays(self, heard: tuple[Heard, ...]) -> int:
        new = 0
        with self._db.write() as tx:
            # In one order for all writers, so that two of them never wait for each other.
            for one in sorted(heard, key=lambda one: (one.video, one.session)):
                if _add(tx, one):
                    new += 1
                    count = tx.insert(view_counts).values(video_id=one.video, views=1)
                    more = {"views": view_counts.c.views + 1}
                    tx.execute(count.on_conflict_do_update(index_elements=["video_id"], set_=more))
        return new

    def plays(self, video: VideoId, *, since_ms: int = 0, limit: int = 10_000) -> tuple[Play, ...]:
        query = (
            sa.select(plays)
            .where(plays.c.video_id == video, plays.c.started_at_ms >= since_ms)
            .order_by(plays.c.started_at_ms.desc())
            .limit(limit)
        )
        with self._db.read() as tx:
            return tuple(_play(row) for row in tx.all(query))

    def views(self, video: VideoId) -> int:
        with self._db.read() as tx:
            return tx.scalar(sa.select(view_counts.c.views).where(view_counts.c.video_id == video)) or 0

    def forget_plays(self, before_ms: int) -> int:
        with self._db.write() as tx:
            return tx.changed(sa.delete(plays).where(plays.c.updated_at_ms < before_ms))


def _add(tx: Transaction, heard: Heard) -> bool:
    """Whether the play is new."""
    insert = tx.insert(plays).values(
        video_id=heard.video,
        session=heard.session,
        started_at_ms=heard.at_ms,
        updated_at_ms=heard.at_ms,
        startup_ms=heard.startup_ms,
        position_ms=heard.position_ms,
        **{name: getattr(heard, name) for name in _SUMMED},
    )
    new = insert.on_conflict_do_nothing(index_elements=["video_id", "session"]).returning(plays.c.session)
    if tx.execute(new).first() is not None:
        return True
    tx.execute(
        sa.update(plays)
        .where(plays.c.video_id == heard.video, plays.c.session == heard.session)
        .values(
            started_at_ms=_least(plays.c.started_at_ms, heard.at_ms),
            updated_at_ms=_greatest(plays.c.updated_at_ms, heard.at_ms),
            startup_ms=sa.func.coalesce(plays.c.startup_ms, heard.startup_ms),
            position_ms=_greatest(plays.c.position_ms, heard.position_ms),
            **{name: plays.c[name] + getattr(heard, name) for name in _SUMMED},
        )
    )
    return False


def _least(known: sa.ColumnElement[int], new: int) -> sa.ColumnElement[int]:
    return sa.case((known < new, known), else_=new)


def _greatest(known: sa.ColumnElement[int], new: int) -> sa.ColumnElement[int]:
    return sa.case((known > new, known), else_=new)


def _play(row: Row) -> Play:
    return Play(
        video=VideoId(row.video_id),
        session=row.session,
        started_at_ms=row.started_at_ms,
        updated_at_ms=row.updated_at_ms,
        startup_ms=row.startup_ms,
        position_ms=row.position_ms,
        **{name: getattr(row, name) for name in _SUMMED},
    )
