"""Errors that only the HTTP side knows: leaves of the tree in `storage.errors`."""

from __future__ import annotations

from storage.errors import Conflict, InvalidRequest, NotAllowed, Rejected, Unavailable


class UnsupportedVersion(InvalidRequest):
    """This server speaks tus 1.0.0; the request says another version or none."""

    code = "unsupported_tus_version"


class WrongContentType(InvalidRequest):
    """The bytes of an upload are sent as application/offset+octet-stream."""

    code = "wrong_content_type"


class InconsistentLength(InvalidRequest):
    """The lengths that were told of this upload contradict each other."""

    code = "inconsistent_upload_length"


class MethodNotAllowed(InvalidRequest):
    """This resource does not know that method."""

    code = "method_not_allowed"


class ChecksumMismatch(InvalidRequest):
    """The bytes that arrived are not those that were promised; nothing of this request was kept."""

    code = "checksum_mismatch"


class UploadRefused(Rejected):
    """This upload was refused; sending more of it does not help."""

    code = "upload_refused"


class NotMedia(UploadRefused):
    """This is not a video; the rest of it need not be sent."""


class WrongFile(UploadRefused):
    """This file is not the one that was announced: its digest is another."""


class ImportRefused(Rejected):
    """Nothing can be imported from this address.

    ``reason_code`` narrows it down: ``import_address``, ``import_forbidden``, ``import_missing``, ``import_denied`` ….
    """

    code = "import_refused"

    def __init__(self, sentence: str | None = None, /, *, reason_code: str = "import_refused", **fields: object):
        super().__init__(sentence, reason_code=reason_code, **fields)
        self.reason_code = reason_code


class UploadClosed(Conflict):
    """This upload was completed or refused meanwhile."""

    code = "upload_closed"


class SourceLost(Conflict):
    """The object store lost a part of this upload. Please upload the file again."""

    code = "source_lost"


class NotSignedIn(NotAllowed):
    """Say who you are: with an API key as «Authorization: Bearer …», or by signing in."""

    code = "not_signed_in"


class MissingScope(NotAllowed):
    """This key does not open that."""

    code = "missing_scope"


class ForeignOrigin(NotAllowed):
    """A page of another site cannot act for who is signed in here."""

    code = "foreign_origin"


class ForeignHost(NotAllowed):
    """This server does not answer to that name."""

    code = "foreign_host"


class TooManyRequests(Unavailable):
    """These are too many requests at once."""

    code = "too_many_requests"
