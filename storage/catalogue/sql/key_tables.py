"""The tables of encryption: what owners wish for, and content keys under their seals."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, Table, Text

from storage.catalogue.sql.tables import Id, Json, Name, Word, metadata

encryption_wishes = Table(
    "encryption_wishes",
    metadata,
    Column("video_id", Id, ForeignKey("videos.id"), primary_key=True),
    Column("encryption", Word, nullable=False),
)

content_keys = Table(
    "content_keys",
    metadata,
    Column("asset_id", Id, ForeignKey("assets.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("encryption", Word, nullable=False),
    Column("first_segment", Integer, nullable=False),
    Column("kid", Id, nullable=False),
    Column("iv", Id, nullable=False),
    Column("systems", Json, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("sealed_by", Name, nullable=False, index=True),  # id of the sealing key
)
