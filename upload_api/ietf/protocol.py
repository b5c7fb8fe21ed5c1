"""Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload-11, interop version 8) as decisions: header fields in,
validated values and answers out.

Pure: no bytes of a body, no clock, no store. Field names are lower case. The sentences in «» are the draft's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qs, unquote

from storage.catalogue import Upload
from storage.errors import InvalidRequest, OffsetMismatch, TooLarge
from upload_api.errors import InconsistentLength, UnsupportedVersion, WrongContentType
from upload_api.tus.checksums import Checksum, Promise
from upload_api.tus.metadata import announced, read_wishes
from upload_api.tus.protocol import Append, Creation, Fields, RequestFields, content_type

INTEROP_VERSIONS = ("6", "7", "8")
"""What was bumped between them is where fields may be left out, which we never do, and the names of limits, of which
those that are not known are ignored. So an answer suits all three."""
NEWEST = "8"
VERSION_FIELD = "upload-draft-interop-version"
BODY_TYPE = "application/partial-upload"
COLLECTION_METHODS = ("OPTIONS", "POST")
UPLOAD_METHODS = ("OPTIONS", "HEAD", "GET", "PATCH", "DELETE")
RESUMPTION_SUPPORTED = 104
PROBLEM_TYPES = {
    OffsetMismatch.code: "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
    InconsistentLength.code: "https://iana.org/assignments/http-problem-types#inconsistent-upload-length",
}

# What scripts of other web origins may send and read, beside what tus lets them.
REQUEST_FIELDS = (
    "Content-Digest",
    "Content-Disposition",
    "Repr-Digest",
    "Upload-Complete",
    "Upload-Draft-Interop-Version",
)
RESPONSE_FIELDS = ("Repr-Digest", "Upload-Complete", "Upload-Draft-Interop-Version", "Upload-Limit")

_INTEGER = re.compile(r"([0-9]{1,15})(?:;.*)?", re.ASCII)  # RFC 9651 section 3.3.1; parameters say nothing here
_BOOLEAN = re.compile(r"\?([01])(?:;.*)?", re.ASCII)
_EXTENDED_NAME = re.compile(r";\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)", re.ASCII | re.IGNORECASE)
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A valid creation. ``complete``: its body is all there is; ``append``: that body, None if there is none."""

    creation: Creation
    complete: bool
    append: Append | None


def check_version(fields: RequestFields) -> str:
    """The interop version to answer with. Raises `UnsupportedVersion` for one that we do not speak; a request without
    any is from after the draft."""
    said = fields.get(VERSION_FIELD, NEWEST)
    if said not in INTEROP_VERSIONS:
        raise UnsupportedVersion(
            f"This server speaks the interop versions {', '.join(INTEROP_VERSIONS)}.",
            versions=", ".join(INTEROP_VERSIONS),
        )
    return said


def parse_opening(fields: RequestFields, query: str, max_bytes: int | None) -> Opening:
    """A POST to the collection. One without Upload-Complete is an upload of the old kind: all in one request, which
    nobody asked to be resumable. Raises `InvalidRequest`, `InconsistentLength`, `TooLarge`."""
    complete = boolean(fields, "upload-complete") is not False
    body_bytes = _body_bytes(fields)
    length_bytes = _length(fields, offset_bytes=0, body_bytes=body_bytes, complete=complete)
    if body_bytes is not None and length_bytes is not None and body_bytes > length_bytes:
        raise InconsistentLength(length=length_bytes)
    if max_bytes is not None and max(length_bytes or 0, body_bytes or 0) > max_bytes:
        raise TooLarge("This file is larger than what is accepted here.", max_bytes=max_bytes)
    whole = _sha256(fields, "repr-digest")
    wanted = parse_qs(query)
    said = {
        "filename": filename_of(fields.get("content-disposition", "")),
        "filetype": content_type(fields),
        "title": wanted.get("title", [""])[0],
        "priority": wanted.get("priority", [""])[0],
    }
    append = Append(offset_bytes=0, body_bytes=body_bytes, length_bytes=None, promise=_promise(fields), ends=complete)
    return Opening(
        creation=Creation(
            length_bytes=length_bytes,
            metadata_raw=None if whole is None else announced(whole),
            wishes=read_wishes({name: value.encode("utf-8", "replace") for name, value in said.items() if value}),
            carries_body=False,
            body_bytes=None,
        ),
        complete=complete,
        append=append if complete or body_bytes != 0 else None,
    )


def parse_append(fields: RequestFields) -> Append:
    """A PATCH. Raises `WrongContentType`, `InvalidRequest`, `InconsistentLength`."""
    if content_type(fields) != BODY_TYPE:
        raise WrongContentType(f"Bytes are appended as {BODY_TYPE}.")
    offset_bytes = integer(fields, "upload-offset")
    if offset_bytes is None:
        raise InvalidRequest("A PATCH says with Upload-Offset where its bytes belong.")
    complete = boolean(fields, "upload-complete")
    if complete is None:
        raise InvalidRequest("A PATCH says with Upload-Complete whether it is the last one.")
    body_bytes = _body_bytes(fields)
    length_bytes = _length(fields, offset_bytes=offset_bytes, body_bytes=body_bytes, complete=complete)
    return Append(
        offset_bytes=offset_bytes,
        body_bytes=body_bytes,
        length_bytes=length_bytes,
        promise=_promise(fields),
        ends=complete,
    )


def check_length(append: Append, upload: Upload) -> None:
    """«If multiple requests include indicators, their indicated values MUST match.» Raises `InconsistentLength`. Not of a
    request that begins elsewhere: that is told first."""
    known, told = upload.length_bytes, append.length_bytes
    if append.offset_bytes != upload.offset_bytes:
        return
    if known is None:
        if told is not None and told < upload.offset_bytes:
            raise InconsistentLength(length=told, offset=upload.offset_bytes)
        return
    if told is not None and told != known:
        raise InconsistentLength(length=known)


def _length(fields: RequestFields, *, offset_bytes: int, body_bytes: int | None, complete: bool) -> int | None:
    """The two indicators of an upload's length. «If indicators (1) and (2) are both present in the same request, their
    indicated lengths MUST match.»"""
    told = integer(fields, "upload-length")
    counted = offset_bytes + body_bytes if complete and body_bytes is not None else None
    if told is not None and counted is not None and told != counted:
        raise InconsistentLength(length=told, counted=counted)
    return told if told is not None else counted


def _body_bytes(fields: RequestFields) -> int | None:
    if "transfer-encoding" in fields:
        return None
    size = fields.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", size, re.ASCII):
        raise InvalidRequest("Content-Length is a number of bytes in decimal digits.")
    return int(size)


def _promise(fields: RequestFields) -> Promise | None:
    """Of a Content-Digest (RFC 9530): of its algorithms we check SHA-256, and let others be."""
    digest = _sha256(fields, "content-digest")
    return None if digest is None else Promise(checksum=Checksum(algorithm="sha256", digest=digest))


def _sha256(fields: RequestFields, name: str) -> bytes | None:
    """Raises `InvalidRequest`."""
    found = _DIGEST.search(fields.get(name, ""))
    try:
        return None if found is None else base64.b64decode(found[1], validate=True)
    except binascii.Error as error:
        raise InvalidRequest(f"That is not a {name.title()}.") from error


def integer(fields: RequestFields, name: str) -> int | None:
    """«Its value is a non-negative Integer […]. Other values MUST cause the entire header field to be ignored.»"""
    match = _INTEGER.fullmatch(fields.get(name, ""))
    return int(match[1]) if match else None


def boolean(fields: RequestFields, name: str) -> bool | None:
    """The same for a Boolean."""
    match = _BOOLEAN.fullmatch(fields.get(name, ""))
    return match[1] == "1" if match else None


def filename_of(disposition: str) -> str:
    """«The Content-Disposition header field can be used to transmit a filename.» Both of its forms (RFC 6266)."""
    if extended := _EXTENDED_NAME.search(disposition):  # which is the better of two
        return unquote(extended[1])
    message = Message()
    try:
        message["content-disposition"] = disposition.encode("latin-1").decode("utf-8", "replace")
        return str(message.get_filename("") or "")
    except (ValueError, LookupError):  # a charset that nobody knows
        return ""


# --- answers ---------------------------------------------------------------------------------------------------------


def limit_field(max_bytes: int | None, *, left_ms: int | None = None) -> tuple[str, str]:
    """«If the server does not apply any limits, it MUST use min-size=0 instead of an empty header value.»"""
    limits: Mapping[str, int | None] = {"max-size": max_bytes, "max-age": None if left_ms is None else left_ms // 1000}
    told = ", ".join(f"{name}={max(0, value)}" for name, value in limits.items() if value is not None)
    return "Upload-Limit", told or "min-size=0"


def complete_field(value: bool) -> tuple[str, str]:
    return "Upload-Complete", "?1" if value else "?0"


def standing_fields(upload: Upload) -> Fields:
    """Offset and completeness. One that was refused is over too: «the server is uninterested in receiving the full
    representation»."""
    return complete_field(upload.state != "open"), ("Upload-Offset", str(upload.offset_bytes))


def digest_fields(upload: Upload) -> Fields:
    """Of the whole file, if it is known already: «The server SHOULD compute the representation digests […] once the upload
    is complete»."""
    if not upload.digest:
        return ()
    return (("Repr-Digest", f"sha-256=:{base64.b64encode(bytes.fromhex(upload.digest)).decode()}:"),)


def length_fields(upload: Upload) -> Fields:
    return () if upload.length_bytes is None else (("Upload-Length", str(upload.length_bytes)),)
