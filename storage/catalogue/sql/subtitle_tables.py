"""The table of subtitles: those of the source, and uploaded ones."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, Table

from storage.catalogue.sql.tables import Big, Id, Json, Name, metadata

__all__ = ["metadata", "subtitles"]

subtitles = Table(
    "subtitles",
    metadata,
    Column("asset_id", Id, ForeignKey("assets.id"), primary_key=True),
    Column("name", Id, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("rendition", Json, nullable=False),
    Column("whole_name", Name),  # NULL: not made from the source yet
    Column("whole_size_bytes", Big),
    Column("timescale", Integer),
    Column("segments", Json),  # [[name, start_ticks, duration_ticks, size_bytes], …]; NULL: not cut yet
)
