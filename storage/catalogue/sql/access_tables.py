"""The tables of access: API keys, and what tenants may have."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from storage.catalogue.sql.tables import Big, Id, Json, Prose, metadata

__all__ = ["api_keys", "metadata", "tenant_limits"]

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Id, nullable=False, index=True),
    Column("name", Prose, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256 of the secret
    Column("created_at_ms", Big, nullable=False),
    Column("expires_at_ms", Big),
    Column("last_used_at_ms", Big),
    Column("revoked_at_ms", Big),
)

# One row per tenant that ever began an upload: its lock is what quotas are reserved under.
tenant_limits = Table(
    "tenant_limits",
    metadata,
    Column("tenant", Id, primary_key=True),
    Column("stored_bytes", Big),
    Column("open_uploads", Integer),
    Column("minutes", Big),
)
