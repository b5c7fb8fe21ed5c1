"""Files whose digest is still to be worked out are found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_undigested"
down_revision = "0012_digests"
branch_labels = None
depends_on = None

UNDIGESTED = sa.text("state = 'completed' AND digest IS NULL")


def upgrade() -> None:
    op.create_index(
        "ix_uploads_undigested",
        "uploads",
        ["created_at_ms"],
        sqlite_where=UNDIGESTED,
        postgresql_where=UNDIGESTED,
    )


def downgrade() -> None:
    op.drop_index("ix_uploads_undigested", "uploads")
