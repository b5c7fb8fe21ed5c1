"""Uploads whose bytes we fetch ourselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0008_imports"
down_revision = "0007_subtitles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "imports",
        Column("upload_id", sa.String(64), nullable=False),
        Column("url", sa.Text(), nullable=False),
        Column("validator", sa.Text()),
        Column("tries", sa.Integer(), nullable=False),
        Column("run_after_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id", name="pk_imports"),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name="fk_imports_upload_id"),
    )
    op.create_index("ix_imports_run_after_ms", "imports", ["run_after_ms"])


def downgrade() -> None:
    op.drop_table("imports")
