"""Videos, their assets and public names, and the events that tell of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from storage.catalogue import Asset, Event, Video, VideoFilter, VideoSort
from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.moving import give_up, locked_video
from storage.catalogue.sql.queueing import begin_again
from storage.catalogue.sql.rows import (
    Row,
    asset_from,
    event_from,
    name_from,
    rendition_from,
    video_from,
)
from storage.catalogue.sql.segments import SegmentReader
from storage.catalogue.sql.subtitles import subtitles_of
from storage.catalogue.sql.tables import assets, events, names, renditions, videos
from storage.errors import IllegalTransition, InvalidRequest, NotFound
from storage.ids import AssetId, TenantId, VideoId
from storage.jobs import Job, PublishedName
from storage.lifecycle import VideoState

PUBLIC = (VideoState.PLAYABLE, VideoState.READY)
"""States in which a video's public names answer."""

_CURSOR = re.compile(r"(-?\d{1,16}|x[0-9a-f]{0,4000})-([0-9a-z]{1,64})")

_SORTS: dict[VideoSort, tuple[sa.ColumnElement[Any], bool]] = {
    VideoSort.NEWEST: (videos.c.created_at_ms, True),
    VideoSort.OLDEST: (videos.c.created_at_ms, False),
    VideoSort.TITLE: (sa.func.lower(videos.c.title), False),
    VideoSort.LONGEST: (sa.func.coalesce(videos.c.duration_ms, -1), True),
    VideoSort.LARGEST: (sa.func.coalesce(videos.c.source_bytes, -1), True),
}
"""By what, and whether the greatest comes first; the id decides between equals."""


class SqlVideos:
    _db: Database
    _segments: SegmentReader

    def video(self, video: VideoId) -> Video:
        with self._db.read() as tx:
            return _video(tx, video)

    def videos(
        self, where: VideoFilter, *, limit: int = 50, after: str | None = None, sort: VideoSort = VideoSort.NEWEST
    ) -> tuple[tuple[Video, ...], str | None]:
        by, descending = _SORTS[sort]
        query = _filtered(where).add_columns(by.label("sorted_by"))
        if after is not None:
            here, cursor_at = sa.tuple_(by, videos.c.id), sa.tuple_(*_parse_cursor(after, sort))
            query = query.where(here < cursor_at if descending else here > cursor_at)
        order = (by.desc(), videos.c.id.desc()) if descending else (by, videos.c.id)
        with self._db.read() as tx:
            rows = tx.all(query.order_by(*order).limit(limit + 1))  # one more than asked for: is there a next page?
            page = rows[:limit]
            public = _published_names(tx, page)
        more = len(rows) > limit and page
        cursor = _cursor(page[-1]) if more else None
        return tuple(video_from(row, public[row.asset_id]) for row in page), cursor

    def asset(self, asset: AssetId, *, with_segments: bool = True) -> Asset:
        with self._db.read() as tx:
            row = tx.first(sa.select(assets).where(assets.c.id == asset))
            if row is None:
                raise NotFound("There is no such asset.", asset_id=asset)
            stored = self._segments.of(tx, asset, row.revision) if with_segments else {}
            listed = tx.all(sa.select(renditions).where(renditions.c.asset_id == asset).order_by(renditions.c.position))
            public = tx.all(sa.select(names).where(names.c.asset_id == asset).order_by(names.c.name))
            text = subtitles_of(tx, asset)
        return asset_from(
            row,
            tuple(rendition_from(rendition, tuple(stored.get(rendition.name, ()))) for rendition in listed),
            tuple(name_from(name) for name in public),
            text,
        )

    def published(self, video: VideoId, name: str) -> tuple[AssetId, PublishedName | None]:
        query = (
            sa.select(videos.c.asset_id.label("asset"), names)
            .outerjoin(names, sa.and_(names.c.asset_id == videos.c.asset_id, names.c.name == name))
            .where(videos.c.id == video, videos.c.state.in_(PUBLIC))
        )
        with self._db.read() as tx:
            row = tx.first(query)
        if row is None:
            raise NotFound
        return AssetId(row.asset), name_from(row) if row.name is not None else None

    # --- what people do with a video ---------------------------------------------------------------------------------

    def rename_video(self, video: VideoId, title: str) -> Video:
        with self._db.write() as tx:
            row = locked_video(tx, video)
            if row.state == VideoState.DELETED:
                raise IllegalTransition("A deleted video cannot be renamed.", video_id=video)
            if row.title != title:
                tx.execute(sa.update(videos).where(videos.c.id == video).values(title=title, updated_at_ms=tx.now))
                tx.announce(row, "title", {"title": title})
            return _video(tx, video)

    def cancel_video(self, video: VideoId) -> Video:
        with self._db.write() as tx:
            row = locked_video(tx, video)
            if (row.state, row.reason_code) != (VideoState.FAILED, "cancelled"):
                give_up(tx, row, VideoState.FAILED, "cancelled", "This video was cancelled.")
            return _video(tx, video)

    def retry_video(self, video: VideoId, *, recipe: str) -> Job:
        with self._db.write() as tx:
            return begin_again(tx, locked_video(tx, video), recipe=recipe)

    def delete_video(self, video: VideoId) -> Video:
        with self._db.write() as tx:
            row = locked_video(tx, video)
            if row.state != VideoState.DELETED:
                give_up(tx, row, VideoState.DELETED, row.reason_code, row.reason)
            return _video(tx, video)

    def reject_video(self, video: VideoId, code: str, sentence: str) -> None:
        with self._db.write() as tx:
            give_up(tx, locked_video(tx, video), VideoState.REJECTED, code, sentence)

    def fail_video(self, video: VideoId, code: str, sentence: str) -> None:
        with self._db.write() as tx:
            give_up(tx, locked_video(tx, video), VideoState.FAILED, code, sentence)

    # --- events ------------------------------------------------------------------------------------------------------

    def events_after(self, event_id: int, *, tenant: TenantId | None = None, limit: int = 500) -> tuple[Event, ...]:
        query = sa.select(events).where(events.c.id > event_id).order_by(events.c.id).limit(limit)
        if tenant is not None:
            query = query.where(events.c.tenant == tenant)
        with self._db.read() as tx:
            return tuple(event_from(row) for row in tx.all(query))

    def last_event_id(self) -> int:
        with self._db.read() as tx:
            return tx.scalar(sa.select(sa.func.max(events.c.id))) or 0


def _video(tx: Transaction, video: str) -> Video:
    row = tx.first(sa.select(videos).where(videos.c.id == video))
    if row is None:
        raise NotFound("There is no such video.", video_id=video)
    return video_from(row, _published_names(tx, [row])[row.asset_id])


def _published_names(tx: Transaction, rows: Sequence[Row]) -> defaultdict[str, frozenset[str]]:
    """Public names that answer now, by asset."""
    public = [row.asset_id for row in rows if row.state in PUBLIC]
    found: defaultdict[str, set[str]] = defaultdict(set)
    if public:
        for row in tx.all(sa.select(names.c.asset_id, names.c.name).where(names.c.asset_id.in_(public))):
            found[row.asset_id].add(row.name)
    return defaultdict(frozenset, {asset: frozenset(its) for asset, its in found.items()})


def _filtered(where: VideoFilter) -> sa.Select[tuple[object, ...]]:
    query = sa.select(videos)
    if where.tenant is not None:
        query = query.where(videos.c.tenant == where.tenant)
    if where.states:
        query = query.where(videos.c.state.in_(where.states))
    if where.text:
        query = query.where(videos.c.title.icontains(where.text, autoescape=True))
    if not where.include_deleted and VideoState.DELETED not in where.states:
        query = query.where(videos.c.state != VideoState.DELETED)
    return query


def _cursor(last: Row) -> str:
    at = f"x{last.sorted_by.encode().hex()}" if isinstance(last.sorted_by, str) else str(last.sorted_by)
    return f"{at}-{last.id}"


def _parse_cursor(cursor: str, sort: VideoSort) -> tuple[int | str, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None or match[1].startswith("x") != (sort is VideoSort.TITLE):
        raise InvalidRequest("That is not a cursor of ours.", cursor=cursor[:80])
    try:
        at: int | str = bytes.fromhex(match[1][1:]).decode() if sort is VideoSort.TITLE else int(match[1])
    except ValueError as error:
        raise InvalidRequest("That is not a cursor of ours.", cursor=cursor[:80]) from error
    return at, match[2]
