"""Concatenation: partial uploads, and final ones that are joined from them."""

from __future__ import annotations

import sqlalchemy as sa

from storage import keys
from storage.catalogue import Concat, NewUpload
from storage.catalogue.sql.dooming import doom_key, doom_prefix
from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.tables import is_open, upload_joins, uploads
from storage.catalogue.sql.upload_rows import set_upload
from storage.errors import NotFound

JOINED_PARTIALS_KEPT_MS = 3600 * 1000


def check_joins(tx: Transaction, new: NewUpload) -> None:
    wanted = set(new.joins)
    query = sa.select(uploads.c.id).where(
        uploads.c.id.in_(tuple(wanted)),
        uploads.c.tenant == new.tenant,
        uploads.c.concat == Concat.PARTIAL,
        uploads.c.state.in_(["open", "completed"]),
    )
    if wanted and len(tx.all(query)) != len(wanted):
        raise NotFound("A partial upload to be joined is not there.")


def finals_of(partial: str) -> sa.Select[str]:
    return sa.select(upload_joins.c.final_id).where(upload_joins.c.partial_id == partial)


def is_waited_for() -> sa.Exists:
    """Of a row of `uploads`: a final upload that is not joined yet names it."""
    final = uploads.alias("final")
    return (
        sa.select(upload_joins.c.final_id)
        .join(final, final.c.id == upload_joins.c.final_id)
        .where(upload_joins.c.partial_id == uploads.c.id, final.c.state == "open")
        .correlate(uploads)
        .exists()
    )


def keep_finals(tx: Transaction, partial: str) -> None:
    """A final upload does not expire while a part of it still comes in."""
    tx.execute(
        sa.update(uploads)
        .where(uploads.c.id.in_(finals_of(partial)), is_open)
        .values(expires_at_ms=tx.now + uploads.c.lifetime_ms)
    )


def hasten_partials(tx: Transaction, final: str) -> None:
    """What was joined is seldom joined again: its parts need not lie there until they expire by themselves."""
    joined = sa.select(upload_joins.c.partial_id).where(upload_joins.c.final_id == final)
    soon = tx.now + JOINED_PARTIALS_KEPT_MS
    tx.execute(
        sa.update(uploads).where(uploads.c.id.in_(joined), uploads.c.expires_at_ms > soon).values(expires_at_ms=soon)
    )


def end_partial(tx: Transaction, row: Row, state: str, code: str, sentence: str | None) -> None:
    """A partial upload has no video that would end with it."""
    set_upload(
        tx,
        row,
        state=state,
        reason_code=code,
        reason=sentence,
        token=row.token + 1,
        holder=None,
        lease_until_ms=None,
        let_go=False,
    )
    doom_key(tx, row.source_key)
    doom_prefix(tx, keys.tails_prefix(row.video_id))
