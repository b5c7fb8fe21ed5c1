"""Uploads: one writer at a time by lease and token, an offset that only grows, and one way to complete."""

from __future__ import annotations

import sqlalchemy as sa

from storage import keys
from storage.blobs import StoredPart
from storage.catalogue import Concat, NewUpload, Standing, Tail, Upload
from storage.catalogue.sql.access import reserve
from storage.catalogue.sql.dooming import doom_prefix
from storage.catalogue.sql.engine import Database, Transaction, now_ms
from storage.catalogue.sql.joining import (
    check_joins,
    end_partial,
    finals_of,
    hasten_partials,
    is_waited_for,
    keep_finals,
)
from storage.catalogue.sql.moving import announce_state, give_up, locked_video
from storage.catalogue.sql.queueing import begin_inspection, insert_asset
from storage.catalogue.sql.rows import upload_from
from storage.catalogue.sql.sharing import has_twin_at_work, recognise, take_turns, wait
from storage.catalogue.sql.tables import imports, is_open, is_undigested, upload_joins, upload_parts, uploads, videos
from storage.catalogue.sql.upload_rows import (
    has_expired,
    held_upload,
    require_open,
    set_upload,
    store_part,
    upload_row,
    whole_upload,
)
from storage.errors import Conflict, IllegalTransition, NotAllowed, NotFound, UploadBusy
from storage.ids import UploadId, new_asset_id, new_upload_id, new_video_id
from storage.jobs import Job
from storage.lifecycle import VideoState
from storage.quotas import Limits, check_bytes, check_creation

PARTIALS_PER_UPLOAD = 100
ANNOUNCE_EVERY_MS = 500
"""Received bytes are told to watchers at most twice a second per upload."""


class SqlUploads:
    _db: Database
    _limits: Limits
    _deduplicates: bool

    def create_upload(self, new: NewUpload) -> Upload:
        upload_id, video_id, asset_id = new_upload_id(), new_video_id(), new_asset_id()
        hidden = new.concat is Concat.PARTIAL
        source_key = keys.partial_key(video_id) if hidden else keys.source_key(video_id)
        with self._db.write() as tx:
            limits, usage = reserve(tx, new.tenant, self._limits)
            if not limits.is_none:
                # What is joined is counted already, part by part.
                check_creation(limits, usage, 0 if new.joins else new.length_bytes)
            _check_grant(tx, new)
            check_joins(tx, new)
            tx.execute(
                sa.insert(videos).values(
                    id=video_id,
                    tenant=new.tenant,
                    title=new.title,
                    state=VideoState.DELETED if hidden else VideoState.UPLOADING,
                    lane=new.lane,
                    asset_id=asset_id,
                    upload_id=upload_id,
                    filename=new.filename,
                    source_key=source_key,
                    source_bytes=new.length_bytes,
                    received_bytes=0,
                    progress=0.0,
                    notes=[],
                    created_at_ms=tx.now,
                    updated_at_ms=tx.now,
                )
            )
            if not hidden:
                insert_asset(tx, asset_id=asset_id, video_id=video_id, recipe="")
            tx.execute(
                sa.insert(uploads).values(
                    id=upload_id,
                    video_id=video_id,
                    tenant=new.tenant,
                    source_key=source_key,
                    length_bytes=new.length_bytes,
                    offset_bytes=0,
                    metadata_raw=new.metadata_raw,
                    filename=new.filename,
                    state="open",
                    created_at_ms=tx.now,
                    lifetime_ms=new.lifetime_ms,
                    expires_at_ms=tx.now + new.lifetime_ms,
                    token=0,
                    let_go=False,
                    announced_at_ms=tx.now,
                    concat=new.concat,
                    concat_raw=new.concat_raw,
                    key_id=new.key,
                    grant_id=new.grant,
                    max_bytes=new.max_bytes,
                    labels=new.labels or None,
                )
            )
            for position, partial in enumerate(new.joins):
                tx.execute(sa.insert(upload_joins).values(final_id=upload_id, position=position, partial_id=partial))
            if new.source_url is not None:
                tx.execute(
                    sa.insert(imports).values(upload_id=upload_id, url=new.source_url, tries=0, run_after_ms=tx.now)
                )
            if not hidden:
                announce_state(tx, locked_video(tx, video_id))
            return whole_upload(tx, upload_row(tx, upload_id))

    def upload(self, upload: UploadId) -> Upload:
        with self._db.read() as tx:
            return whole_upload(tx, upload_row(tx, upload))

    # --- the writer's lease ------------------------------------------------------------------------------------------

    def acquire_upload(self, upload: UploadId, holder: str, ttl_ms: int) -> int:
        with self._db.write() as tx:
            row = upload_row(tx, upload, lock=True)
            require_open(row)
            free = row.holder in (None, holder) or row.lease_until_ms is None or row.lease_until_ms <= tx.now
            if free:
                token: int = row.token + 1
                set_upload(tx, row, token=token, holder=holder, lease_until_ms=tx.now + ttl_ms, let_go=False)
                return token
            set_upload(tx, row, let_go=True)
        # Raised outside: the wish must be committed for the holder to see it.
        raise UploadBusy(retry_after_ms=max(0, row.lease_until_ms - tx.now))

    def renew_upload(self, upload: UploadId, token: int, ttl_ms: int) -> bool:
        with self._db.write() as tx:
            row = held_upload(tx, upload, token)
            set_upload(tx, row, lease_until_ms=tx.now + ttl_ms)
            return not row.let_go

    def release_upload(self, upload: UploadId, token: int) -> None:
        with self._db.write() as tx:
            tx.execute(
                sa.update(uploads)
                .where(uploads.c.id == upload, uploads.c.token == token)
                .values(holder=None, lease_until_ms=None, let_go=False)
            )

    # --- the bytes ---------------------------------------------------------------------------------------------------

    def begin_source(self, upload: UploadId, token: int, multipart_id: str) -> None:
        with self._db.write() as tx:
            set_upload(tx, held_upload(tx, upload, token), multipart_id=multipart_id)

    def record_progress(
        self, upload: UploadId, token: int, *, offset_bytes: int, new_parts: tuple[StoredPart, ...], tail: Tail | None
    ) -> None:
        with self._db.write() as tx:
            seen = upload_row(tx, upload)
            if seen.length_bytes is None and offset_bytes > seen.offset_bytes:
                limits, usage = reserve(tx, seen.tenant, self._limits)
                check_bytes(limits, usage, offset_bytes - seen.offset_bytes)
            video = locked_video(tx, seen.video_id)
            row = held_upload(tx, upload, token)
            if offset_bytes < row.offset_bytes:
                raise Conflict("An upload's offset never goes back.", offset=row.offset_bytes, asked=offset_bytes)
            if row.length_bytes is not None and offset_bytes > row.length_bytes:
                raise Conflict("That is more than the upload's length.", length=row.length_bytes, asked=offset_bytes)
            for part in new_parts:
                store_part(tx, upload, part)
            due = tx.now - row.announced_at_ms >= ANNOUNCE_EVERY_MS or offset_bytes == row.length_bytes
            announce = due and offset_bytes != video.received_bytes and row.concat != Concat.PARTIAL
            set_upload(
                tx,
                row,
                offset_bytes=offset_bytes,
                tail_key=tail.key if tail else None,
                tail_start=tail.start if tail else None,
                tail_bytes=tail.size_bytes if tail else None,
                expires_at_ms=tx.now + row.lifetime_ms,
                announced_at_ms=tx.now if announce else row.announced_at_ms,
            )
            tx.execute(
                sa.update(videos)
                .where(videos.c.id == video.id)
                .values(received_bytes=offset_bytes, updated_at_ms=tx.now)
            )
            if row.concat == Concat.PARTIAL:
                keep_finals(tx, upload)
            if announce:
                tx.announce(video, "uploaded_bytes", {"received_bytes": offset_bytes, "source_bytes": row.length_bytes})

    def set_upload_length(self, upload: UploadId, token: int, length_bytes: int) -> None:
        with self._db.write() as tx:
            seen = upload_row(tx, upload)
            if seen.length_bytes is None and seen.concat != Concat.FINAL:
                limits, usage = reserve(tx, seen.tenant, self._limits)
                check_bytes(limits, usage, length_bytes - seen.offset_bytes)
            video = locked_video(tx, seen.video_id)
            row = held_upload(tx, upload, token)
            if row.length_bytes is not None and row.length_bytes != length_bytes:
                raise Conflict("This upload's length is fixed already.", length=row.length_bytes, asked=length_bytes)
            if length_bytes < row.offset_bytes:
                raise Conflict("More bytes than that were sent.", offset=row.offset_bytes, asked=length_bytes)
            set_upload(tx, row, length_bytes=length_bytes)
            tx.execute(sa.update(videos).where(videos.c.id == video.id).values(source_bytes=length_bytes))

    # --- the ends ----------------------------------------------------------------------------------------------------

    def complete_upload(self, upload: UploadId, token: int, *, recipe: str) -> Job | None:
        with self._db.write() as tx:
            video = locked_video(tx, upload_row(tx, upload).video_id)
            row = upload_row(tx, upload, lock=True)
            if row.state == "completed":
                return None
            row = held_upload(tx, upload, token)
            if row.length_bytes is None or row.offset_bytes != row.length_bytes:
                raise Conflict("Bytes of this upload are missing.", offset=row.offset_bytes, length=row.length_bytes)
            set_upload(
                tx,
                row,
                state="completed",
                holder=None,
                lease_until_ms=None,
                tail_key=None,
                tail_start=None,
                tail_bytes=None,
            )
            if row.concat == Concat.FINAL:
                hasten_partials(tx, upload)
            doom_prefix(tx, keys.tails_prefix(video.id))
            tx.execute(sa.delete(upload_parts).where(upload_parts.c.upload_id == upload))
            if self._deduplicates:
                take_turns(tx, video.tenant, row.digest)
                if recognise(tx, video, row, recipe):
                    return None
            job = begin_inspection(
                tx,
                video,
                asset_id=video.asset_id,
                recipe=recipe,
                uploaded_at_ms=tx.now,
                received_bytes=row.length_bytes,
                source_bytes=row.length_bytes,
            )
            if self._deduplicates and has_twin_at_work(tx, video, row, recipe):
                wait(tx, locked_video(tx, video.id), job.id)
            return job

    def complete_partial(self, upload: UploadId, token: int) -> bool:
        with self._db.write() as tx:
            video_id = upload_row(tx, upload).video_id
            locked_video(tx, video_id)
            row = upload_row(tx, upload, lock=True)
            if row.state == "completed":
                return False
            row = held_upload(tx, upload, token)
            if row.offset_bytes != row.length_bytes:
                raise Conflict("Bytes of this upload are missing.", offset=row.offset_bytes, length=row.length_bytes)
            set_upload(
                tx,
                row,
                state="completed",
                holder=None,
                lease_until_ms=None,
                tail_key=None,
                tail_start=None,
                tail_bytes=None,
            )
            doom_prefix(tx, keys.tails_prefix(video_id))
            tx.execute(sa.delete(upload_parts).where(upload_parts.c.upload_id == upload))
            return True

    def set_upload_digest(self, upload: UploadId, digest: str) -> None:
        with self._db.write() as tx:
            if not tx.changed(sa.update(uploads).where(uploads.c.id == upload).values(digest=digest)):
                raise NotFound("There is no such upload.")

    def undigested_uploads(self, limit: int) -> tuple[Upload, ...]:
        gone = (VideoState.DELETED, VideoState.REJECTED)
        query = (
            sa.select(uploads)
            .join(videos, videos.c.id == uploads.c.video_id)
            .where(
                is_undigested,
                # A partial upload's video is deleted from the beginning.
                videos.c.state.not_in(gone),
                videos.c.source_dropped_at_ms.is_(None),
            )
            .order_by(uploads.c.created_at_ms)
            .limit(limit)
        )
        with self._db.read() as tx:
            return tuple(upload_from(row, ()) for row in tx.all(query))

    def upload_standing(self, upload: UploadId) -> Standing:
        query = sa.select(uploads, now_ms().label("now_ms")).where(uploads.c.id == upload)
        with self._db.read() as tx:
            row = tx.first(query)
        if row is None:
            raise NotFound("There is no such upload.")
        held = row.holder is not None and row.lease_until_ms is not None and row.lease_until_ms > row.now_ms
        return Standing(upload=upload_from(row, ()), is_held=held, now_ms=row.now_ms)

    def open_finals(self, partial: UploadId | None = None) -> tuple[UploadId, ...]:
        query = sa.select(uploads.c.id).where(is_open, uploads.c.concat == Concat.FINAL)
        if partial is not None:
            query = query.where(uploads.c.id.in_(finals_of(partial)))
        with self._db.read() as tx:
            return tuple(UploadId(row.id) for row in tx.all(query.order_by(uploads.c.created_at_ms)))

    def refuse_upload(self, upload: UploadId, code: str, sentence: str) -> None:
        with self._db.write() as tx:
            video = locked_video(tx, upload_row(tx, upload).video_id)
            row = upload_row(tx, upload, lock=True)
            if row.state == "refused":
                return
            if row.state != "open":
                raise IllegalTransition(f"An upload that is {row.state} cannot be refused.", state=row.state)
            if row.concat == Concat.PARTIAL:
                end_partial(tx, row, "refused", code, sentence)
                return
            give_up(tx, video, VideoState.REJECTED, code, sentence)

    def terminate_upload(self, upload: UploadId, *, only_expired: bool = False) -> Upload:
        with self._db.write() as tx:
            video = locked_video(tx, upload_row(tx, upload).video_id)
            row = upload_row(tx, upload, lock=True)
            if only_expired and row.state in ("open", "completed") and not has_expired(row, tx.now):
                raise IllegalTransition("This upload is in use again.", state=row.state)
            if row.state == "terminated":
                return whole_upload(tx, row)
            if row.concat == Concat.PARTIAL:
                end_partial(tx, row, "terminated", "upload_terminated", None)
                return whole_upload(tx, upload_row(tx, upload))
            if row.state == "completed":
                raise IllegalTransition("This upload is complete; delete its video instead.", state=row.state)
            if video.state != VideoState.DELETED:
                give_up(tx, video, VideoState.DELETED, row.reason_code or "upload_terminated", row.reason)
            set_upload(tx, row, state="terminated")
            return whole_upload(tx, upload_row(tx, upload))  # parts and tail stay known: they are to be dropped

    def expired_uploads(self, limit: int) -> tuple[Upload, ...]:
        with self._db.read() as tx:
            rows = tx.all(
                sa.select(uploads)
                .where(
                    sa.or_(
                        # One that is whole only waits for its completion.
                        sa.and_(
                            is_open,
                            uploads.c.concat.is_distinct_from(Concat.PARTIAL),
                            sa.or_(uploads.c.length_bytes.is_(None), uploads.c.offset_bytes != uploads.c.length_bytes),
                        ),
                        sa.and_(
                            uploads.c.concat == Concat.PARTIAL,
                            uploads.c.state.in_(["open", "completed"]),
                            ~is_waited_for(),
                        ),
                    ),
                    uploads.c.expires_at_ms <= tx.now,
                    sa.or_(uploads.c.lease_until_ms.is_(None), uploads.c.lease_until_ms <= tx.now),
                )
                .order_by(uploads.c.expires_at_ms)
                .limit(limit)
            )
            return tuple(whole_upload(tx, row) for row in rows)


def _check_grant(tx: Transaction, new: NewUpload) -> None:
    """A grant is used up by the uploads that become videos. Partial ones only lend it their bytes, of which it has a
    limit too; a hundred times as many of them may be."""
    if new.grant is None:
        return
    # Two at once would both find the last place free.
    if tx.connection.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(new.grant))))
    partial = new.concat is Concat.PARTIAL
    kind = uploads.c.concat == Concat.PARTIAL if partial else uploads.c.concat.is_distinct_from(Concat.PARTIAL)
    begun = tx.scalar(sa.select(sa.func.count()).select_from(uploads).where(uploads.c.grant_id == new.grant, kind))
    if begun >= new.grant_uploads * (PARTIALS_PER_UPLOAD if partial else 1):
        raise NotAllowed("This grant to upload is used up; ask for a new one.", max_uploads=new.grant_uploads)
