"""The table of what owners say of their videos beyond the title."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Table

from storage.catalogue.sql.tables import Id, Json, metadata

__all__ = ["metadata", "showings"]

showings = Table(
    "showings",
    metadata,
    Column("video_id", Id, ForeignKey("videos.id"), primary_key=True),
    Column("chapters", Json, nullable=False),
    Column("embed_origins", Json),  # NULL: any page may frame the player
)
