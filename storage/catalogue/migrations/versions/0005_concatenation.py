"""Uploads that are parts of others, and uploads that are joined from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0005_concatenation"
down_revision = "0004_source_retention"
branch_labels = None
depends_on = None

ID = sa.String(64)


def upgrade() -> None:
    op.add_column("uploads", Column("concat", sa.String(32)))
    op.add_column("uploads", Column("concat_raw", sa.Text()))
    op.create_table(
        "upload_joins",
        Column("final_id", ID, nullable=False),
        Column("position", sa.Integer(), nullable=False),
        Column("partial_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("final_id", "position", name="pk_upload_joins"),
        sa.ForeignKeyConstraint(["final_id"], ["uploads.id"], name="fk_upload_joins_final_id"),
        sa.ForeignKeyConstraint(["partial_id"], ["uploads.id"], name="fk_upload_joins_partial_id"),
    )
    op.create_index("ix_upload_joins_partial_id", "upload_joins", ["partial_id"])


def downgrade() -> None:
    op.drop_table("upload_joins")
    op.drop_column("uploads", "concat_raw")
    op.drop_column("uploads", "concat")
