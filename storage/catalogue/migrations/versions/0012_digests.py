"""Uploads are found by the digest of their file."""

from __future__ import annotations

from alembic import op

revision = "0012_digests"
down_revision = "0011_followers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_uploads_digest", "uploads", ["digest"])
    op.create_index("ix_videos_asset_id", "videos", ["asset_id"])


def downgrade() -> None:
    op.drop_index("ix_videos_asset_id", "videos")
    op.drop_index("ix_uploads_digest", "uploads")
