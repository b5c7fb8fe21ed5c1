"""The object store port. Adapters: `memory`, `local` (a folder), `s3`.

The mandatory port is small; further powers are separate protocols, asked for with ``isinstance``. Adapters translate
foreign exceptions: `NotFound` for an absent key, `StoreUnavailable` for what is worth retrying.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

Pieces = Sequence[bytes | memoryview]
"""Bytes in several places, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobInfo:
    key: str
    size_bytes: int
    content_type: str | None = None
    modified_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """An S3 part that is in the store. ``etag`` is opaque."""

    number: int  # from 1
    etag: str
    size_bytes: int


class BlobStore(Protocol):
    """Objects by key. All calls block; async callers use a thread."""

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Store ``data`` whole under ``key``. Putting the same bytes again is harmless."""
        ...

    def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """Store the file at ``path`` without reading it whole into memory."""
        ...

    def get(self, key: str) -> bytes: ...

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)``; ``stop`` may be beyond the end. Raises `InvalidRequest` if ``start`` is."""
        ...

    def download(self, key: str, path: Path) -> None:
        """Write the object to ``path``, whole or not at all."""
        ...

    def head(self, key: str) -> BlobInfo: ...

    def delete(self, key: str) -> None:
        """Absent is fine."""
        ...

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """All objects whose key starts with ``prefix``, each once, however many. In key order below one folder; across
        folders some S3 servers (SeaweedFS) order by folder name instead of by whole key."""
        ...

    def delete_prefix(self, prefix: str) -> int:
        """Delete all objects below ``prefix``; the number deleted. ``prefix`` must end with ``/``."""
        ...

    def check(self) -> None:
        """Cheap proof that the store answers and the bucket is there; raises `StoreUnavailable`."""
        ...


@runtime_checkable
class MultipartStore(Protocol):
    """Objects written in parts that become visible at once, at the end."""

    min_part_bytes: int
    max_parts: int

    def begin_multipart(self, key: str, *, content_type: str = "application/octet-stream") -> str:
        """The id of a new multipart upload for ``key``."""
        ...

    def put_part(self, key: str, multipart_id: str, number: int, data: bytes) -> StoredPart:
        """Store part ``number`` (from 1); repeating a number replaces it."""
        ...

    def complete_multipart(self, key: str, multipart_id: str, parts: tuple[StoredPart, ...]) -> BlobInfo:
        """Join ``parts``; the object exists afterwards with the summed size (checked), also when repeated."""
        ...

    def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Drop the parts. Absent is fine."""
        ...

    def list_multiparts(self, prefix: str) -> Iterator[tuple[str, str]]:
        """(key, multipart id) of all unfinished multipart uploads below ``prefix``."""
        ...


@runtime_checkable
class GatheredParts(Protocol):
    """Parts whose bytes lie in several places: they need not be copied into one first."""

    def gather_part(self, key: str, multipart_id: str, number: int, pieces: Pieces) -> StoredPart:
        """`MultipartStore.put_part` of ``pieces`` in order."""
        ...


@runtime_checkable
class CopyParts(Protocol):
    """Parts made of objects that are in the store already, without carrying their bytes through us."""

    max_copy_bytes: int

    def copy_part(self, key: str, multipart_id: str, number: int, source_key: str, start: int, stop: int) -> StoredPart:
        """Part ``number`` of ``key`` from bytes ``[start, stop)`` of the object ``source_key``, which has all of them.
        Raises `NotFound` if the object or the multipart upload is not there, `InvalidRequest` for any other range."""
        ...


@runtime_checkable
class LocalFiles(Protocol):
    """Stores whose objects are files that tools may read in place."""

    def local_path(self, key: str) -> Path:
        """The object's file, to be read only. Raises `NotFound`."""
        ...


@runtime_checkable
class StreamingReads(Protocol):
    def open(self, key: str, start: int = 0) -> BinaryIO:
        """The object's bytes from ``start`` on, as they come."""
        ...

    def open_sized(self, key: str) -> tuple[int, BinaryIO]:
        """How many bytes the object has, and they as they come: one question to the store for both."""
        ...
