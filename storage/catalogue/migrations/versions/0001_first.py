"""The first schema: videos, uploads, assets, jobs, events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Spelled out here, not imported from the tables: those move on, history does not.
BIG = sa.BigInteger()
INTEGER = sa.Integer()
TEXT = sa.Text()
ID = sa.String(64)
WORD = sa.String(32)
NAME = sa.String(255)
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

TABLES = (
    "doomed",
    "events",
    "leaders",
    "videos",
    "assets",
    "jobs",
    "uploads",
    "names",
    "renditions",
    "upload_parts",
    "segments",
)


def create_partial_index(name: str, table: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    """An index of the rows that meet ``condition``, on both dialects."""
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    op.create_table(
        "doomed",
        Column("id", SERIAL, autoincrement=True, nullable=False),
        Column("prefix", TEXT),
        Column("key", TEXT),
        Column("after_ms", BIG, nullable=False),
        Column("passes", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_doomed"),
        sa.UniqueConstraint("key", name="uq_doomed_key"),
        sa.UniqueConstraint("prefix", name="uq_doomed_prefix"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_doomed_after_ms", "doomed", ["after_ms"])
    op.create_table(
        "events",
        Column("id", SERIAL, autoincrement=True, nullable=False),
        Column("tenant", ID, nullable=False),
        Column("video_id", ID, nullable=False),
        Column("kind", WORD, nullable=False),
        Column("data", JSON, nullable=False),
        Column("at_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_at_ms", "events", ["at_ms"])
    op.create_table(
        "leaders",
        Column("name", ID, nullable=False),
        Column("holder", NAME, nullable=False),
        Column("until_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leaders"),
    )
    op.create_table(
        "videos",
        Column("id", ID, nullable=False),
        Column("tenant", ID, nullable=False),
        Column("title", TEXT, nullable=False),
        Column("state", WORD, nullable=False),
        Column("lane", WORD, nullable=False),
        Column("asset_id", ID, nullable=False),
        Column("upload_id", ID),
        Column("filename", TEXT),
        Column("source_key", TEXT, nullable=False),
        Column("source_bytes", BIG),
        Column("received_bytes", BIG, nullable=False),
        Column("progress", sa.Float(), nullable=False),
        Column("reason_code", ID),
        Column("reason", TEXT),
        Column("notes", JSON, nullable=False),
        Column("duration_ms", BIG),
        Column("created_at_ms", BIG, nullable=False),
        Column("updated_at_ms", BIG, nullable=False),
        Column("uploaded_at_ms", BIG),
        Column("playable_at_ms", BIG),
        Column("ready_at_ms", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_videos"),
    )
    op.create_index("ix_videos_created_at_ms_id", "videos", ["created_at_ms", "id"])
    op.create_index("ix_videos_tenant_created_at_ms_id", "videos", ["tenant", "created_at_ms", "id"])
    op.create_table(
        "assets",
        Column("id", ID, nullable=False),
        Column("video_id", ID, nullable=False),
        Column("recipe", WORD, nullable=False),
        Column("source", JSON),
        Column("plan", JSON),
        Column("storyboard", JSON),
        Column("revision", INTEGER, nullable=False),
        Column("published_revision", INTEGER, nullable=False),
        Column("stored_segments", INTEGER, nullable=False),
        Column("expected_segments", INTEGER, nullable=False),
        Column("available_from_ms", BIG, nullable=False),
        Column("created_at_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_assets_video_id"),
        sa.PrimaryKeyConstraint("id", name="pk_assets"),
    )
    create_partial_index("ix_assets_unpublished", "assets", ["id"], "revision > published_revision")
    op.create_index("ix_assets_video_id", "assets", ["video_id"])
    op.create_table(
        "jobs",
        Column("id", ID, nullable=False),
        Column("video_id", ID, nullable=False),
        Column("asset_id", ID, nullable=False),
        Column("tenant", ID, nullable=False),
        Column("kind", WORD, nullable=False),
        Column("lane", WORD, nullable=False),
        Column("urgency", INTEGER, nullable=False),
        Column("position", INTEGER, nullable=False),
        Column("cost_cpu_ms", BIG, nullable=False),
        Column("spent_cpu_ms", BIG),
        Column("state", WORD, nullable=False),
        Column("payload", JSON, nullable=False),
        Column("recipe", WORD, nullable=False),
        Column("token", INTEGER, nullable=False),
        Column("attempts", INTEGER, nullable=False),
        Column("kills", INTEGER, nullable=False),
        Column("worker", NAME),
        Column("reason", TEXT),
        Column("created_at_ms", BIG, nullable=False),
        Column("run_after_ms", BIG, nullable=False),
        Column("lease_until_ms", BIG),
        Column("bell_at_ms", BIG, nullable=False),
        Column("finished_at_ms", BIG),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_jobs_video_id"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_created_at_ms", "jobs", ["created_at_ms"])
    create_partial_index("ix_jobs_leased", "jobs", ["lease_until_ms"], "state = 'leased'")
    create_partial_index("ix_jobs_ready", "jobs", ["urgency", "position", "created_at_ms", "id"], "state = 'ready'")
    op.create_index("ix_jobs_video_id_state", "jobs", ["video_id", "state"])
    create_partial_index(
        "uq_jobs_ready_publish", "jobs", ["video_id"], "kind = 'publish' AND state = 'ready'", unique=True
    )
    op.create_table(
        "uploads",
        Column("id", ID, nullable=False),
        Column("video_id", ID, nullable=False),
        Column("tenant", ID, nullable=False),
        Column("source_key", TEXT, nullable=False),
        Column("length_bytes", BIG),
        Column("offset_bytes", BIG, nullable=False),
        Column("metadata_raw", TEXT),
        Column("filename", TEXT),
        Column("multipart_id", TEXT),
        Column("tail_key", TEXT),
        Column("tail_start", BIG),
        Column("tail_bytes", BIG),
        Column("state", WORD, nullable=False),
        Column("reason_code", ID),
        Column("reason", TEXT),
        Column("created_at_ms", BIG, nullable=False),
        Column("lifetime_ms", BIG, nullable=False),
        Column("expires_at_ms", BIG, nullable=False),
        Column("token", INTEGER, nullable=False),
        Column("holder", NAME),
        Column("lease_until_ms", BIG),
        Column("let_go", sa.Boolean(), nullable=False),
        Column("announced_at_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_uploads_video_id"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    create_partial_index("ix_uploads_open", "uploads", ["expires_at_ms"], "state = 'open'")
    op.create_index("ix_uploads_video_id", "uploads", ["video_id"])
    op.create_table(
        "names",
        Column("asset_id", ID, nullable=False),
        Column("name", NAME, nullable=False),
        Column("key", TEXT, nullable=False),
        Column("content_type", NAME, nullable=False),
        Column("size_bytes", BIG, nullable=False),
        Column("immutable", sa.Boolean(), nullable=False),
        Column("made_by", WORD, nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name="fk_names_asset_id"),
        sa.PrimaryKeyConstraint("asset_id", "name", name="pk_names"),
    )
    op.create_index("ix_names_key", "names", ["key"])
    op.create_table(
        "renditions",
        Column("asset_id", ID, nullable=False),
        Column("name", ID, nullable=False),
        Column("position", INTEGER, nullable=False),
        Column("rung", JSON),
        Column("audio", JSON),
        Column("init_name", NAME),
        Column("init_size_bytes", BIG),
        Column("codecs", NAME),
        Column("timescale", INTEGER),
        Column("fingerprint", TEXT),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name="fk_renditions_asset_id"),
        sa.PrimaryKeyConstraint("asset_id", "name", name="pk_renditions"),
    )
    op.create_table(
        "upload_parts",
        Column("upload_id", ID, nullable=False),
        Column("number", INTEGER, nullable=False),
        Column("etag", NAME, nullable=False),
        Column("size_bytes", BIG, nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name="fk_upload_parts_upload_id"),
        sa.PrimaryKeyConstraint("upload_id", "number", name="pk_upload_parts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "segments",
        Column("asset_id", ID, nullable=False),
        Column("rendition", ID, nullable=False),
        Column("number", INTEGER, nullable=False),
        Column("name", NAME, nullable=False),
        Column("start_ticks", BIG, nullable=False),
        Column("duration_ticks", BIG, nullable=False),
        Column("size_bytes", BIG, nullable=False),
        Column("iframes", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["asset_id", "rendition"], ["renditions.asset_id", "renditions.name"], name="fk_segments_asset_id_rendition"
        ),
        sa.PrimaryKeyConstraint("asset_id", "rendition", "number", name="pk_segments"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
