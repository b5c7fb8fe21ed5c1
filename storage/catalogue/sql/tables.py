"""The tables. Portable types only: one migration chain serves SQLite and PostgreSQL.

Times are milliseconds since the epoch on the database's clock. Whole values (a source, a plan, a rung) are JSON as
`storage.records` writes it; what queries ask for is columns.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def storable(text: str) -> str:
    """``text`` without what PostgreSQL cannot hold: NULs and halves of surrogate pairs, both of which file names,
    container tags and tool output may bring."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


class Prose(sa.TypeDecorator[str]):
    """Text that comes from outside."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else storable(value)


Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Big = sa.BigInteger()
Id = String(64)
Name = String(255)
Word = String(32)  # a value of one of our enums
SerialId = sa.BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only in INTEGER PRIMARY KEY

videos = Table(
    "videos",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Id, nullable=False),
    Column("title", Prose, nullable=False),
    Column("state", Word, nullable=False),
    Column("lane", Word, nullable=False),
    # The current one; no foreign key, as assets point back here. Several videos of one file share one.
    Column("asset_id", Id, nullable=False, index=True),
    Column("upload_id", Id),
    Column("filename", Prose),
    Column("source_key", Text, nullable=False),
    Column("source_bytes", Big),
    Column("received_bytes", Big, nullable=False),
    Column("progress", Float, nullable=False),
    Column("reason_code", String(64)),
    Column("reason", Prose),
    Column("notes", Json, nullable=False),
    Column("duration_ms", Big),
    Column("created_at_ms", Big, nullable=False),
    Column("updated_at_ms", Big, nullable=False),
    Column("uploaded_at_ms", Big),
    Column("playable_at_ms", Big),
    Column("ready_at_ms", Big),
    Column("source_dropped_at_ms", Big),  # by a retention rule
    Index(None, "created_at_ms", "id"),
    Index(None, "tenant", "created_at_ms", "id"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id"), nullable=False, index=True),
    Column("tenant", Id, nullable=False),
    Column("source_key", Text, nullable=False),
    Column("length_bytes", Big),
    Column("offset_bytes", Big, nullable=False),
    Column("metadata_raw", Prose),
    Column("filename", Prose),
    Column("multipart_id", Text),
    Column("tail_key", Text),
    Column("tail_start", Big),
    Column("tail_bytes", Big),
    Column("state", Word, nullable=False),
    Column("reason_code", String(64)),
    Column("reason", Prose),
    Column("created_at_ms", Big, nullable=False),
    Column("lifetime_ms", Big, nullable=False),
    Column("expires_at_ms", Big, nullable=False),
    # The single writer: who, until when, with which fencing token, and whether somebody waits for it.
    Column("token", Integer, nullable=False),
    Column("holder", Name),
    Column("lease_until_ms", Big),
    Column("let_go", Boolean, nullable=False),
    Column("announced_at_ms", Big, nullable=False),  # the last `uploaded_bytes` event
    Column("concat", Word),
    Column("concat_raw", Prose),
    # Who began it, by which grant, and what that said.
    Column("key_id", Id),
    Column("grant_id", Id, index=True),
    Column("max_bytes", Big),
    Column("labels", Json),
    Column("digest", String(64), index=True),  # SHA-256 of the whole file, once it is known; empty: nobody will know it
    Index(
        "ix_uploads_undigested",
        "created_at_ms",
        sqlite_where=sa.text("state = 'completed' AND digest IS NULL"),
        postgresql_where=sa.text("state = 'completed' AND digest IS NULL"),
    ),
    Index(
        "ix_uploads_open",
        "expires_at_ms",
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    ),
)

# Uploads whose bytes we fetch ourselves.
imports = Table(
    "imports",
    metadata,
    Column("upload_id", Id, ForeignKey("uploads.id"), primary_key=True),
    Column("url", Text, nullable=False),
    Column("validator", Text),
    Column("tries", Integer, nullable=False),
    Column("run_after_ms", Big, nullable=False, index=True),
)

upload_joins = Table(
    "upload_joins",
    metadata,
    Column("final_id", Id, ForeignKey("uploads.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("partial_id", Id, ForeignKey("uploads.id"), nullable=False, index=True),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("upload_id", Id, ForeignKey("uploads.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("etag", Name, nullable=False),
    Column("size_bytes", Big, nullable=False),
    sqlite_with_rowid=False,
)

assets = Table(
    "assets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id"), nullable=False, index=True),
    Column("recipe", Word, nullable=False),
    Column("source", Json),
    Column("plan", Json),
    Column("storyboard", Json),
    Column("revision", Integer, nullable=False),
    Column("published_revision", Integer, nullable=False),
    # Of all renditions: what progress is measured by.
    Column("stored_segments", Integer, nullable=False),
    Column("expected_segments", Integer, nullable=False),
    Column("available_from_ms", Big, nullable=False),
    Column("created_at_ms", Big, nullable=False),
    Index(
        "ix_assets_unpublished",
        "id",
        sqlite_where=sa.text("revision > published_revision"),
        postgresql_where=sa.text("revision > published_revision"),
    ),
)

renditions = Table(
    "renditions",
    metadata,
    Column("asset_id", Id, ForeignKey("assets.id"), primary_key=True),
    Column("name", Id, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("rung", Json),
    Column("audio", Json),
    Column("init_name", Name),
    Column("init_size_bytes", Big),
    Column("codecs", Name),
    Column("timescale", Integer),
    Column("fingerprint", Text),
)

segments = Table(
    "segments",
    metadata,
    Column("asset_id", Id, primary_key=True),
    Column("rendition", Id, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Name, nullable=False),
    Column("start_ticks", Big, nullable=False),
    Column("duration_ticks", Big, nullable=False),
    Column("size_bytes", Big, nullable=False),
    Column("iframes", Json, nullable=False),  # [[offset, size, duration_ticks], …]
    Column("revision", Integer),  # of its asset, when it came; NULL: from before this was noted
    sa.ForeignKeyConstraint(["asset_id", "rendition"], ["renditions.asset_id", "renditions.name"]),
    sqlite_with_rowid=False,
)

names = Table(
    "names",
    metadata,
    Column("asset_id", Id, ForeignKey("assets.id"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("key", Text, nullable=False, index=True),
    Column("content_type", Name, nullable=False),
    Column("size_bytes", Big, nullable=False),
    Column("immutable", Boolean, nullable=False),
    Column("made_by", Word, nullable=False),  # kind of the job: each swaps its own names only
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id"), nullable=False),
    Column("asset_id", Id, nullable=False),
    Column("tenant", Id, nullable=False),
    Column("kind", Word, nullable=False),
    Column("lane", Word, nullable=False),
    Column("urgency", Integer, nullable=False),  # the lane's rank, smallest first
    Column("position", Integer, nullable=False),
    Column("due_at_ms", Big, nullable=False, server_default=sa.text("0")),  # its deadline, see `storage.fairness`
    Column("cost_cpu_ms", Big, nullable=False),
    Column("spent_cpu_ms", Big),
    Column("state", Word, nullable=False),
    Column("payload", Json, nullable=False),
    Column("recipe", Word, nullable=False),
    Column("token", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("kills", Integer, nullable=False),
    Column("worker", Name),
    Column("reason", Prose),
    Column("created_at_ms", Big, nullable=False),
    Column("run_after_ms", Big, nullable=False),
    Column("lease_until_ms", Big),
    Column("bell_at_ms", Big, nullable=False),  # when a bell was last rung for it
    Column("finished_at_ms", Big),
    Index(
        "ix_jobs_ready",
        "urgency",
        "tenant",
        "due_at_ms",
        "position",
        "created_at_ms",
        "id",
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    ),
    Index(
        "ix_jobs_leased",
        "lease_until_ms",
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    ),
    Index(
        "uq_jobs_ready_publish",
        "video_id",
        unique=True,
        sqlite_where=sa.text("kind = 'publish' AND state = 'ready'"),
        postgresql_where=sa.text("kind = 'publish' AND state = 'ready'"),
    ),
    Index(None, "video_id", "state"),
    Index(None, "created_at_ms"),
)

# What fairness remembers: of each tenant its virtual time, of each lane what it was handed lately.
tenant_turns = Table(
    "tenant_turns",
    metadata,
    Column("tenant", Id, primary_key=True),
    Column("virtual_ms", Big, nullable=False),
)

lane_turns = Table(
    "lane_turns",
    metadata,
    Column("lane", Word, primary_key=True),
    Column("used_cpu_ms", Float, nullable=False),
    Column("virtual_ms", Big, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", SerialId, primary_key=True, autoincrement=True),
    Column("tenant", Id, nullable=False),
    Column("video_id", Id, nullable=False),
    Column("kind", Word, nullable=False),
    Column("data", Json, nullable=False),
    Column("at_ms", Big, nullable=False, index=True),
    sqlite_autoincrement=True,  # ids only grow, also after old events are gone
)

followers = Table(
    "followers",
    metadata,
    Column("name", Id, primary_key=True),
    Column("event_id", Big, nullable=False),  # the last one that it is done with
)

doomed = Table(
    "doomed",
    metadata,
    Column("id", SerialId, primary_key=True, autoincrement=True),
    Column("prefix", Text, unique=True),
    Column("key", Text, unique=True),
    Column("after_ms", Big, nullable=False, index=True),
    Column("passes", Integer, nullable=False),  # how often it is still to be dropped
    sqlite_autoincrement=True,  # an id names one entry for good
)

leaders = Table(
    "leaders",
    metadata,
    Column("name", Id, primary_key=True),
    Column("holder", Name, nullable=False),
    Column("until_ms", Big, nullable=False),
)

# Spelled out rather than bound: a planner uses a partial index only if it can read its condition in the query.
is_ready = jobs.c.state == sa.literal_column("'ready'")
is_leased = jobs.c.state == sa.literal_column("'leased'")
is_publish = jobs.c.kind == sa.literal_column("'publish'")
is_open = uploads.c.state == sa.literal_column("'open'")
is_undigested = sa.and_(uploads.c.state == sa.literal_column("'completed'"), uploads.c.digest.is_(None))
is_unpublished = assets.c.revision > assets.c.published_revision
