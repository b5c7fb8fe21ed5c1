"""Rows into the values of the port, and back. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from storage.blobs import StoredPart
from storage.catalogue import Asset, Concat, Doomed, Event, RenditionRow, Tail, Upload, Video
from storage.ids import AssetId, JobId, KeyId, TenantId, UploadId, VideoId
from storage.jobs import IFrame, Job, JobKind, JobState, Lane, PublishedName, Segment
from storage.lifecycle import VideoState
from storage.media.ladder import AudioRendition, EncodePlan, Rung
from storage.media.source import Note, Source
from storage.records import from_record
from storage.subtitles import SubtitleRow

Row = sa.Row[Any]


def upload_from(row: Row, parts: Iterable[Row], joins: Iterable[str] = ()) -> Upload:
    return Upload(
        id=UploadId(row.id),
        video=VideoId(row.video_id),
        tenant=TenantId(row.tenant),
        source_key=row.source_key,
        length_bytes=row.length_bytes,
        offset_bytes=row.offset_bytes,
        metadata_raw=row.metadata_raw,
        filename=row.filename,
        multipart_id=row.multipart_id,
        parts=tuple(StoredPart(number=part.number, etag=part.etag, size_bytes=part.size_bytes) for part in parts),
        tail=Tail(key=row.tail_key, start=row.tail_start, size_bytes=row.tail_bytes) if row.tail_key else None,
        state=row.state,
        reason_code=row.reason_code,
        reason=row.reason,
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        concat=Concat(row.concat) if row.concat else None,
        concat_raw=row.concat_raw,
        joins=tuple(UploadId(partial) for partial in joins),
        key=KeyId(row.key_id) if row.key_id else None,
        grant=row.grant_id,
        max_bytes=row.max_bytes,
        labels=dict(row.labels or {}),
        digest=row.digest or None,
    )


def video_from(row: Row, published: frozenset[str]) -> Video:
    return Video(
        id=VideoId(row.id),
        tenant=TenantId(row.tenant),
        title=row.title,
        state=VideoState(row.state),
        lane=Lane(row.lane),
        asset=AssetId(row.asset_id),
        upload=UploadId(row.upload_id) if row.upload_id else None,
        filename=row.filename,
        source_key=row.source_key,
        source_bytes=row.source_bytes,
        received_bytes=row.received_bytes,
        progress=row.progress,
        reason_code=row.reason_code,
        reason=row.reason,
        notes=from_record(tuple[Note, ...], row.notes),
        duration_ms=row.duration_ms,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        uploaded_at_ms=row.uploaded_at_ms,
        playable_at_ms=row.playable_at_ms,
        ready_at_ms=row.ready_at_ms,
        published=published,
    )


def asset_from(
    row: Row,
    renditions: tuple[RenditionRow, ...],
    names: tuple[PublishedName, ...],
    subtitles: tuple[SubtitleRow, ...] = (),
) -> Asset:
    return Asset(
        id=AssetId(row.id),
        video=VideoId(row.video_id),
        source=from_record(Source, row.source) if row.source is not None else None,
        plan=from_record(EncodePlan, row.plan) if row.plan is not None else None,
        recipe=row.recipe,
        revision=row.revision,
        published_revision=row.published_revision,
        available_from_ms=row.available_from_ms,
        renditions=renditions,
        storyboard=row.storyboard,
        names=names,
        subtitles=subtitles,
    )


def rendition_from(row: Row, segments: tuple[Segment, ...]) -> RenditionRow:
    return RenditionRow(
        name=row.name,
        rung=from_record(Rung, row.rung) if row.rung is not None else None,
        audio=from_record(AudioRendition, row.audio) if row.audio is not None else None,
        init_name=row.init_name,
        codecs=row.codecs,
        timescale=row.timescale,
        fingerprint=row.fingerprint,
        segments=segments,
    )


def segment_from(row: Row) -> Segment:
    return Segment(
        number=row.number,
        name=row.name,
        start_ticks=row.start_ticks,
        duration_ticks=row.duration_ticks,
        size_bytes=row.size_bytes,
        iframes=tuple(IFrame(offset=at, size=size, duration_ticks=ticks) for at, size, ticks in row.iframes),
    )


def segment_values(asset_id: str, rendition: str, segment: Segment, revision: int) -> dict[str, Any]:
    return {
        "asset_id": asset_id,
        "rendition": rendition,
        "revision": revision,
        "number": segment.number,
        "name": segment.name,
        "start_ticks": segment.start_ticks,
        "duration_ticks": segment.duration_ticks,
        "size_bytes": segment.size_bytes,
        # Plain triples: a long video has tens of thousands of these.
        "iframes": [[frame.offset, frame.size, frame.duration_ticks] for frame in segment.iframes],
    }


def name_from(row: Row) -> PublishedName:
    return PublishedName(
        name=row.name,
        key=row.key,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        immutable=row.immutable,
    )


def job_from(row: Row) -> Job:
    return Job(
        id=JobId(row.id),
        video=VideoId(row.video_id),
        asset=AssetId(row.asset_id),
        tenant=TenantId(row.tenant),
        kind=JobKind(row.kind),
        lane=Lane(row.lane),
        state=JobState(row.state),
        payload=dict(row.payload),
        recipe=row.recipe,
        token=row.token,
        attempts=row.attempts,
        kills=row.kills,
        worker=row.worker,
        reason=row.reason,
        created_at_ms=row.created_at_ms,
        run_after_ms=row.run_after_ms,
        lease_until_ms=row.lease_until_ms,
        cost_cpu_ms=row.cost_cpu_ms,
        due_at_ms=row.due_at_ms,
    )


def event_from(row: Row) -> Event:
    return Event(
        id=row.id,
        tenant=TenantId(row.tenant),
        video=VideoId(row.video_id),
        kind=row.kind,
        data=dict(row.data),
        at_ms=row.at_ms,
    )


def doomed_from(row: Row) -> Doomed:
    return Doomed(id=row.id, prefix=row.prefix, key=row.key)
