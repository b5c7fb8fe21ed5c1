"""Subtitles: put there by inspection or by people, cut by jobs, and taken away again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from storage.catalogue.sql.dooming import doom_superseded, spare
from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.moving import locked_video
from storage.catalogue.sql.queueing import ensure_publish_job, insert_job
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.subtitle_tables import subtitles
from storage.catalogue.sql.tables import assets
from storage.errors import Conflict, IllegalTransition, NotFound, TooLarge
from storage.ids import AssetId, VideoId
from storage.jobs import Job, JobKind, Lane, NewJob, Segment, Subtitled, SubtitleSegments
from storage.keys import rendition_key
from storage.lifecycle import VideoState
from storage.media.ladder import SubtitleRendition
from storage.records import from_record, to_record
from storage.subtitles import MOST_TRACKS, SubtitleRow, keys_of

WITH_SUBTITLES = (VideoState.ENCODING, VideoState.PLAYABLE, VideoState.READY)
"""States in which a video takes subtitles: it is known how long it is."""
CUT_CPU_MS = 200


class SqlSubtitles:
    _db: Database

    def put_subtitles(self, video: VideoId, asset: AssetId, rendition: SubtitleRendition, whole_name: str) -> Lane:
        with self._db.write() as tx:
            row = _taking(tx, video)
            if row.asset_id != asset:
                raise Conflict("This video is being encoded anew; send the subtitles once more.", video_id=video)
            old = _named(tx, asset, rendition.name)
            others = tx.scalar(sa.select(sa.func.count()).where(subtitles.c.asset_id == asset))
            if old is None and others >= MOST_TRACKS:
                raise TooLarge(f"A video has at most {MOST_TRACKS} tracks of subtitles.", limit=MOST_TRACKS)
            last = tx.scalar(sa.select(sa.func.max(subtitles.c.position)).where(subtitles.c.asset_id == asset))
            values = {
                "position": old.position if old is not None else (-1 if last is None else last) + 1,
                "rendition": to_record(rendition),
                "whole_name": whole_name,
                "whole_size_bytes": None,
                "timescale": None,
                "segments": None,
            }
            insert = tx.insert(subtitles).values(asset_id=asset, name=rendition.name, **values)
            tx.execute(insert.on_conflict_do_update(index_elements=["asset_id", "name"], set_=values))
            now_named = {rendition_key(asset, rendition.name, whole_name)}
            if old is not None:
                doom_superseded(tx, _stored_keys(old) - now_named)
            spare(tx, now_named)
            recipe: str = tx.scalar(sa.select(assets.c.recipe).where(assets.c.id == asset))
            job = NewJob(
                kind=JobKind.SUBTITLES,
                lane=Lane(row.lane),
                payload={"tracks": [rendition.name], "whole": whole_name},
                cost_cpu_ms=CUT_CPU_MS,
            )
            insert_job(tx, row, job, asset_id=asset, recipe=recipe)
            return job.lane

    def delete_subtitles(self, video: VideoId, name: str) -> Lane | None:
        with self._db.write() as tx:
            row = _taking(tx, video)
            old = _named(tx, row.asset_id, name)
            if old is None:
                raise NotFound("This video has no subtitles of that name.", video_id=video, name=name)
            _delete(tx, row.asset_id, (name,))
            doom_superseded(tx, _stored_keys(old))
            raise_revision(tx, row.asset_id)
            recipe: str = tx.scalar(sa.select(assets.c.recipe).where(assets.c.id == row.asset_id))
            return Lane.PLAYABLE if ensure_publish_job(tx, row, recipe=recipe) else None


def insert_subtitles(tx: Transaction, asset_id: str, planned: Iterable[SubtitleRendition]) -> None:
    """What inspection found in the source."""
    rows = [
        {"asset_id": asset_id, "name": one.name, "position": position, "rendition": to_record(one)}
        for position, one in enumerate(planned)
    ]
    if rows:
        tx.execute(sa.insert(subtitles), rows)


def store_subtitles(tx: Transaction, job: Job, outcome: Subtitled) -> None:
    """What a job made of its tracks. Only those that still are what the job was for: others were replaced or deleted
    meanwhile, and what was made of them is left to be dropped."""
    names = list(job.payload["tracks"])
    whole = job.payload.get("whole")
    waiting = tx.all(
        sa.select(subtitles).where(
            subtitles.c.asset_id == job.asset,
            subtitles.c.name.in_(names),
            subtitles.c.whole_name.is_(None) if whole is None else subtitles.c.whole_name == whole,
        )
    )
    made = {track.rendition: track for track in outcome.tracks}
    leftovers = {key for track in outcome.tracks for key, _ in keys_of(job.asset, track)}
    for row in waiting:
        track = made.pop(row.name, None)
        if track is not None:
            tx.execute(
                sa.update(subtitles)
                .where(subtitles.c.asset_id == job.asset, subtitles.c.name == row.name)
                .values(**_stored_values(track))
            )
        elif row.segments is None:
            _delete(tx, job.asset, (row.name,))
    # Most of what was replaced is in what replaced it: segments are named by what is in them.
    live = {key for name in names for key in _stored_keys_of(tx, job.asset, name)}
    doom_superseded(tx, leftovers - live)
    spare(tx, live)
    raise_revision(tx, job.asset)


def raise_revision(tx: Transaction, asset_id: str) -> None:
    """There is something new to be published."""
    tx.execute(sa.update(assets).where(assets.c.id == asset_id).values(revision=assets.c.revision + 1))


def subtitles_of(tx: Transaction, asset_id: str) -> tuple[SubtitleRow, ...]:
    query = sa.select(subtitles).where(subtitles.c.asset_id == asset_id)
    return tuple(subtitle_row_from(row) for row in tx.all(query.order_by(subtitles.c.position, subtitles.c.name)))


def subtitle_row_from(row: Row) -> SubtitleRow:
    stored = None
    if row.segments is not None:
        stored = SubtitleSegments(
            rendition=row.name,
            whole_name=row.whole_name,
            whole_size_bytes=row.whole_size_bytes,
            timescale=row.timescale,
            segments=tuple(
                Segment(number=number, name=name, start_ticks=start, duration_ticks=duration, size_bytes=size)
                for number, (name, start, duration, size) in enumerate(row.segments)
            ),
        )
    return SubtitleRow(
        rendition=from_record(SubtitleRendition, row.rendition), whole_name=row.whole_name, stored=stored
    )


def _stored_values(track: SubtitleSegments) -> dict[str, Any]:
    return {
        "whole_name": track.whole_name,
        "whole_size_bytes": track.whole_size_bytes,
        "timescale": track.timescale,
        "segments": [[one.name, one.start_ticks, one.duration_ticks, one.size_bytes] for one in track.segments],
    }


def _taking(tx: Transaction, video: str) -> Row:
    """The video's row, locked, if it takes subtitles now."""
    row = locked_video(tx, video)
    if row.state not in WITH_SUBTITLES:
        raise IllegalTransition(
            f"A video that is {row.state} takes no subtitles: it has to be encoded or played.", state=row.state
        )
    return row


def _named(tx: Transaction, asset_id: str, name: str) -> Row | None:
    return tx.first(sa.select(subtitles).where(subtitles.c.asset_id == asset_id, subtitles.c.name == name))


def _delete(tx: Transaction, asset_id: str, names: Iterable[str]) -> None:
    tx.execute(sa.delete(subtitles).where(subtitles.c.asset_id == asset_id, subtitles.c.name.in_(list(names))))


def stored_files(row: Row) -> Iterator[tuple[str, int | None]]:
    """(key, size) of everything that is stored of the subtitles of ``row``; an uploaded file's size is not known before it
    is cut."""
    found = subtitle_row_from(row)
    if found.stored is not None:
        yield from keys_of(AssetId(row.asset_id), found.stored)
    elif found.whole_name is not None:
        yield rendition_key(AssetId(row.asset_id), row.name, found.whole_name), None


def in_use(tx: Transaction, keys: Iterable[str]) -> set[str]:
    """Those of ``keys`` that rows of subtitles name."""
    by_track: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for key in keys:
        asset_id, _, rest = key.partition("/")
        name, slash, _ = rest.partition("/")
        if slash:
            by_track[asset_id, name].add(key)
    return {key for track, its in by_track.items() for key in its & _stored_keys_of(tx, *track)}


def _stored_keys_of(tx: Transaction, asset_id: str, name: str) -> set[str]:
    row = _named(tx, asset_id, name)
    return _stored_keys(row) if row is not None else set()


def _stored_keys(row: Row) -> set[str]:
    return {key for key, _ in stored_files(row)}
