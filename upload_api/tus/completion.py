"""Ending an upload: effects in an order in which each may be the last before a crash, and all may be repeated."""

from __future__ import annotations

import structlog

from storage.blobs import GatheredParts, Pieces, StoredPart
from storage.catalogue import Concat, Tail, Upload
from storage.crashpoints import CrashPoint, crashpoint
from storage.errors import NotFound, StoreUnavailable
from storage.ids import UploadId
from storage.keys import tails_prefix
from storage.lifecycle import VideoState
from storage.media.ladder import RECIPE
from upload_api.errors import SourceLost, UploadRefused
from upload_api.ports import Ports, SourceStore
from upload_api.tus.protocol import is_whole

log = structlog.get_logger(__name__)

EMPTY = "This file is empty: there is no video in it."


def finish_source(ports: Ports, upload_id: UploadId, token: int) -> bool:
    """Complete an upload whose bytes are all durable; True if this call did it. Blocks.

    Order: tail → last S3 part → recorded → joined → size checked → completion and first job in one transaction → bell.
    Whatever a crash leaves undone, the next call with a new ``token`` does; nothing is done twice that matters.
    Raises `SourceLost`, `StaleLease`, `Unavailable`.
    """
    upload = ports.catalogue.upload(upload_id)
    if upload.state != "open" or not is_whole(upload):
        return False
    if upload.concat is Concat.PARTIAL:
        return _finish_partial(ports, upload, token)
    if upload.length_bytes == 0:
        # An object of no bytes would only be carried to the inspection to be refused there.
        ports.catalogue.refuse_upload(upload_id, "empty", EMPTY)
        return False
    _join(ports, upload, token)
    crashpoint(CrashPoint.SOURCE_JOINED)
    reused = False
    job = ports.catalogue.complete_upload(upload_id, token, recipe=RECIPE)
    if job is not None:
        ports.bell.ring(job.lane)
        log.info("upload_completed", video_id=upload.video, size_bytes=upload.length_bytes, parts=len(upload.parts))
    elif reused := ports.catalogue.video(upload.video).state is VideoState.READY:
        log.info("upload_recognised", video_id=upload.video, size_bytes=upload.length_bytes)
    ports.blobs.delete_prefix(tails_prefix(upload.video))
    return job is not None or reused


def _finish_partial(ports: Ports, upload: Upload, token: int) -> bool:
    """A partial upload becomes an object to be copied from, and nothing else: no video, no job. An empty one becomes
    none; there is nothing to copy."""
    if upload.length_bytes:
        _join(ports, upload, token)
    done = ports.catalogue.complete_partial(upload.id, token)
    ports.blobs.delete_prefix(tails_prefix(upload.video))
    return done


def _join(ports: Ports, upload: Upload, token: int) -> None:
    if upload.multipart_id is None:
        raise SourceLost("This upload has bytes but no multipart upload.")
    parts = upload.parts
    if upload.tail is not None:
        tail = read_tail(ports.blobs, upload.tail)
        last = store_part(ports.blobs, upload.source_key, upload.multipart_id, len(parts) + 1, (tail,))
        parts = (*parts, last)
        ports.catalogue.record_progress(
            upload.id, token, offset_bytes=upload.offset_bytes, new_parts=(last,), tail=None
        )
    try:
        ports.blobs.complete_multipart(upload.source_key, upload.multipart_id, parts)
    except NotFound as error:
        raise SourceLost from error
    size_bytes = ports.blobs.head(upload.source_key).size_bytes
    if size_bytes != upload.length_bytes:
        raise StoreUnavailable(
            "The stored file does not have the size of the upload.", stored=size_bytes, length=upload.length_bytes
        )


def store_part(blobs: SourceStore, key: str, multipart_id: str, number: int, pieces: Pieces) -> StoredPart:
    """`put_part`; raises `SourceLost` if the store forgot the multipart upload (a life-cycle rule, a restored store)."""
    try:
        if isinstance(blobs, GatheredParts):
            return blobs.gather_part(key, multipart_id, number, pieces)
        return blobs.put_part(key, multipart_id, number, b"".join(pieces))
    except NotFound as error:
        raise SourceLost from error


def read_tail(blobs: SourceStore, tail: Tail) -> bytes:
    """The bytes of ``tail``; raises `SourceLost` if the store has not all of them."""
    try:
        data = blobs.get(tail.key)
    except NotFound as error:
        raise SourceLost from error
    if len(data) < tail.size_bytes:
        raise SourceLost
    return data[: tail.size_bytes]


def give_up_source(ports: Ports, upload: UploadId, error: SourceLost) -> None:
    """End an upload whose bytes nobody can bring back, so that it does not hang."""
    lost = ports.catalogue.upload(upload)
    log.error("upload_parts_lost", video_id=lost.video)
    ports.catalogue.refuse_upload(upload, error.code, error.sentence)
    drop_bytes(ports.blobs, lost)


def refuse_source(ports: Ports, upload: UploadId, error: UploadRefused) -> None:
    """End an upload of what is no video, or not the one announced; its offset stays on record for the client's next HEAD."""
    ports.catalogue.refuse_upload(upload, str(error.fields.get("reason_code", error.code)), error.sentence)
    refused = ports.catalogue.upload(upload)
    log.info("upload_refused", video_id=refused.video, reason=error.sentence)
    drop_bytes(ports.blobs, refused)


def drop_bytes(blobs: SourceStore, upload: Upload) -> None:
    """Free what an ended upload left in the store. Repeating it is harmless."""
    if upload.multipart_id is not None:
        blobs.abort_multipart(upload.source_key, upload.multipart_id)
    blobs.delete_prefix(tails_prefix(upload.video))
    blobs.delete(upload.source_key)
