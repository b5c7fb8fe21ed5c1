"""Imports: uploads whose bytes we fetch ourselves, from an address that somebody named. Their rows and the port to them.

The row is the job: whoever claims it fetches under the upload's own lease, from the upload's own offset. What a process
that dies leaves behind is an open upload with a due row, and anybody may go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from storage.ids import UploadId


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """``url`` may hold a secret: it is for the fetching alone. ``validator``: the strong entity tag, or else the date,
    of what was fetched so far. ``tries``: how often nothing came, or too slowly, since something last did."""

    upload: UploadId
    url: str
    validator: str | None
    tries: int


class Imports(Protocol):
    """Rows are made by `create_upload` of a `NewUpload` with a ``source_url``. Each call is one transaction."""

    def due_imports(self, limit: int) -> tuple[UploadId, ...]:
        """Imports that are not whole, that nobody is at, and whose delay has passed; the longest waiting first."""
        ...

    def claim_import(self, upload: UploadId, for_ms: int) -> Import | None:
        """The import, kept from others for ``for_ms``: time enough to open the address and take the upload's lease. None
        if it is not due."""
        ...

    def note_import(self, upload: UploadId, *, tries: int, delay_ms: int, validator: str | None = None) -> None:
        """How an attempt goes; the next may begin after ``delay_ms``. ``validator``: of the first answer; None: no news.
        Without the row nothing happens."""
        ...

    def forget_ended_imports(self) -> int:
        """Drop the rows, and with them the addresses, of uploads that are complete or ended; how many."""
        ...
