"""Imports: which addresses are still to be fetched, and whose turn it is."""

from __future__ import annotations

import sqlalchemy as sa

from storage.catalogue.sql.engine import Database
from storage.catalogue.sql.tables import imports, is_open, uploads
from storage.ids import UploadId
from storage.imports import Import


class SqlImports:
    _db: Database

    def due_imports(self, limit: int) -> tuple[UploadId, ...]:
        with self._db.read() as tx:
            rows = tx.all(
                sa.select(imports.c.upload_id)
                .join(uploads, uploads.c.id == imports.c.upload_id)
                .where(
                    is_open,
                    imports.c.run_after_ms <= tx.now,
                    sa.or_(uploads.c.lease_until_ms.is_(None), uploads.c.lease_until_ms <= tx.now),
                )
                .order_by(imports.c.run_after_ms)
                .limit(limit)
            )
            return tuple(UploadId(row.upload_id) for row in rows)

    def claim_import(self, upload: UploadId, for_ms: int) -> Import | None:
        with self._db.write() as tx:
            claimed = tx.execute(
                sa.update(imports)
                .where(imports.c.upload_id == upload, imports.c.run_after_ms <= tx.now)
                .values(run_after_ms=tx.now + for_ms)
                .returning(imports)
            ).first()
        if claimed is None:
            return None
        return Import(upload=upload, url=claimed.url, validator=claimed.validator, tries=claimed.tries)

    def note_import(self, upload: UploadId, *, tries: int, delay_ms: int, validator: str | None = None) -> None:
        news = {} if validator is None else {"validator": validator}
        with self._db.write() as tx:
            tx.execute(
                sa.update(imports)
                .where(imports.c.upload_id == upload)
                .values(tries=tries, run_after_ms=tx.now + delay_ms, **news)
            )

    def forget_ended_imports(self) -> int:
        still_open = sa.select(uploads.c.id).where(is_open)
        with self._db.write() as tx:
            return tx.changed(sa.delete(imports).where(imports.c.upload_id.not_in(still_open)))
