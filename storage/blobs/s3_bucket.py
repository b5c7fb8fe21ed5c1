"""Somebody's bucket, to be read: its keys are not ours, and its objects may change under our hands."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from storage.blobs.s3 import S3Settings, open_client
from storage.blobs.s3_errors import translated

_AHEAD_BYTES = 64 * 1024  # longer reads are asked for as they are


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignObject:
    key: str
    size_bytes: int
    etag: str


class ForeignBucket:
    """Raises `NotFound`, `StoreUnavailable`, `NotAllowed` as the store's adapters do."""

    def __init__(self, settings: S3Settings) -> None:
        self._bucket = settings.bucket
        self._client = open_client(settings, attempts=settings.attempts, read_timeout_s=settings.read_timeout_s)

    def list(self, prefix: str) -> Iterator[ForeignObject]:
        """Everything whose key starts with ``prefix``, but the empty objects that stand for folders."""
        with translated(self._bucket):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for each in page.get("Contents", ()):
                    if each["Size"] > 0:
                        yield ForeignObject(key=each["Key"], size_bytes=each["Size"], etag=each["ETag"])

    def read(self, what: ForeignObject, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)`` of it as it was listed: one that changed since is not there any more."""
        with translated(what.key):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=what.key, Range=f"bytes={start}-{stop - 1}", IfMatch=what.etag
            )
            return answer["Body"].read()

    def open(self, what: ForeignObject) -> BinaryIO:
        """It as a file that can be sought in."""
        return cast(BinaryIO, io.BufferedReader(_Reading(self, what), buffer_size=_AHEAD_BYTES))


class _Reading(io.RawIOBase):
    def __init__(self, bucket: ForeignBucket, what: ForeignObject) -> None:
        super().__init__()
        self._bucket = bucket
        self._what = what
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._what.size_bytes}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # what BufferedReader calls it with
        stop = min(self._at + len(buffer), self._what.size_bytes)
        if stop <= self._at:
            return 0
        data = self._bucket.read(self._what, self._at, stop)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
