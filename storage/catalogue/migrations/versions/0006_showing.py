"""What owners say of their videos beyond the title: chapters, and who may embed them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006_showing"
down_revision = "0005_concatenation"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "showings",
        Column("video_id", sa.String(64), nullable=False),
        Column("chapters", JSON, nullable=False),
        Column("embed_origins", JSON),
        sa.PrimaryKeyConstraint("video_id", name="pk_showings"),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_showings_video_id"),
    )


def downgrade() -> None:
    op.drop_table("showings")
