"""Viewing: visibilities of videos, plays and view counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0003_viewing"
down_revision = "0002_fair_turns"
branch_labels = None
depends_on = None

ID = sa.String(64)
BIG = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "visibilities",
        Column("video_id", ID, nullable=False),
        Column("visibility", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("video_id", name="pk_visibilities"),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_visibilities_video_id"),
    )
    op.create_table(
        "view_counts",
        Column("video_id", ID, nullable=False),
        Column("views", BIG, nullable=False),
        sa.PrimaryKeyConstraint("video_id", name="pk_view_counts"),
    )
    op.create_table(
        "plays",
        Column("video_id", ID, nullable=False),
        Column("session", ID, nullable=False),
        Column("started_at_ms", BIG, nullable=False),
        Column("updated_at_ms", BIG, nullable=False),
        Column("startup_ms", BIG),
        Column("stalls", sa.Integer(), nullable=False),
        Column("stalled_ms", BIG, nullable=False),
        Column("media_ms", BIG, nullable=False),
        Column("weighted_kbps_ms", BIG, nullable=False),
        Column("switches", sa.Integer(), nullable=False),
        Column("failures", sa.Integer(), nullable=False),
        Column("position_ms", BIG, nullable=False),
        Column("requests", sa.Integer(), nullable=False),
        Column("sent_bytes", BIG, nullable=False),
        sa.PrimaryKeyConstraint("video_id", "session", name="pk_plays"),
    )
    op.create_index("ix_plays_updated_at_ms", "plays", ["updated_at_ms"])
    op.create_index("ix_plays_video_id_started_at_ms", "plays", ["video_id", "started_at_ms"])


def downgrade() -> None:
    for table in ("plays", "view_counts", "visibilities"):
        op.drop_table(table)
