"""Commits: what a finished job hands back becomes true, in one transaction that checks its fencing token first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from storage import keys, leases
from storage.catalogue import Committed
from storage.catalogue.sql.access import reserve
from storage.catalogue.sql.content_keys import insert_content_keys
from storage.catalogue.sql.dooming import doom_superseded
from storage.catalogue.sql.engine import Database, Transaction
from storage.catalogue.sql.jobs import finish, held_job
from storage.catalogue.sql.moving import announce_state, move
from storage.catalogue.sql.queueing import ensure_publish_job, insert_jobs
from storage.catalogue.sql.replans import replan
from storage.catalogue.sql.rows import Row, segment_values
from storage.catalogue.sql.showing import CHOSEN
from storage.catalogue.sql.subtitles import insert_subtitles, store_subtitles
from storage.catalogue.sql.tables import assets, names, renditions, segments, videos
from storage.catalogue.sql.turns import correct
from storage.crashpoints import CrashPoint, crashpoint
from storage.errors import Conflict, InitMismatch
from storage.fairness import FairPolicy
from storage.ids import AssetId, JobId
from storage.jobs import (
    Encoded,
    Inspected,
    Job,
    Lane,
    Outcome,
    Published,
    PublishedName,
    RenditionSegments,
    Replanned,
    Segment,
    Subtitled,
    Thumbnailed,
    plain_recipe,
)
from storage.lifecycle import VideoState
from storage.media.source import Note
from storage.quotas import Limits, check_film
from storage.records import from_record, to_record


class SqlCommits:
    _db: Database
    _policy: FairPolicy
    _limits: Limits

    def commit(self, job: JobId, token: int, outcome: Outcome) -> Committed:
        with self._db.write() as tx:
            video, held = held_job(tx, job, token)
            spent_ms = outcome.cpu_ms if isinstance(outcome, (Encoded, Thumbnailed, Subtitled, Replanned)) else 0
            finish(tx, held, leases.completed(held, token), spent_cpu_ms=spent_ms or None)
            match outcome:
                case Inspected():
                    limits, usage = reserve(tx, video.tenant, self._limits)
                    check_film(limits, usage, round(outcome.plan.duration * 1000))
                    bells = _inspected(tx, video, held, outcome)
                case Encoded():
                    bells = _encoded(tx, video, held, outcome)
                case Thumbnailed():
                    bells = _thumbnailed(tx, video, held, outcome)
                case Subtitled():
                    bells = _subtitled(tx, video, held, outcome)
                case Replanned():
                    bells = replan(tx, video, held, outcome)
                case Published():
                    bells = {}
                    _published(tx, video, held, outcome)
            moves = isinstance(outcome, (Inspected, Published))
            state = tx.scalar(sa.select(videos.c.state).where(videos.c.id == video.id)) if moves else video.state
            if spent_ms:
                correct(tx, held.tenant, spent_ms - held.cost_cpu_ms, self._policy)
            crashpoint(CrashPoint.COMMIT_UNCOMMITTED, held.kind)
            return Committed(bells=bells, video_state=VideoState(state))


# --- Inspected -------------------------------------------------------------------------------------------------------


def _inspected(tx: Transaction, video: Row, job: Job, outcome: Inspected) -> dict[Lane, int]:
    rows = [{"name": rung.name, "rung": to_record(rung), "audio": None} for rung in outcome.video_renditions]
    rows += [{"name": audio.name, "rung": None, "audio": to_record(audio)} for audio in outcome.audio_renditions]
    if rows:
        tx.execute(
            sa.insert(renditions),
            [{"asset_id": job.asset, "position": position, **row} for position, row in enumerate(rows)],
        )
    insert_subtitles(tx, job.asset, outcome.plan.subtitles)
    insert_content_keys(tx, job.asset, outcome.plan.encryption, outcome.keys)
    tx.execute(
        sa.update(assets)
        .where(assets.c.id == job.asset)
        .values(
            source=to_record(outcome.source),
            plan=to_record(outcome.plan),
            expected_segments=len(rows) * outcome.plan.segment_count,
            available_from_ms=tx.now,
        )
    )
    move(
        tx,
        video,
        VideoState.ENCODING,
        duration_ms=round(outcome.plan.duration * 1000),
        notes=_with_notes(video, outcome.notes),
    )
    insert_jobs(tx, video, outcome.jobs, asset_id=job.asset, recipe=plain_recipe(job.recipe))
    return dict(Counter(new.lane for new in outcome.jobs))


def _with_notes(video: Row, new: tuple[Note, ...]) -> Any:
    """The video's notes and ``new`` ones, each said once."""
    said = from_record(tuple[Note, ...], video.notes)
    return to_record(tuple(dict.fromkeys(said + new)))


# --- Encoded ---------------------------------------------------------------------------------------------------------


def _encoded(tx: Transaction, video: Row, job: Job, outcome: Encoded) -> dict[Lane, int]:
    _fix_inits(tx, job.asset, outcome.outputs)
    new = _new_segments(tx, job.asset, outcome.outputs)
    revision, progress = _raise_revision(tx, job.asset, len(new))
    if new:
        rows = [segment_values(job.asset, rendition, segment, revision) for rendition, segment in new]
        tx.execute(sa.insert(segments), rows)
    tx.execute(
        sa.update(videos)
        .where(videos.c.id == video.id)
        .values(progress=progress, notes=_with_notes(video, outcome.notes), updated_at_ms=tx.now)
    )
    if progress != video.progress:
        landed = [
            [each.rendition, each.segments[0].number, each.segments[-1].number + 1]
            for each in outcome.outputs
            if each.segments
        ]
        tx.announce(video, "progress", {"progress": progress, "landed": landed})
    return _bell_to_publish(tx, video, job)


_RENDITIONS = sa.select(renditions).where(
    renditions.c.asset_id == sa.bindparam("asset"), renditions.c.name.in_(sa.bindparam("names", expanding=True))
)


def _fix_inits(tx: Transaction, asset_id: str, outputs: Sequence[RenditionSegments]) -> None:
    """The first chunk of a rendition fixes its init segment; all others must match it."""
    rows = {row.name: row for row in tx.all(_RENDITIONS, asset=asset_id, names=[it.rendition for it in outputs])}
    for output in outputs:
        row = rows.get(output.rendition)
        if row is None:
            raise Conflict("That rendition is not in the plan.", rendition=output.rendition)
        ours = {
            "init_name": output.init_name,
            "codecs": output.codecs,
            "timescale": output.timescale,
            "fingerprint": output.fingerprint,
        }
        if row.init_name is None:
            tx.execute(
                sa.update(renditions)
                .where(renditions.c.asset_id == asset_id, renditions.c.name == output.rendition)
                .values(init_size_bytes=output.init_size_bytes, **ours)
            )
            continue
        differing = {name: (getattr(row, name), value) for name, value in ours.items() if getattr(row, name) != value}
        if differing:
            raise InitMismatch(rendition=output.rendition, differing=differing)


_STORED = sa.select(
    segments.c.rendition, segments.c.number, segments.c.name, segments.c.start_ticks, segments.c.duration_ticks
).where(
    segments.c.asset_id == sa.bindparam("asset"),
    segments.c.rendition.in_(sa.bindparam("names", expanding=True)),
    segments.c.number.in_(sa.bindparam("numbers", expanding=True)),
)


def _new_segments(
    tx: Transaction, asset_id: AssetId, outputs: Sequence[RenditionSegments]
) -> list[tuple[str, Segment]]:
    """Segments that are not there yet, with their renditions. One that is there stays what it is, as manifests may name
    it: the newer bytes are left to be dropped, if they cover the same time at all (`Conflict`). Under the video's lock."""
    numbers = sorted({segment.number for output in outputs for segment in output.segments})
    names = [output.rendition for output in outputs]
    stored = {(row.rendition, row.number): row for row in tx.all(_STORED, asset=asset_id, names=names, numbers=numbers)}
    new: list[tuple[str, Segment]] = []
    losers: set[str] = set()
    for output in outputs:
        for segment in output.segments:
            row = stored.get((output.rendition, segment.number))
            if row is None:
                new.append((output.rendition, segment))
                continue
            _same_time(row, segment, output.rendition)
            if row.name != segment.name:
                losers.add(keys.rendition_key(asset_id, output.rendition, segment.name))
    doom_superseded(tx, losers)
    return new


def _same_time(row: Row, segment: Segment, rendition: str) -> None:
    if (row.start_ticks, row.duration_ticks) != (segment.start_ticks, segment.duration_ticks):
        raise Conflict("This segment is stored already, at another time.", rendition=rendition, number=segment.number)


def _raise_revision(tx: Transaction, asset_id: str, stored: int) -> tuple[int, float]:
    """One revision further, with ``stored`` more segments; that revision, and how far encoding has come, 0..1."""
    row = tx.connection.execute(_REVISION, {"asset": asset_id, "more": stored}).one()
    return row.revision, min(1.0, row.stored_segments / row.expected_segments) if row.expected_segments else 0.0


_REVISION = (
    sa.update(assets)
    .where(assets.c.id == sa.bindparam("asset"))
    .values(revision=assets.c.revision + 1, stored_segments=assets.c.stored_segments + sa.bindparam("more"))
    .returning(assets.c.revision, assets.c.stored_segments, assets.c.expected_segments)
)


def _bell_to_publish(tx: Transaction, video: Row, job: Job) -> dict[Lane, int]:
    return {Lane.PLAYABLE: 1} if ensure_publish_job(tx, video, recipe=plain_recipe(job.recipe)) else {}


# --- Thumbnailed -----------------------------------------------------------------------------------------------------


def _thumbnailed(tx: Transaction, video: Row, job: Job, outcome: Thumbnailed) -> dict[Lane, int]:
    there = tx.scalar(sa.select(assets.c.storyboard).where(assets.c.id == job.asset))
    if outcome.part:
        if not _is_last_part(tx, job, outcome, there):
            return {}
    elif outcome.storyboard:
        _swap_names(tx, job, outcome.names)
    elif there:
        return {}  # a part was given up that is not needed any more
    else:
        _drop_sprites(tx, job)
    tx.execute(
        sa.update(assets)
        .where(assets.c.id == job.asset)
        .values(storyboard=outcome.storyboard, revision=assets.c.revision + 1)
    )
    return _bell_to_publish(tx, video, job)


def _is_last_part(tx: Transaction, job: Job, outcome: Thumbnailed, there: dict[str, Any] | None) -> bool:
    """Whether all sprites are there, now that those of ``outcome`` are. Their names are the rows that are counted, under the
    video's lock. ``there``: one that was given up stays so, but for its poster, and one that somebody made in one piece
    stays what it is: a worker of a release that knows no parts does that with any part."""
    tiles = outcome.storyboard["tiles"]
    if there is None:
        new = outcome.names
    else:
        new = tuple(name for name in outcome.names if not there and name.name not in tiles)
    _put_names(tx, job, new)
    _doom_unused(tx, job.asset, {name.key for name in outcome.names})
    stored = sa.select(sa.func.count()).where(names.c.asset_id == job.asset, names.c.name.in_(tiles))
    return there is None and tx.scalar(stored) == len(tiles)


def _drop_sprites(tx: Transaction, job: Job) -> None:
    """Other parts' sprites too: a storyboard with holes is none. A poster is worth having by itself."""
    sprites = sa.and_(
        names.c.asset_id == job.asset, names.c.made_by == job.kind, names.c.name.startswith("storyboard/")
    )
    dropped = {row.key for row in tx.all(sa.select(names.c.key).where(sprites))}
    tx.execute(sa.delete(names).where(sprites))
    _doom_unused(tx, job.asset, dropped)


def _subtitled(tx: Transaction, video: Row, job: Job, outcome: Subtitled) -> dict[Lane, int]:
    store_subtitles(tx, job, outcome)
    if outcome.notes:
        notes = _with_notes(video, outcome.notes)
        tx.execute(sa.update(videos).where(videos.c.id == video.id).values(notes=notes, updated_at_ms=tx.now))
    return _bell_to_publish(tx, video, job)


# --- Published -------------------------------------------------------------------------------------------------------


def _published(tx: Transaction, video: Row, job: Job, outcome: Published) -> None:
    asset = tx.connection.execute(
        sa.select(assets.c.revision, assets.c.published_revision).where(assets.c.id == job.asset).with_for_update()
    ).one()
    if outcome.revision <= asset.published_revision:
        # Somebody published the same or more meanwhile.
        _doom_unused(tx, job.asset, {name.key for name in outcome.names})
        return
    more = bool(outcome.names) and _swap_names(tx, job, outcome.names)
    # A commit that raised the revision meanwhile has left a job of its own.
    tx.execute(sa.update(assets).where(assets.c.id == job.asset).values(published_revision=outcome.revision))
    to = _next_state(video, outcome)
    if to is VideoState.READY:
        playable_at = video.playable_at_ms or tx.now
        move(tx, video, to, progress=1.0, playable_at_ms=playable_at, ready_at_ms=tx.now)
    elif to is VideoState.PLAYABLE:
        move(tx, video, to, playable_at_ms=tx.now)
    elif more and video.state != VideoState.ENCODING:
        announce_state(tx, video)  # players change over to the renditions that have come


def _next_state(video: Row, outcome: Published) -> VideoState | None:
    """Never backwards."""
    if outcome.final and video.state != VideoState.READY:
        return VideoState.READY
    if outcome.playable and video.state == VideoState.ENCODING:
        return VideoState.PLAYABLE
    return None


def _swap_names(tx: Transaction, job: Job, new: tuple[PublishedName, ...]) -> bool:
    """``new`` instead of all names that jobs of this kind made before; the objects behind those may go after a grace.
    True if names have come or gone."""
    listed = {name.name for name in new}
    old = tx.all(
        sa.select(names.c.name, names.c.key).where(
            names.c.asset_id == job.asset, sa.or_(names.c.made_by == job.kind, names.c.name.in_(listed))
        )
    )
    tx.execute(sa.delete(names).where(names.c.asset_id == job.asset, names.c.made_by == job.kind))
    _put_names(tx, job, new)
    _doom_unused(tx, job.asset, {row.key for row in old} | {name.key for name in new})
    return {row.name for row in old} != listed


def _put_names(tx: Transaction, job: Job, new: tuple[PublishedName, ...]) -> None:
    for name in new:
        values = {
            "key": name.key,
            "content_type": name.content_type,
            "size_bytes": name.size_bytes,
            "immutable": name.immutable,
            "made_by": job.kind,
        }
        insert = tx.insert(names).values(asset_id=job.asset, name=name.name, **values)
        # What a person chose stays.
        ours = names.c.made_by != CHOSEN
        tx.execute(insert.on_conflict_do_update(index_elements=["asset_id", "name"], set_=values, where=ours))


def _doom_unused(tx: Transaction, asset_id: str, candidates: set[str]) -> None:
    if not candidates:
        return
    used = set(
        tx.connection.scalars(sa.select(names.c.key).where(names.c.asset_id == asset_id, names.c.key.in_(candidates)))
    )
    doom_superseded(tx, candidates - used)
