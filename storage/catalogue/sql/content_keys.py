"""Content keys: written with the outcome of inspection, read by who encrypts and who delivers, sealed anew on request."""

from __future__ import annotations

import sqlalchemy as sa

from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.key_tables import content_keys, encryption_wishes
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.tables import videos
from storage.content_keys import CLEAR, AssetKeys, SealedKey
from storage.errors import NotFound
from storage.ids import AssetId, VideoId
from storage.media.encryption import DrmSystem, Encryption, KeyFacts
from storage.records import from_record, to_record


class SqlContentKeys:
    _db: Database

    def content_keys(self, asset: AssetId) -> AssetKeys:
        query = sa.select(content_keys).where(content_keys.c.asset_id == asset).order_by(content_keys.c.position)
        with self._db.read() as tx:
            rows = tx.all(query)
        if not rows:
            return CLEAR
        return AssetKeys(encryption=Encryption(rows[0].encryption), keys=tuple(map(_key_from, rows)))

    def wished_encryption(self, video: VideoId) -> Encryption | None:
        query = sa.select(encryption_wishes.c.encryption).where(encryption_wishes.c.video_id == video)
        with self._db.read() as tx:
            found = tx.scalar(query)
        return Encryption(found) if found is not None else None

    def wish_encryption(self, video: VideoId, encryption: Encryption | None) -> None:
        with self._db.write() as tx:
            if tx.first(sa.select(videos.c.id).where(videos.c.id == video)) is None:
                raise NotFound("There is no such video.", video_id=video)
            if encryption is None:
                tx.execute(sa.delete(encryption_wishes).where(encryption_wishes.c.video_id == video))
                return
            insert = tx.insert(encryption_wishes).values(video_id=video, encryption=encryption)
            tx.execute(insert.on_conflict_do_update(index_elements=["video_id"], set_={"encryption": encryption}))

    def keys_not_sealed_by(self, sealing_id: str, limit: int) -> tuple[tuple[AssetId, SealedKey], ...]:
        query = (
            sa.select(content_keys)
            .where(content_keys.c.sealed_by != sealing_id)
            .order_by(content_keys.c.asset_id, content_keys.c.position)
            .limit(limit)
        )
        with self._db.read() as tx:
            return tuple((AssetId(row.asset_id), _key_from(row)) for row in tx.all(query))

    def replace_seal(self, asset: AssetId, old: SealedKey, new: SealedKey) -> bool:
        with self._db.write() as tx:
            changed = tx.changed(
                sa.update(content_keys)
                .where(
                    content_keys.c.asset_id == asset,
                    content_keys.c.kid == old.facts.kid,
                    content_keys.c.sealed == old.sealed,
                )
                .values(sealed=new.sealed, sealed_by=new.sealed_by)
            )
        return changed == 1


def insert_content_keys(tx: Transaction, asset_id: str, encryption: Encryption, keys: tuple[SealedKey, ...]) -> None:
    """What inspection decided."""
    rows = [
        {
            "asset_id": asset_id,
            "position": position,
            "encryption": encryption,
            "first_segment": key.facts.first_segment,
            "kid": key.facts.kid,
            "iv": key.facts.iv,
            "systems": to_record(key.facts.systems),
            "sealed": key.sealed,
            "sealed_by": key.sealed_by,
        }
        for position, key in enumerate(keys)
    ]
    if rows:
        tx.execute(sa.insert(content_keys), rows)


def _key_from(row: Row) -> SealedKey:
    return SealedKey(
        facts=KeyFacts(
            kid=row.kid,
            iv=row.iv,
            first_segment=row.first_segment,
            systems=from_record(tuple[DrmSystem, ...], row.systems),
        ),
        sealed=row.sealed,
    )
