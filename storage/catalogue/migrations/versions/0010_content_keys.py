"""Content keys under their seals, and how owners wish their videos encrypted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010_content_keys"
down_revision = "0009_access"
branch_labels = None
depends_on = None

ID = sa.String(64)
WORD = sa.String(32)
JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "encryption_wishes",
        Column("video_id", ID, nullable=False),
        Column("encryption", WORD, nullable=False),
        sa.PrimaryKeyConstraint("video_id", name="pk_encryption_wishes"),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_encryption_wishes_video_id"),
    )
    op.create_table(
        "content_keys",
        Column("asset_id", ID, nullable=False),
        Column("position", sa.Integer(), nullable=False),
        Column("encryption", WORD, nullable=False),
        Column("first_segment", sa.Integer(), nullable=False),
        Column("kid", ID, nullable=False),
        Column("iv", ID, nullable=False),
        Column("systems", JSON, nullable=False),
        Column("sealed", sa.Text(), nullable=False),
        Column("sealed_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("asset_id", "position", name="pk_content_keys"),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name="fk_content_keys_asset_id"),
    )
    op.create_index("ix_content_keys_sealed_by", "content_keys", ["sealed_by"])


def downgrade() -> None:
    op.drop_table("content_keys")
    op.drop_table("encryption_wishes")
