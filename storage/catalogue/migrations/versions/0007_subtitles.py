"""Subtitles of an asset: from its source, or uploaded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007_subtitles"
down_revision = "0006_showing"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "subtitles",
        Column("asset_id", sa.String(64), nullable=False),
        Column("name", sa.String(64), nullable=False),
        Column("position", sa.Integer(), nullable=False),
        Column("rendition", JSON, nullable=False),
        Column("whole_name", sa.String(255)),
        Column("whole_size_bytes", sa.BigInteger()),
        Column("timescale", sa.Integer()),
        Column("segments", JSON),
        sa.PrimaryKeyConstraint("asset_id", "name", name="pk_subtitles"),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name="fk_subtitles_asset_id"),
    )


def downgrade() -> None:
    op.drop_table("subtitles")
