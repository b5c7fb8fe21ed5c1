"""tus 1.0.0 as decisions: header fields in, validated values, answers or errors out.

Pure: no bytes of a body, no clock, no store. Field names are lower case. The sentences in «» are the specification's.

An extension adds its fields to `Creation` or `Append`, its check beside theirs, and its name to `EXTENSIONS` once it
works.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from storage.catalogue import Concat, Upload
from storage.errors import InvalidRequest, NotAllowed, OffsetMismatch, TooLarge, UploadTerminated
from upload_api.errors import MethodNotAllowed, UnsupportedVersion, UploadRefused, WrongContentType
from upload_api.tus.checksums import ALGORITHMS, Promise, parse_promise
from upload_api.tus.concat import ConcatWish, parse_concat
from upload_api.tus.metadata import Wishes, parse_metadata, read_wishes

VERSION = "1.0.0"
BODY_TYPE = "application/offset+octet-stream"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
    "concatenation-unfinished",
)
TRAILER_EXTENSION = "checksum-trailer"  # only where the server hands trailers out
COLLECTION_METHODS = ("OPTIONS", "POST")
UPLOAD_METHODS = ("OPTIONS", "HEAD", "PATCH", "DELETE")

# What scripts of other web origins may send and read.
REQUEST_FIELDS = (
    "Authorization",
    "Content-Type",
    "Last-Event-ID",
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "X-HTTP-Method-Override",
    "X-Request-ID",
    "X-Requested-With",
)
RESPONSE_FIELDS = (
    "Fishladder-Video",
    "Location",
    "Retry-After",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
)

RequestFields = Mapping[str, str]
Fields = tuple[tuple[str, str], ...]

# A count has 1 to 18 ASCII digits: no sign, no exponent, and what it says fits the database's 64 bits.
_COUNT = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TusPolicy:
    max_bytes: int | None


# --- requests --------------------------------------------------------------------------------------------------------


def effective_method(method: str, fields: RequestFields) -> str:
    """«The Server MUST interpret [X-HTTP-Method-Override] as the request's method, if the header is presented. The
    actual method of the request MUST be ignored.»"""
    return fields.get("x-http-method-override", method).strip().upper()


def check_method(method: str, allowed: tuple[str, ...]) -> None:
    """Raises `MethodNotAllowed`, with what is allowed, for any other."""
    if method not in allowed:
        raise MethodNotAllowed(f"This resource knows {', '.join(allowed)}.", allow=", ".join(allowed))


def check_version(method: str, fields: RequestFields) -> None:
    """Raises `UnsupportedVersion` unless the request speaks our version.

    «If the version specified by the Client is not supported by the Server, it MUST respond with 412». An OPTIONS
    request's version is ignored by rule. A HEAD without one is let through: it changes nothing, and plain tools send
    it.
    """
    said = fields.get("tus-resumable")
    if method == "OPTIONS" or (method == "HEAD" and said is None):
        return
    if said != VERSION:
        raise UnsupportedVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A valid POST. ``length_bytes`` None: deferred, or to be summed up from partial uploads. ``carries_body``: what follows are the upload's first bytes;
    ``body_bytes`` None: their number is not said (chunked)."""

    length_bytes: int | None
    metadata_raw: str | None
    wishes: Wishes
    carries_body: bool
    body_bytes: int | None
    promise: Promise | None = None
    concat: ConcatWish | None = None
    source_url: str | None = None  # we fetch the bytes ourselves
    lifetime_ms: int | None = None  # another than the policy's


def parse_creation(fields: RequestFields, policy: TusPolicy, *, trailers: bool = False) -> Creation:
    """Raises `InvalidRequest` or `TooLarge` for what cannot become an upload."""
    concat = parse_concat(fields["upload-concat"]) if "upload-concat" in fields else None
    if concat is not None and concat.kind is Concat.FINAL:
        return _parse_final(fields, concat)
    length_bytes = _creation_length(fields)
    if length_bytes is not None:
        _check_max(length_bytes, policy)
    # A body of any other type is not the upload's and is ignored, as the reference servers do.
    carries_body = content_type(fields) == BODY_TYPE
    body_bytes = _count(fields, "content-length") if carries_body else None
    if body_bytes is not None:
        _check_room(body_bytes, length_bytes if length_bytes is not None else policy.max_bytes)
    raw = fields.get("upload-metadata")
    return Creation(
        length_bytes=length_bytes,
        metadata_raw=raw or None,
        wishes=read_wishes(parse_metadata(raw or "")),
        carries_body=carries_body and body_bytes != 0,
        body_bytes=body_bytes,
        promise=parse_promise(fields, trailers=trailers) if carries_body else None,
        concat=concat,
    )


def _parse_final(fields: RequestFields, concat: ConcatWish) -> Creation:
    """«The Client MUST NOT include the Upload-Length header in the final upload creation.» Nor can it send bytes."""
    if "upload-length" in fields or "upload-defer-length" in fields:
        raise InvalidRequest("The length of a final upload is the sum of its parts; do not send one.")
    if content_type(fields) == BODY_TYPE and fields.get("content-length") != "0":
        raise InvalidRequest("A final upload is joined from its parts and takes no bytes itself.")
    raw = fields.get("upload-metadata")
    return Creation(
        length_bytes=None,
        metadata_raw=raw or None,
        wishes=read_wishes(parse_metadata(raw or "")),
        carries_body=False,
        body_bytes=None,
        concat=concat,
    )


def total_length(partials: Sequence[Upload], policy: TusPolicy) -> int | None:
    """The length of the upload joined from ``partials``; None while one of them does not know its own. Raises
    `TooLarge`."""
    known = [partial.length_bytes for partial in partials]
    _check_max(sum(length or 0 for length in known), policy)
    return None if None in known else sum(length or 0 for length in known)


def _creation_length(fields: RequestFields) -> int | None:
    """«The Client MUST include Upload-Length or Upload-Defer-Length: 1»; one of them, not both."""
    length_bytes = _count(fields, "upload-length")
    deferred = fields.get("upload-defer-length")
    if deferred is not None and deferred != "1":
        raise InvalidRequest("Upload-Defer-Length can only be 1.")
    if (length_bytes is None) == (deferred is None):
        raise InvalidRequest("Say either Upload-Length or Upload-Defer-Length: 1.")
    return length_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """A valid PATCH, before it is held against the upload. ``length_bytes``: a deferred length, told now. ``ends``: the
    upload ends where this body does, if its length is not known by then."""

    offset_bytes: int
    body_bytes: int | None
    length_bytes: int | None
    promise: Promise | None = None
    ends: bool = False


def parse_append(fields: RequestFields, *, trailers: bool = False) -> Append:
    """Raises `WrongContentType` or `InvalidRequest`."""
    if content_type(fields) != BODY_TYPE:
        raise WrongContentType
    offset_bytes = _count(fields, "upload-offset")
    if offset_bytes is None:
        raise InvalidRequest("A PATCH says with Upload-Offset where its bytes belong.")
    # A chunked body has no length worth believing, whatever Content-Length says beside it (RFC 9112 section 6.3).
    body_bytes = None if "transfer-encoding" in fields else _count(fields, "content-length") or 0
    return Append(
        offset_bytes=offset_bytes,
        body_bytes=body_bytes,
        length_bytes=_count(fields, "upload-length"),
        promise=parse_promise(fields, trailers=trailers),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What a PATCH may do. ``room_bytes``: how many bytes are taken at most (None: no limit). ``fix_length_bytes``:
    the deferred length, to be recorded first."""

    room_bytes: int | None
    fix_length_bytes: int | None


def admit_append(append: Append, upload: Upload, policy: TusPolicy) -> Admission:
    """Holds a PATCH against the upload as it stands under the writer's lease.

    Raises `OffsetMismatch`, `TooLarge` or `InvalidRequest`; nothing has been read or changed then.
    """
    if append.offset_bytes != upload.offset_bytes:
        raise OffsetMismatch(expected_offset=upload.offset_bytes, provided_offset=append.offset_bytes)
    fix = _length_to_fix(append, upload, policy)
    length_bytes = upload.length_bytes if fix is None else fix
    limit_bytes = length_bytes if length_bytes is not None else _of_upload(policy, upload).max_bytes
    room_bytes = None if limit_bytes is None else max(0, limit_bytes - upload.offset_bytes)
    if append.body_bytes is not None:
        _check_room(append.body_bytes, room_bytes)
    return Admission(room_bytes=room_bytes, fix_length_bytes=fix)


def _length_to_fix(append: Append, upload: Upload, policy: TusPolicy) -> int | None:
    """«Once it is set the length MUST NOT be changed.»"""
    told = append.length_bytes
    if told is None or told == upload.length_bytes:
        return None
    if upload.length_bytes is not None:
        raise InvalidRequest("The length of this upload is fixed already.", length=upload.length_bytes)
    if told < upload.offset_bytes:
        raise InvalidRequest("That length is less than what is uploaded already.", offset=upload.offset_bytes)
    _check_max(told, _of_upload(policy, upload))
    return told


def _of_upload(policy: TusPolicy, upload: Upload) -> TusPolicy:
    """An upload that was granted may be held to less than others are."""
    known = [limit for limit in (policy.max_bytes, upload.max_bytes) if limit is not None]
    return TusPolicy(max_bytes=min(known, default=None))


def check_standing(upload: Upload, now_ms: int) -> None:
    """Raises `UploadTerminated` for an upload that is gone: ended by its owner, or expired and still on record."""
    if upload.state == "terminated":
        raise UploadTerminated
    if upload.state == "open" and upload.expires_at_ms <= now_ms:
        raise UploadTerminated("This upload expired; start it again.")


def check_not_final(upload: Upload) -> None:
    """«The Server MUST respond with the 403 Forbidden status to PATCH requests against a final upload URL»."""
    if upload.concat is Concat.FINAL:
        raise NotAllowed("A final upload is joined from its parts and takes no bytes itself.")


def check_not_refused(upload: Upload) -> None:
    """Raises `UploadRefused` with the reason. Only a PATCH asks: HEAD still answers, because tus-js-client starts
    from zero on any other HEAD error than 423."""
    if upload.state == "refused":
        raise UploadRefused(upload.reason, reason_code=upload.reason_code)


def is_whole(upload: Upload) -> bool:
    """True if every byte is durable, whether or not the completion is recorded."""
    return upload.length_bytes is not None and upload.offset_bytes == upload.length_bytes


def content_type(fields: RequestFields) -> str:
    return fields.get("content-type", "").partition(";")[0].strip().lower()


def _count(fields: RequestFields, name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not _COUNT.fullmatch(value):
        raise InvalidRequest(f"{name.title()} is a number of bytes in decimal digits.", field=name)
    return int(value)


def _check_max(length_bytes: int, policy: TusPolicy) -> None:
    if policy.max_bytes is not None and length_bytes > policy.max_bytes:
        raise TooLarge("This file is larger than what is accepted here.", max_bytes=policy.max_bytes)


def _check_room(body_bytes: int, room_bytes: int | None) -> None:
    if room_bytes is not None and body_bytes > room_bytes:
        raise TooLarge("This request has more bytes than the upload has room for.", room_bytes=room_bytes)


# --- answers ---------------------------------------------------------------------------------------------------------


def options_fields(policy: TusPolicy, *, trailers: bool = False) -> Fields:
    limit = () if policy.max_bytes is None else (("Tus-Max-Size", str(policy.max_bytes)),)
    extensions = (*EXTENSIONS, TRAILER_EXTENSION) if trailers else EXTENSIONS
    return (
        ("Tus-Version", VERSION),
        ("Tus-Extension", ",".join(extensions)),
        ("Tus-Checksum-Algorithm", ",".join(ALGORITHMS)),
        *limit,
    )


def created_fields(upload: Upload, location: str) -> Fields:
    return (
        ("Location", location),
        *video_fields(upload),
        *(() if upload.concat is Concat.FINAL else (("Upload-Offset", str(upload.offset_bytes)),)),
        *expiry_fields(upload),
    )


def video_fields(upload: Upload) -> Fields:
    """Which video it becomes; a partial upload becomes none."""
    return () if upload.concat is Concat.PARTIAL else (("Fishladder-Video", upload.video),)


def appended_fields(upload: Upload) -> Fields:
    return (("Upload-Offset", str(upload.offset_bytes)), *expiry_fields(upload))


def standing_fields(upload: Upload) -> Fields:
    """Of a HEAD. Upload-Metadata goes out as it came in: it was checked to be keys and Base64.

    «The response to a HEAD request for a final upload SHOULD NOT contain the Upload-Offset header unless the
    concatenation has been successfully finished.»
    """
    final = upload.concat is Concat.FINAL
    offset = (("Upload-Offset", str(upload.offset_bytes)),)
    length = () if final else (("Upload-Defer-Length", "1"),)
    if upload.length_bytes is not None:
        length = (("Upload-Length", str(upload.length_bytes)),)
    concat = (("Upload-Concat", upload.concat_raw),) if upload.concat_raw is not None else ()
    metadata = (("Upload-Metadata", upload.metadata_raw),) if upload.metadata_raw is not None else ()
    return (
        *(() if final and upload.state != "completed" else offset),
        *length,
        *concat,
        *metadata,
        *expiry_fields(upload),
        *video_fields(upload),
    )


def expiry_fields(upload: Upload) -> Fields:
    """Upload-Expires of an unfinished upload; a finished one does not expire."""
    if upload.state != "open" or is_whole(upload):
        return ()
    moment = datetime.fromtimestamp(upload.expires_at_ms // 1000, UTC)
    return (("Upload-Expires", format_datetime(moment, usegmt=True)),)
