"""When a source was dropped by a retention rule, and with which revision of its asset a segment came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0004_source_retention"
down_revision = "0003_viewing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("videos", Column("source_dropped_at_ms", sa.BigInteger()))
    op.add_column("segments", Column("revision", sa.Integer()))


def downgrade() -> None:
    op.drop_column("segments", "revision")
    op.drop_column("videos", "source_dropped_at_ms")
