"""The tables of viewing: who may play what, and how it was played."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table

from storage.catalogue.sql.tables import Big, Id, Word, metadata

__all__ = ["metadata", "plays", "view_counts", "visibilities"]

visibilities = Table(
    "visibilities",
    metadata,
    Column("video_id", Id, ForeignKey("videos.id"), primary_key=True),
    Column("visibility", Word, nullable=False),
)

view_counts = Table(
    "view_counts",
    metadata,
    Column("video_id", Id, primary_key=True),
    Column("views", Big, nullable=False),
)

plays = Table(
    "plays",
    metadata,
    Column("video_id", Id, primary_key=True),
    Column("session", Id, primary_key=True),
    Column("started_at_ms", Big, nullable=False),
    Column("updated_at_ms", Big, nullable=False, index=True),
    Column("startup_ms", Big),
    Column("stalls", Integer, nullable=False),
    Column("stalled_ms", Big, nullable=False),
    Column("media_ms", Big, nullable=False),
    Column("weighted_kbps_ms", Big, nullable=False),
    Column("switches", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("position_ms", Big, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("sent_bytes", Big, nullable=False),
    Index(None, "video_id", "started_at_ms"),
)
