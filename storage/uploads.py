"""The part of the catalogue port that uploads are: tus resources, their single writers, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from storage.blobs import StoredPart
from storage.ids import KeyId, TenantId, UploadId, VideoId
from storage.jobs import Job, Lane


class Concat(StrEnum):
    """What an upload is to others. A partial one never becomes a video: its video is deleted from the beginning, and
    only lends its names to the objects. A final one is joined from partial ones by the server."""

    PARTIAL = "partial"
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """``length_bytes`` None: not known yet. ``metadata_raw``: the Upload-Metadata header exactly as the client sent it,
    ``concat_raw``: Upload-Concat. ``joins``: the partial uploads of a final one, in order, repetitions allowed.
    ``key``, ``grant``: by which it is begun; ``grant_uploads``: how many that grant is for. ``max_bytes``: what it may
    grow to; ``labels``: what the grantor wants to find again."""

    tenant: TenantId
    length_bytes: int | None
    metadata_raw: str | None
    title: str
    filename: str | None
    lane: Lane
    lifetime_ms: int = 7 * 24 * 3600 * 1000
    concat: Concat | None = None
    concat_raw: str | None = None
    joins: tuple[UploadId, ...] = ()
    key: KeyId | None = None
    grant: str | None = None
    grant_uploads: int = 1
    max_bytes: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    source_url: str | None = None  # its bytes are fetched from there: see `storage.imports`


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The bytes after the last S3 part that are too few to be one: an object of its own, ``[start, start + size)``."""

    key: str
    start: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A tus resource as it stands. ``offset_bytes``: durable bytes (parts and tail). ``digest``: the SHA-256 of the
    whole file in hexadecimal digits, once somebody has worked it out."""

    id: UploadId
    video: VideoId
    tenant: TenantId
    source_key: str
    length_bytes: int | None
    offset_bytes: int
    metadata_raw: str | None
    filename: str | None
    multipart_id: str | None
    parts: tuple[StoredPart, ...]
    tail: Tail | None
    state: str  # ``open`` | ``completed`` | ``terminated`` | ``refused``
    reason_code: str | None
    reason: str | None
    created_at_ms: int
    expires_at_ms: int
    concat: Concat | None = None
    concat_raw: str | None = None
    joins: tuple[UploadId, ...] = ()
    key: KeyId | None = None
    grant: str | None = None
    max_bytes: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An upload at a moment, without its parts and joins. ``is_held``: somebody writes to it."""

    upload: Upload
    is_held: bool
    now_ms: int


class Uploads(Protocol):
    def create_upload(self, new: NewUpload) -> Upload:
        """Record an upload and its video (state ``uploading``; of a partial upload: see `Concat`). Raises `NotFound` if
        a partial upload to be joined is not there or is another tenant's, `OverQuota` if the tenant has no room for it,
        `NotAllowed` if its grant is used up."""
        ...

    def upload(self, upload: UploadId) -> Upload:
        """Raises `NotFound`."""
        ...

    def acquire_upload(self, upload: UploadId, holder: str, ttl_ms: int) -> int:
        """The fencing token of the single writer, for ``ttl_ms``. If another holds it: sets its let-go wish and raises
        `UploadBusy`. An expired lease is taken over."""
        ...

    def renew_upload(self, upload: UploadId, token: int, ttl_ms: int) -> bool:
        """True if the holder may go on; False if somebody asked it to let go. Raises `StaleLease`."""
        ...

    def release_upload(self, upload: UploadId, token: int) -> None:
        """Give the lease back. A stale token is ignored."""
        ...

    def begin_source(self, upload: UploadId, token: int, multipart_id: str) -> None:
        """Remember the multipart upload that the parts go to. Raises `StaleLease`."""
        ...

    def record_progress(
        self, upload: UploadId, token: int, *, offset_bytes: int, new_parts: tuple[StoredPart, ...], tail: Tail | None
    ) -> None:
        """Move the offset on to bytes that are durable. Never goes back (`Conflict`). Raises `StaleLease`, and
        `OverQuota` if an upload of unknown length outgrows what its tenant has left. Extends the expiry."""
        ...

    def set_upload_length(self, upload: UploadId, token: int, length_bytes: int) -> None:
        """Fix a deferred length. Raises `Conflict` if it is fixed to another value already."""
        ...

    def complete_upload(self, upload: UploadId, token: int, *, recipe: str) -> Job | None:
        """The source object is in the store: upload → ``completed``, video → ``inspecting``, and its `INSPECT` job is
        recorded, in one transaction. The job to ring for; None if it was completed before (then nothing changes), and if
        the same file of the same tenant is ready already: then this video shares its asset and is ready too. If that file is
        at work now, the job is put off until it is known what became of it: a sweep decides."""
        ...

    def complete_partial(self, upload: UploadId, token: int) -> bool:
        """A partial upload's object is in the store: → ``completed``, and nothing else happens. False if it was before.
        Raises `StaleLease`, `Conflict` if bytes are missing."""
        ...

    def set_upload_digest(self, upload: UploadId, digest: str) -> None:
        """Remember the SHA-256 of the whole file. Raises `NotFound`."""
        ...

    def undigested_uploads(self, limit: int) -> tuple[Upload, ...]:
        """Complete uploads whose digest nobody has worked out, and whose files are still kept; the oldest first."""
        ...

    def upload_standing(self, upload: UploadId) -> Standing:
        """How an upload stands, in one query, its parts not looked at. Raises `NotFound`."""
        ...

    def open_finals(self, partial: UploadId | None = None) -> tuple[UploadId, ...]:
        """Final uploads that are not joined yet: all, or those that ``partial`` is a part of."""
        ...

    def refuse_upload(self, upload: UploadId, code: str, sentence: str) -> None:
        """Upload → ``refused``, its video → ``rejected``."""
        ...

    def terminate_upload(self, upload: UploadId, *, only_expired: bool = False) -> Upload:
        """Upload → ``terminated``, its video → ``deleted``. Raises `IllegalTransition` once completed (a partial one
        may end any time), and with
        ``only_expired`` also if somebody writes to it again: between `expired_uploads` and this anything may happen.
        What it returns says which objects and multipart upload are to be dropped."""
        ...

    def expired_uploads(self, limit: int) -> tuple[Upload, ...]:
        """Open uploads past their expiry that nobody writes to and that are not whole; partial ones also if they are,
        unless a final one still waits for them."""
        ...
