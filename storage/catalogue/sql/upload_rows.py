"""Rows of uploads: read, locked, checked for their writer, changed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from storage.blobs import StoredPart
from storage.catalogue import Concat, Upload
from storage.catalogue.sql.engine import Transaction
from storage.catalogue.sql.rows import Row, upload_from
from storage.catalogue.sql.tables import upload_joins, upload_parts, uploads
from storage.errors import Conflict, NotFound, StaleLease, UploadTerminated


def upload_row(tx: Transaction, upload: str, *, lock: bool = False) -> Row:
    query = sa.select(uploads).where(uploads.c.id == upload)
    row = tx.first(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound("There is no such upload.")
    return row


def whole_upload(tx: Transaction, row: Row) -> Upload:
    parts = tx.all(sa.select(upload_parts).where(upload_parts.c.upload_id == row.id).order_by(upload_parts.c.number))
    joins: list[str] = []
    if row.concat == Concat.FINAL:
        query = sa.select(upload_joins.c.partial_id).where(upload_joins.c.final_id == row.id)
        joins = [join.partial_id for join in tx.all(query.order_by(upload_joins.c.position))]
    return upload_from(row, parts, joins)


def has_expired(row: Row, now_ms: int) -> bool:
    return bool(row.expires_at_ms <= now_ms and (row.lease_until_ms is None or row.lease_until_ms <= now_ms))


def require_open(row: Row) -> None:
    if row.state == "terminated":
        raise UploadTerminated
    if row.state != "open":
        raise Conflict(f"This upload is {row.state}: nothing can be added to it.", state=row.state)


def held_upload(tx: Transaction, upload: str, token: int) -> Row:
    """The upload's row, locked, if ``token`` is its writer's; raises `StaleLease` otherwise. A lease that ran out is
    still good as long as nobody took it over."""
    row = upload_row(tx, upload, lock=True)
    if row.state != "open" or row.token != token or row.holder is None:
        raise StaleLease("Another request writes to this upload now.", state=row.state)
    return row


def set_upload(tx: Transaction, row: Row, **values: Any) -> None:
    tx.execute(sa.update(uploads).where(uploads.c.id == row.id).values(**values))


def store_part(tx: Transaction, upload: str, part: StoredPart) -> None:
    values = {"etag": part.etag, "size_bytes": part.size_bytes}
    insert = tx.insert(upload_parts).values(upload_id=upload, number=part.number, **values)
    tx.execute(insert.on_conflict_do_update(index_elements=["upload_id", "number"], set_=values))
