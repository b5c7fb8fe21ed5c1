"""Objects in this process's memory: for tests, for trying things, and as the shortest description of the port."""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from storage.blobs import BlobInfo, StoredPart
from storage.blobs.checks import (
    beyond_the_end,
    checked_copy,
    checked_folder,
    checked_number,
    checked_parts,
    checked_prefix,
    checked_range,
)
from storage.blobs.files import written_whole
from storage.content_types import OCTETS
from storage.errors import Conflict, NotFound
from storage.keys import checked


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    content_type: str
    modified_at_ms: int


@dataclass(slots=True)
class _Multipart:
    key: str
    content_type: str
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)


class MemoryBlobs:
    """Behaves like S3, its part sizes included, unless told otherwise."""

    def __init__(
        self,
        *,
        min_part_bytes: int = 5 * 1024 * 1024,
        max_parts: int = 10_000,
        max_copy_bytes: int = 5 * 1024**3,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ):
        self.min_part_bytes = min_part_bytes
        self.max_parts = max_parts
        self.max_copy_bytes = max_copy_bytes
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._objects: dict[str, _Object] = {}
        self._multiparts: dict[str, _Multipart] = {}

    def put(self, key: str, data: bytes, *, content_type: str = OCTETS) -> None:
        stored = _Object(bytes(data), content_type, self._clock_ms())
        with self._lock:
            self._objects[checked(key)] = stored

    def put_file(self, key: str, path: Path, *, content_type: str = OCTETS) -> None:
        self.put(key, path.read_bytes(), content_type=content_type)

    def get(self, key: str) -> bytes:
        return self._object(key).data

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        checked_range(start, stop)
        data = self._object(key).data
        if start >= len(data):
            raise beyond_the_end(key, start)
        return data[start:stop]

    def open(self, key: str, start: int = 0) -> BinaryIO:
        data = self._object(key).data
        if start < 0 or start >= max(len(data), 1):
            raise beyond_the_end(key, start)
        return io.BytesIO(data[start:])

    def open_sized(self, key: str) -> tuple[int, BinaryIO]:
        data = self._object(key).data
        return len(data), io.BytesIO(data)

    def download(self, key: str, path: Path) -> None:
        data = self._object(key).data
        with written_whole(path) as file:
            file.write(data)

    def head(self, key: str) -> BlobInfo:
        return self._info(key, self._object(key))

    def delete(self, key: str) -> None:
        with self._lock:
            self._objects.pop(checked(key), None)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        checked_prefix(prefix)
        with self._lock:
            found = sorted((key, stored) for key, stored in self._objects.items() if key.startswith(prefix))
        return (self._info(key, stored) for key, stored in found)

    def delete_prefix(self, prefix: str) -> int:
        checked_folder(prefix)
        with self._lock:
            doomed = [key for key in self._objects if key.startswith(prefix)]
            for key in doomed:
                del self._objects[key]
        return len(doomed)

    def check(self) -> None:
        """Memory always answers."""

    def begin_multipart(self, key: str, *, content_type: str = OCTETS) -> str:
        multipart_id = secrets.token_hex(16)
        with self._lock:
            self._multiparts[multipart_id] = _Multipart(checked(key), content_type)
        return multipart_id

    def put_part(self, key: str, multipart_id: str, number: int, data: bytes) -> StoredPart:
        checked_number(number, self.max_parts)
        etag = hashlib.sha256(data).hexdigest()[:32]
        with self._lock:
            self._multipart(key, multipart_id).parts[number] = (etag, bytes(data))
        return StoredPart(number=number, etag=etag, size_bytes=len(data))

    def copy_part(self, key: str, multipart_id: str, number: int, source_key: str, start: int, stop: int) -> StoredPart:
        checked_copy(number, start, stop, max_parts=self.max_parts, max_bytes=self.max_copy_bytes)
        data = self._object(source_key).data
        if stop > len(data):
            raise beyond_the_end(source_key, stop)
        return self.put_part(key, multipart_id, number, data[start:stop])

    def complete_multipart(self, key: str, multipart_id: str, parts: tuple[StoredPart, ...]) -> BlobInfo:
        ordered, size = checked_parts(parts, min_part_bytes=self.min_part_bytes, max_parts=self.max_parts)
        with self._lock:
            present = self._objects.get(key)
            if multipart_id not in self._multiparts and present is not None and len(present.data) == size:
                return self._info(key, present)
            multipart = self._multipart(key, multipart_id)
            for part in ordered:
                etag, data = multipart.parts.get(part.number, ("", b""))
                if etag != part.etag or len(data) != part.size_bytes:
                    raise Conflict(f"Part {part.number} is not the one that is stored.", key=key)
            joined = b"".join(multipart.parts[part.number][1] for part in ordered)
            stored = _Object(joined, multipart.content_type, self._clock_ms())
            self._objects[key] = stored
            del self._multiparts[multipart_id]
        return self._info(key, stored)

    def abort_multipart(self, key: str, multipart_id: str) -> None:
        checked(key)
        with self._lock:
            self._multiparts.pop(multipart_id, None)

    def list_multiparts(self, prefix: str) -> Iterator[tuple[str, str]]:
        checked_prefix(prefix)
        with self._lock:
            found = sorted((m.key, each) for each, m in self._multiparts.items() if m.key.startswith(prefix))
        return iter(found)

    def _object(self, key: str) -> _Object:
        with self._lock:
            stored = self._objects.get(checked(key))
        if stored is None:
            raise NotFound("There is no such object.", key=key)
        return stored

    def _multipart(self, key: str, multipart_id: str) -> _Multipart:
        multipart = self._multiparts.get(multipart_id)
        if multipart is None or multipart.key != key:
            raise NotFound("There is no such multipart upload.", key=key)
        return multipart

    @staticmethod
    def _info(key: str, stored: _Object) -> BlobInfo:
        return BlobInfo(
            key=key,
            size_bytes=len(stored.data),
            content_type=stored.content_type,
            modified_at_ms=stored.modified_at_ms,
        )
