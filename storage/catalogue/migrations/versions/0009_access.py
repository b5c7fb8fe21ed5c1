"""Who may upload, and how much: API keys, limits of tenants, and what an upload was granted; its digest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009_access"
down_revision = "0008_imports"
branch_labels = None
depends_on = None

ID = sa.String(64)
JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
OF_UPLOADS = ("key_id", "grant_id", "max_bytes", "labels", "digest")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        Column("id", ID, nullable=False),
        Column("tenant", ID, nullable=False),
        Column("name", sa.Text(), nullable=False),
        Column("scopes", JSON, nullable=False),
        Column("digest", sa.String(64), nullable=False),
        Column("created_at_ms", sa.BigInteger(), nullable=False),
        Column("expires_at_ms", sa.BigInteger()),
        Column("last_used_at_ms", sa.BigInteger()),
        Column("revoked_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_tenant", "api_keys", ["tenant"])
    op.create_table(
        "tenant_limits",
        Column("tenant", ID, nullable=False),
        Column("stored_bytes", sa.BigInteger()),
        Column("open_uploads", sa.Integer()),
        Column("minutes", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", name="pk_tenant_limits"),
    )
    op.add_column("uploads", Column("key_id", ID))
    op.add_column("uploads", Column("grant_id", ID))
    op.add_column("uploads", Column("max_bytes", sa.BigInteger()))
    op.add_column("uploads", Column("labels", JSON))
    op.add_column("uploads", Column("digest", sa.String(64)))
    op.create_index("ix_uploads_grant_id", "uploads", ["grant_id"])


def downgrade() -> None:
    op.drop_index("ix_uploads_grant_id", "uploads")
    for column in reversed(OF_UPLOADS):
        op.drop_column("uploads", column)
    op.drop_table("tenant_limits")
    op.drop_table("api_keys")
