"""Showing: chapters, who may embed, the chosen poster, and what is stored of renditions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa

from storage.catalogue.sql.dooming import doom_superseded
from storage.catalogue.sql.engine import Database
from storage.catalogue.sql.moving import locked_video
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.showing_tables import showings
from storage.catalogue.sql.tables import names, renditions, segments, videos
from storage.catalogue.sql.viewing_tables import visibilities
from storage.errors import IllegalTransition
from storage.grants import Visibility
from storage.ids import AssetId, VideoId
from storage.jobs import PublishedName
from storage.lifecycle import VideoState
from storage.records import from_record, to_record
from storage.showing import Showing, StoredRuns

CHOSEN = "chosen"
"""What ``names.made_by`` says of a name that no job made."""


class SqlShowing:
    _db: Database

    def showing(self, video: VideoId) -> Showing:
        with self._db.read() as tx:
            row = tx.first(sa.select(showings).where(showings.c.video_id == video))
        if row is None:
            return Showing()
        return from_record(Showing, {"chapters": row.chapters, "embed_origins": row.embed_origins})

    def set_showing(self, video: VideoId, showing: Showing) -> None:
        values = to_record(showing)
        with self._db.write() as tx:
            row = locked_video(tx, video)
            if row.state == VideoState.DELETED:
                raise IllegalTransition("A deleted video cannot be changed.", video_id=video)
            insert = tx.insert(showings).values(video_id=video, **values)
            tx.execute(insert.on_conflict_do_update(index_elements=["video_id"], set_=values))
            tx.execute(sa.update(videos).where(videos.c.id == video).values(updated_at_ms=tx.now))
            tx.announce(row, "showing", {})

    def seen_as(self, videos: Sequence[VideoId]) -> dict[VideoId, Visibility]:
        query = sa.select(visibilities).where(visibilities.c.video_id.in_(videos))
        with self._db.read() as tx:
            return {VideoId(row.video_id): Visibility(row.visibility) for row in tx.all(query)}

    def choose_poster(self, video: VideoId, poster: PublishedName) -> None:
        with self._db.write() as tx:
            row = locked_video(tx, video)
            is_poster = sa.and_(names.c.asset_id == row.asset_id, names.c.name == poster.name)
            old = tx.first(sa.select(names.c.key).where(is_poster))
            # Sound alone never has one that was made; until all is done nobody knows that none will come.
            if row.state != VideoState.READY and (row.state != VideoState.PLAYABLE or old is None):
                raise IllegalTransition("A poster can be chosen once the video plays and has one.", video_id=video)
            values = {
                "key": poster.key,
                "size_bytes": poster.size_bytes,
                "content_type": poster.content_type,
                "immutable": poster.immutable,
                "made_by": CHOSEN,
            }
            insert = tx.insert(names).values(asset_id=row.asset_id, name=poster.name, **values)
            tx.execute(insert.on_conflict_do_update(index_elements=["asset_id", "name"], set_=values))
            tx.execute(sa.update(videos).where(videos.c.id == video).values(updated_at_ms=tx.now))
            if old is not None and old.key != poster.key:
                doom_superseded(tx, {old.key})
            tx.announce(row, "showing", {})

    def stored_runs(self, asset: AssetId) -> dict[str, StoredRuns]:
        # Numbers that follow each other have the same distance to their position: that is what an island is.
        position = sa.func.row_number().over(partition_by=segments.c.rendition, order_by=segments.c.number)
        numbered = (
            sa.select(
                segments.c.rendition,
                segments.c.number,
                segments.c.size_bytes,
                segments.c.duration_ticks,
                (segments.c.number - position).label("island"),
            )
            .where(segments.c.asset_id == asset)
            .subquery()
        )
        per_tick = sa.cast(numbered.c.size_bytes, sa.Float) / numbered.c.duration_ticks
        query = (
            sa.select(
                numbered.c.rendition,
                sa.func.min(numbered.c.number).label("start"),
                (sa.func.max(numbered.c.number) + 1).label("stop"),
                sa.func.sum(numbered.c.size_bytes).label("size_bytes"),
                sa.func.sum(numbered.c.duration_ticks).label("ticks"),
                sa.func.max(per_tick).label("peak"),
            )
            .group_by(numbered.c.rendition, numbered.c.island)
            .order_by(numbered.c.rendition, sa.text("start"))
        )
        rates = sa.select(renditions.c.name, renditions.c.timescale).where(renditions.c.asset_id == asset)
        with self._db.read() as tx:
            islands: defaultdict[str, list[Row]] = defaultdict(list)
            for row in tx.all(query):
                islands[row.rendition].append(row)
            timescales = {row.name: row.timescale for row in tx.all(rates)}
        return {name: _stored(rows, timescales.get(name)) for name, rows in islands.items()}


def _stored(islands: Sequence[Row], timescale: int | None) -> StoredRuns:
    size_bytes, ticks = (int(sum(getattr(row, column) for row in islands)) for column in ("size_bytes", "ticks"))
    bits_per_tick = max(row.peak for row in islands) * 8
    return StoredRuns(
        runs=tuple((row.start, row.stop) for row in islands),
        size_bytes=size_bytes,
        mean_rate_bps=round(size_bytes * 8 * timescale / ticks) if timescale else None,
        peak_rate_bps=round(bits_per_tick * timescale) if timescale else None,
    )
