"""Every error that crosses a wall between rooms.

::

    FishladderError
    ├── Rejected                the request or the source is at fault; never retried
    │   ├── InvalidRequest            400-like: the request itself is wrong
    │   ├── TooLarge                  over a limit
    │   ├── NotAllowed                who asks may not
    │   │   ├── GrantExpired              a playback grant that was good before
    │   │   └── OverQuota                 a tenant's limit is reached
    │   ├── UnsupportedSource         not video, or of a kind we refuse
    │   ├── DamagedSource             video, but nothing of it can be decoded
    │   └── UploadTerminated          the upload was ended by its owner
    ├── NotFoundOrConflict
    │   ├── NotFound
    │   └── Conflict
    │       ├── OffsetMismatch
    │       ├── UploadBusy
    │       ├── IllegalTransition
    │       ├── StaleLease            a fencing token that is no longer valid
    │       └── InitMismatch          a chunk whose init segment differs from its rendition's
    ├── Unavailable             worth retrying; may carry a delay
    │   ├── StoreUnavailable
    │   ├── CatalogueUnavailable
    │   ├── NoRoom
    │   └── KeyUnavailable        a content key that cannot be opened, or a key service that does not answer
    └── ToolFailed              argv, exit code, stderr tail
        ├── ToolCrashed
        ├── ToolTimedOut
        └── WrongOutput           it ended well, but what it wrote is not what was asked of it

A class docstring is the default sentence for a person. ``code`` is stable: it is part of the HTTP and
command-line contract. How an error is answered (HTTP status, retry, exit code) is decided at the edges,
in one total mapping each, never here.
"""

from __future__ import annotations

from typing import ClassVar


class FishladderError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"

    def __init__(self, sentence: str | None = None, /, **fields: object) -> None:
        """``sentence``: for a person (default: the class docstring). ``fields``: facts for logs and problem bodies."""
        self.sentence = sentence or (type(self).__doc__ or "").strip().splitlines()[0]
        self.fields = fields
        super().__init__(self.sentence)


class Rejected(FishladderError):
    """The request or the file is at fault."""

    code = "rejected"


class InvalidRequest(Rejected):
    """The request is not valid."""

    code = "invalid_request"


class TooLarge(Rejected):
    """This is larger than what is accepted here."""

    code = "too_large"


class NotAllowed(Rejected):
    """You may not do this."""

    code = "not_allowed"


class GrantExpired(NotAllowed):
    """This link to play has expired; ask for a new one where you got it."""

    code = "grant_expired"


class OverQuota(NotAllowed):
    """The limit of what may be kept here is reached."""

    code = "over_quota"


class UnsupportedSource(Rejected):
    """This file is not a video that we can read.

    ``reason_code`` narrows the stable code down (``not_media``, ``empty``, ``encrypted``, ``audio_only`` …).
    """

    code = "unsupported_source"

    def __init__(self, sentence: str | None = None, /, *, reason_code: str = "unsupported_source", **fields: object):
        super().__init__(sentence, **fields)
        self.reason_code = reason_code


class DamagedSource(Rejected):
    """This file is damaged: nothing of it can be decoded."""

    code = "damaged_source"


class UploadTerminated(Rejected):
    """This upload was ended."""

    code = "upload_terminated"


class NotFoundOrConflict(FishladderError):
    """What you ask for is not as you think."""

    code = "not_found_or_conflict"


class NotFound(NotFoundOrConflict):
    """There is nothing here by that name."""

    code = "not_found"


class Conflict(NotFoundOrConflict):
    """This contradicts what is there."""

    code = "conflict"


class OffsetMismatch(Conflict):
    """The offset you sent is not where this upload stands."""

    code = "offset_mismatch"


class UploadBusy(Conflict):
    """Another request is writing to this upload; try again shortly."""

    code = "upload_busy"


class IllegalTransition(Conflict):
    """This cannot happen in the state it is in."""

    code = "illegal_transition"


class StaleLease(Conflict):
    """The work was handed to somebody else meanwhile; this result is not taken."""

    code = "stale_lease"


class InitMismatch(Conflict):
    """A chunk was encoded with other parameters than the rest of its rendition."""

    code = "init_mismatch"


class Unavailable(FishladderError):
    """A part we need does not answer; worth trying again."""

    code = "unavailable"

    def __init__(self, sentence: str | None = None, /, *, retry_after_s: float | None = None, **fields: object):
        super().__init__(sentence, **fields)
        self.retry_after_s = retry_after_s


class StoreUnavailable(Unavailable):
    """The object store does not answer."""

    code = "store_unavailable"


class CatalogueUnavailable(Unavailable):
    """The database does not answer."""

    code = "catalogue_unavailable"


class NoRoom(Unavailable):
    """There is not enough disk or memory for this now."""

    code = "no_room"


class KeyUnavailable(Unavailable):
    """A content key cannot be had at the moment."""

    code = "key_unavailable"


class ToolFailed(FishladderError):
    """A tool we run ended with an error."""

    code = "tool_failed"

    def __init__(
        self,
        sentence: str | None = None,
        /,
        *,
        argv: tuple[str, ...] = (),
        exit_code: int | None = None,
        stderr_tail: str = "",
        **fields: object,
    ):
        super().__init__(sentence, **fields)
        self.argv = argv
        self.exit_code = exit_code
        self.stderr_tail = stderr_tail


class ToolCrashed(ToolFailed):
    """A tool we run crashed or hit one of its limits."""

    code = "tool_crashed"


class ToolTimedOut(ToolFailed):
    """A tool we run took longer than it may."""

    code = "tool_timed_out"


class WrongOutput(ToolFailed):
    """A tool we run did not write what it was asked to."""

    code = "wrong_output"
