"""What crashes, expiry and vanished clients leave behind, put right. Sync; every function may run anywhere, any time,
more than once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import structlog

from storage.catalogue import Concat, Upload, VideoFilter
from storage.errors import Conflict, IllegalTransition, NotFound, Rejected
from storage.ids import VideoId
from storage.keys import UPLOADED
from storage.lifecycle import VideoState
from upload_api.errors import SourceLost
from upload_api.ports import Ports
from upload_api.tus.completion import drop_bytes, finish_source, give_up_source
from upload_api.tus.protocol import is_whole

log = structlog.get_logger(__name__)

LEASE_MS = 60_000
PAGE = 100


def finish_stranded(ports: Ports) -> int:
    """Complete uploads whose bytes are all durable but whose completion was cut off by a crash; how many.

    The next HEAD or PATCH of the client does the same; this is for clients that saw their last byte off and left.
    """
    finished = 0
    for upload in _open_uploads(ports):
        if is_whole(upload) and _finish(ports, upload):
            finished += 1
    return finished


def _open_uploads(ports: Ports) -> Iterator[Upload]:
    """Uploads that may be whole, told by their videos' rows alone."""
    cursor: str | None = None
    while True:
        page, cursor = ports.catalogue.videos(VideoFilter(states=(VideoState.UPLOADING,)), limit=PAGE, after=cursor)
        for video in page:
            if video.upload is not None and video.source_bytes == video.received_bytes:
                yield ports.catalogue.upload(video.upload)
        if cursor is None:
            return


def _finish(ports: Ports, upload: Upload) -> bool:
    try:
        token = ports.catalogue.acquire_upload(upload.id, secrets.token_hex(8), LEASE_MS)
    except (Conflict, Rejected):
        return False  # somebody is at it, or was
    try:
        return finish_source(ports, upload.id, token)
    except SourceLost as error:
        give_up_source(ports, upload.id, error)
        return False
    finally:
        ports.catalogue.release_upload(upload.id, token)


def drop_expired(ports: Ports) -> int:
    """End open uploads past their expiry and free their bytes; how many. Completed uploads are never touched."""
    dropped = 0
    for upload in ports.catalogue.expired_uploads(PAGE):
        if is_whole(upload) and upload.concat is not Concat.PARTIAL:
            continue  # `finish_stranded` has it
        try:
            ended = ports.catalogue.terminate_upload(upload.id, only_expired=True)
        except IllegalTransition:
            continue  # completed, or taken up again, in this moment
        drop_bytes(ports.blobs, ended)
        log.info("upload_expired", video_id=upload.video, offset_bytes=upload.offset_bytes)
        dropped += 1
    return dropped


def orphaned_multiparts(ports: Ports) -> frozenset[tuple[str, str]]:
    """(key, multipart id) of multipart uploads in the store that no open upload knows. One that was begun this moment
    is among them: only what a later look finds again may be aborted."""
    return frozenset(
        (key, multipart_id)
        for prefix in UPLOADED
        for key, multipart_id in ports.blobs.list_multiparts(prefix)
        if not _is_known(ports, VideoId(key.removeprefix(prefix)), multipart_id)
    )


def _is_known(ports: Ports, video_id: VideoId, multipart_id: str) -> bool:
    try:
        video = ports.catalogue.video(video_id)
        upload = ports.catalogue.upload(video.upload) if video.upload is not None else None
    except NotFound:
        return False
    return upload is not None and upload.state == "open" and upload.multipart_id == multipart_id


class Janitor:
    """One pass after another; remembers what looked orphaned the last time."""

    def __init__(self, ports: Ports, *, count: Callable[[str, int], None] = lambda rule, repairs: None) -> None:
        """``count`` is told how many repairs each rule made in a pass."""
        self._ports = ports
        self._count = count
        self._suspects: frozenset[tuple[str, str]] = frozenset()

    def tidy(self) -> None:
        """One pass. Raises `Unavailable` where a port does not answer."""
        finished, dropped = finish_stranded(self._ports), drop_expired(self._ports)
        orphans = orphaned_multiparts(self._ports)
        doomed, self._suspects = orphans & self._suspects, orphans - self._suspects
        for key, multipart_id in doomed:
            self._ports.blobs.abort_multipart(key, multipart_id)
        for rule, repairs in (("stranded", finished), ("expired", dropped), ("multipart", len(doomed))):
            self._count(rule, repairs)
        if finished or dropped or doomed:
            log.info("uploads_tidied", finished=finished, expired=dropped, multiparts_aborted=len(doomed))
