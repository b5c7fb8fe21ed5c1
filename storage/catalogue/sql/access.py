"""API keys, and quotas: limits as rows, usage summed up from uploads and videos under the tenant's lock."""

from __future__ import annotations

import sqlalchemy as sa

from storage.access import ApiKey, KeyToken, NewKey, Scope
from storage.catalogue import Concat
from storage.catalogue.sql.access_tables import api_keys, tenant_limits
from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.tables import is_open, upload_joins, uploads, videos
from storage.errors import NotFound
from storage.ids import KeyId, TenantId, VideoId
from storage.lifecycle import VideoState
from storage.quotas import Limits, Usage

HELD_BY_NONE = (VideoState.DELETED, VideoState.REJECTED)
"""States in which a video's source is gone."""


class SqlAccess:
    _db: Database
    _limits: Limits

    # --- keys --------------------------------------------------------------------------------------------------------

    def create_key(self, new: NewKey, token: KeyToken) -> ApiKey:
        with self._db.write() as tx:
            tx.execute(
                sa.insert(api_keys).values(
                    id=token.id,
                    tenant=new.tenant,
                    name=new.name,
                    scopes=[str(scope) for scope in new.scopes],
                    digest=token.digest,
                    created_at_ms=tx.now,
                    expires_at_ms=new.expires_at_ms,
                )
            )
            return _key(tx, token.id, None)

    def key(self, key: KeyId, *, tenant: TenantId | None = None) -> ApiKey:
        with self._db.read() as tx:
            return _key(tx, key, tenant)

    def keys(self, tenant: TenantId | None = None) -> tuple[ApiKey, ...]:
        query = sa.select(api_keys).order_by(api_keys.c.created_at_ms.desc(), api_keys.c.id)
        if tenant is not None:
            query = query.where(api_keys.c.tenant == tenant)
        with self._db.read() as tx:
            return tuple(_key_from(row) for row in tx.all(query))

    def revoke_key(self, key: KeyId, *, tenant: TenantId | None = None) -> ApiKey:
        with self._db.write() as tx:
            _key(tx, key, tenant)
            tx.execute(
                sa.update(api_keys)
                .where(api_keys.c.id == key, api_keys.c.revoked_at_ms.is_(None))
                .values(revoked_at_ms=tx.now)
            )
            return _key(tx, key, tenant)

    def note_key_used(self, key: KeyId) -> None:
        with self._db.write() as tx:
            tx.execute(sa.update(api_keys).where(api_keys.c.id == key).values(last_used_at_ms=tx.now))

    def has_good_keys(self) -> bool:
        with self._db.read() as tx:
            unexpired = sa.or_(api_keys.c.expires_at_ms.is_(None), api_keys.c.expires_at_ms > tx.now)
            query = sa.select(api_keys.c.id).where(api_keys.c.revoked_at_ms.is_(None), unexpired).limit(1)
            return tx.first(query) is not None

    def tenant_of(self, video: VideoId) -> TenantId:
        with self._db.read() as tx:
            tenant = tx.scalar(sa.select(videos.c.tenant).where(videos.c.id == video))
        if tenant is None:
            raise NotFound("There is no such video.", video_id=video)
        return TenantId(tenant)

    # --- quotas ------------------------------------------------------------------------------------------------------

    def limits(self, tenant: TenantId) -> Limits:
        with self._db.read() as tx:
            return limits_of(tx, tenant, self._limits)

    def set_limits(self, tenant: TenantId, limits: Limits) -> None:
        values = {
            "stored_bytes": limits.stored_bytes,
            "open_uploads": limits.open_uploads,
            "minutes": limits.minutes,
        }
        with self._db.write() as tx:
            insert = tx.insert(tenant_limits).values(tenant=tenant, **values)
            tx.execute(insert.on_conflict_do_update(index_elements=["tenant"], set_=values))

    def usage(self, tenant: TenantId) -> Usage:
        with self._db.read() as tx:
            return usage_of(tx, tenant)

    def tenants(self) -> tuple[TenantId, ...]:
        named = sa.union(
            sa.select(api_keys.c.tenant), sa.select(tenant_limits.c.tenant), sa.select(videos.c.tenant)
        ).subquery()
        with self._db.read() as tx:
            return tuple(TenantId(row.tenant) for row in tx.all(sa.select(named.c.tenant).order_by(named.c.tenant)))


def _key(tx: Transaction, key: str, tenant: str | None) -> ApiKey:
    row = tx.first(sa.select(api_keys).where(api_keys.c.id == key))
    if row is None or (tenant is not None and row.tenant != tenant):
        raise NotFound("There is no such key.")
    return _key_from(row)


def _key_from(row: Row) -> ApiKey:
    return ApiKey(
        id=KeyId(row.id),
        tenant=TenantId(row.tenant),
        name=row.name,
        scopes=tuple(Scope(scope) for scope in row.scopes),
        digest=row.digest,
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        last_used_at_ms=row.last_used_at_ms,
        revoked_at_ms=row.revoked_at_ms,
    )


# --- quotas, inside the transactions of others -----------------------------------------------------------------------


def limits_of(tx: Transaction, tenant: str, defaults: Limits) -> Limits:
    row = tx.first(sa.select(tenant_limits).where(tenant_limits.c.tenant == tenant))
    return defaults if row is None else _own(row).over(defaults)


def reserve(tx: Transaction, tenant: str, defaults: Limits) -> tuple[Limits, Usage]:
    """The tenant's limits and usage, which nobody else changes upwards until the transaction ends. What has no limits
    is neither locked nor summed up."""
    limits = limits_of(tx, tenant, defaults)
    if limits.is_none:
        return limits, Usage()
    # Of all locks the first: a row to hold on to, made where there is none.
    tx.execute(tx.insert(tenant_limits).values(tenant=tenant).on_conflict_do_nothing(index_elements=["tenant"]))
    row = tx.first(sa.select(tenant_limits).where(tenant_limits.c.tenant == tenant).with_for_update())
    assert row is not None
    return _own(row).over(defaults), usage_of(tx, tenant)


def _own(row: Row) -> Limits:
    return Limits(stored_bytes=row.stored_bytes, open_uploads=row.open_uploads, minutes=row.minutes)


def usage_of(tx: Transaction, tenant: str) -> Usage:
    films = tx.first(
        sa.select(
            sa.func.coalesce(sa.func.sum(sa.case((_has_source(), _source_bytes()), else_=0)), 0).label("bytes"),
            sa.func.coalesce(sa.func.sum(sa.case((_is_shown(), videos.c.duration_ms), else_=0)), 0).label("film_ms"),
        ).where(videos.c.tenant == tenant, videos.c.state.not_in(HELD_BY_NONE))
    )
    assert films is not None
    partials = tx.scalar(
        sa.select(sa.func.sum(sa.func.coalesce(uploads.c.length_bytes, uploads.c.offset_bytes))).where(
            uploads.c.tenant == tenant,
            uploads.c.concat == Concat.PARTIAL,
            uploads.c.state.in_(["open", "completed"]),
            ~_is_joined(),
        )
    )
    unfinished = tx.scalar(sa.select(sa.func.count()).select_from(uploads).where(is_open, uploads.c.tenant == tenant))
    return Usage(
        stored_bytes=int(films.bytes) + int(partials or 0), open_uploads=unfinished, film_ms=int(films.film_ms)
    )


def _source_bytes() -> sa.ColumnElement[int]:
    return sa.func.coalesce(videos.c.source_bytes, videos.c.received_bytes)


def _has_source() -> sa.ColumnElement[bool]:
    """Whether a video that is not given up for good still has its file. One that was cancelled while it was uploaded
    has lost it."""
    cancelled_early = sa.and_(videos.c.state == VideoState.FAILED, videos.c.uploaded_at_ms.is_(None))
    return sa.and_(videos.c.source_dropped_at_ms.is_(None), ~cancelled_early)


def _is_shown() -> sa.ColumnElement[bool]:
    return sa.and_(videos.c.duration_ms.is_not(None), videos.c.state != VideoState.FAILED)


def _is_joined() -> sa.Exists:
    """Of a row of `uploads`: a final upload that lives counts its bytes."""
    final = uploads.alias("final")
    return (
        sa.select(upload_joins.c.final_id)
        .join(final, final.c.id == upload_joins.c.final_id)
        .where(
            upload_joins.c.partial_id == uploads.c.id,
            final.c.state.in_(["open", "completed"]),
            final.c.length_bytes.is_not(None),
        )
        .correlate(uploads)
        .exists()
    )
