"""What the tables know of the store, and videos that are taken up again from what the store still has."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from storage import keys
from storage.audit import Holdings, Reference
from storage.catalogue import Concat
from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.moving import locked_video
from storage.catalogue.sql.queueing import begin_inspection, insert_asset
from storage.catalogue.sql.subtitle_tables import subtitles
from storage.catalogue.sql.subtitles import stored_files
from storage.catalogue.sql.tables import assets, doomed, is_open, jobs, names, renditions, segments, uploads, videos
from storage.catalogue.sql.viewing_tables import visibilities
from storage.errors import Conflict
from storage.grants import Visibility
from storage.ids import AssetId, TenantId, VideoId, new_asset_id
from storage.jobs import Job, JobState, Lane
from storage.lifecycle import VideoState

AT_WORK = (VideoState.INSPECTING, VideoState.ENCODING, VideoState.PLAYABLE)
WITH_ASSET = (VideoState.ENCODING, VideoState.PLAYABLE, VideoState.READY)
WITH_SOURCE = (*AT_WORK, VideoState.READY, VideoState.FAILED)


class SqlAudits:
    _db: Database

    def holdings(self) -> Holdings:
        with self._db.read() as tx:
            return Holdings(
                references=tuple(_references(tx)),
                videos=frozenset(VideoId(it) for it in tx.connection.scalars(sa.select(videos.c.id))),
                assets=frozenset(AssetId(it) for it in tx.connection.scalars(sa.select(assets.c.id))),
                doomed=frozenset(row.prefix or row.key for row in tx.all(sa.select(doomed.c.prefix, doomed.c.key))),
                coming=frozenset(
                    name
                    for row in tx.all(sa.select(uploads.c.video_id, uploads.c.source_key).where(is_open))
                    for name in (keys.tails_prefix(VideoId(row.video_id)), row.source_key)
                ),
                stuck=tuple(VideoId(it) for it in tx.connection.scalars(stuck_videos())),
                now_ms=tx.now,
            )

    def adopt_source(
        self,
        video: VideoId,
        *,
        tenant: TenantId,
        size_bytes: int,
        title: str,
        recipe: str,
        visibility: Visibility | None = None,
    ) -> Job:
        with self._db.write() as tx:
            if tx.first(sa.select(videos.c.id).where(videos.c.id == video)) is not None:
                raise Conflict("This video is known already.", video_id=video)
            asset_id = new_asset_id()
            tx.execute(
                sa.insert(videos).values(
                    id=video,
                    tenant=tenant,
                    title=title,
                    state=VideoState.UPLOADING,
                    lane=Lane.STANDARD,
                    asset_id=asset_id,
                    source_key=keys.source_key(video),
                    source_bytes=size_bytes,
                    received_bytes=size_bytes,
                    progress=0.0,
                    notes=[],
                    created_at_ms=tx.now,
                    updated_at_ms=tx.now,
                )
            )
            if visibility is not None:
                tx.execute(sa.insert(visibilities).values(video_id=video, visibility=visibility))
            insert_asset(tx, asset_id=asset_id, video_id=video, recipe=recipe)
            row = locked_video(tx, video)
            return begin_inspection(tx, row, asset_id=asset_id, recipe=recipe, uploaded_at_ms=tx.now)


def _references(tx: Transaction) -> Iterator[Reference]:
    in_use = sa.and_(videos.c.asset_id == assets.c.id, videos.c.state.in_(WITH_ASSET))
    of_asset = sa.select(videos.c.id.label("video")).join(assets, in_use)
    stored = of_asset.join(segments, segments.c.asset_id == assets.c.id).add_columns(
        segments.c.asset_id, segments.c.rendition, segments.c.name, segments.c.size_bytes
    )
    for row in tx.connection.execute(stored):
        key = keys.rendition_key(row.asset_id, row.rendition, row.name)
        yield Reference(key=key, video=VideoId(row.video), size_bytes=row.size_bytes)
    inits = (
        of_asset.join(renditions, renditions.c.asset_id == assets.c.id)
        .add_columns(renditions.c.asset_id, renditions.c.name, renditions.c.init_name, renditions.c.init_size_bytes)
        .where(renditions.c.init_name.is_not(None))
    )
    for row in tx.connection.execute(inits):
        key = keys.rendition_key(row.asset_id, row.name, row.init_name)
        yield Reference(key=key, video=VideoId(row.video), size_bytes=row.init_size_bytes)
    public = of_asset.join(names, names.c.asset_id == assets.c.id).add_columns(names.c.key, names.c.size_bytes)
    for row in tx.connection.execute(public):
        yield Reference(key=row.key, video=VideoId(row.video), size_bytes=row.size_bytes)
    text = of_asset.join(subtitles, subtitles.c.asset_id == assets.c.id).add_columns(subtitles)
    for row in tx.connection.execute(text):
        for key, size_bytes in stored_files(row):
            yield Reference(key=key, video=VideoId(row.video), size_bytes=size_bytes)
    dropped = sa.select(doomed.c.key).where(doomed.c.key == videos.c.source_key).exists()
    sources = sa.select(videos.c.id, videos.c.source_key, videos.c.source_bytes).where(
        videos.c.state.in_(WITH_SOURCE), videos.c.uploaded_at_ms.is_not(None), videos.c.source_dropped_at_ms.is_(None)
    )
    for row in tx.connection.execute(sources.where(~dropped)):
        yield Reference(key=row.source_key, video=VideoId(row.id), size_bytes=row.source_bytes)
    # To be joined, now or later: they go when their upload ends. An empty one has no object.
    partials = sa.select(uploads.c.video_id, uploads.c.source_key, uploads.c.length_bytes).where(
        uploads.c.concat == Concat.PARTIAL, uploads.c.state == "completed", uploads.c.length_bytes > 0
    )
    for row in tx.connection.execute(partials):
        yield Reference(key=row.source_key, video=VideoId(row.video_id), size_bytes=row.length_bytes)


def stuck_videos() -> sa.Select[str]:
    """The ids of videos that are at work and have no job that would move them on."""
    alive = (
        sa.select(jobs.c.id)
        .where(jobs.c.video_id == videos.c.id, jobs.c.state.in_([JobState.READY, JobState.LEASED]))
        .exists()
    )
    return sa.select(videos.c.id).where(videos.c.state.in_(AT_WORK), ~alive).order_by(videos.c.id)
