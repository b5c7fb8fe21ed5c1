"""The body of an S3 object as an ordinary binary stream."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from storage.blobs.s3_errors import translated

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from typing_extensions import Buffer

_BUFFER_BYTES = 256 * 1024


class S3Body(io.RawIOBase):
    """Reads as bytes come. Errors on the way, a body that ends early included, are `StoreUnavailable`."""

    def __init__(self, key: str, body: StreamingBody):
        self._key = key
        self._body = body

    def buffered(self) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(self, _BUFFER_BYTES))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        with translated(self._key):
            data = self._body.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        with translated(self._key):
            return self._body.read()

    def close(self) -> None:
        if not self.closed:
            # A body that was read to its end gives its connection back to the pool; any other closes it.
            self._body.close()
        super().close()
