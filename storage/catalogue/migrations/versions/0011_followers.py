"""How far those have come who follow the catalogue's events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0011_followers"
down_revision = "0010_content_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "followers",
        Column("name", sa.String(64), nullable=False),
        Column("event_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_followers"),
    )


def downgrade() -> None:
    op.drop_table("followers")
