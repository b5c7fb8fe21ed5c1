"""Objects as files below a folder: for a single machine, and for results that any web server can serve.

A key is the path of its file. The content type is not stored: it follows from the suffix (`storage.content_types`),
as it does for the web server that serves the folder. Names that start with a dot are ours and never keys.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storage.blobs import BlobInfo, Pieces, StoredPart
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
from storage.blobs.local_multipart import MultipartFolder
from storage.content_types import OCTETS, content_type_of
from storage.errors import NoRoom, NotFound, StoreUnavailable
from storage.keys import checked

_STALE_SCRATCH_S = 24 * 3600


class LocalBlobs:
    """Safe for any number of threads and processes on one filesystem. Writes are atomic and survive a power cut."""

    min_part_bytes = 1
    max_parts = 99_999
    max_copy_bytes = 1 << 40

    def __init__(self, root: Path):
        self._root = root.absolute()
        self._scratch = self._root / ".scratch"
        self._multiparts = MultipartFolder(self._root / ".multipart")
        with _translated():
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._drop_stale_scratch()

    def put(self, key: str, data: bytes, *, content_type: str = OCTETS) -> None:
        with _translated(key), written_whole(self._path(key), scratch=self._scratch, durable=True) as file:
            file.write(data)

    def put_file(self, key: str, path: Path, *, content_type: str = OCTETS) -> None:
        with (
            path.open("rb") as source,
            _translated(key),
            written_whole(self._path(key), scratch=self._scratch, durable=True) as file,
        ):
            shutil.copyfileobj(source, file, 1024 * 1024)

    def get(self, key: str) -> bytes:
        with _translated(key):
            return self._path(key).read_bytes()

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        checked_range(start, stop)
        with _translated(key), self.open(key, start) as file:
            data = file.read(stop - start)
        if not data:
            raise beyond_the_end(key, start)
        return data

    def open(self, key: str, start: int = 0) -> BinaryIO:
        with _translated(key):
            file = self._path(key).open("rb")
            if start < 0 or start >= max(os.fstat(file.fileno()).st_size, 1):
                file.close()
                raise beyond_the_end(key, start)
            file.seek(start)
            return file

    def open_sized(self, key: str) -> tuple[int, BinaryIO]:
        file = self.open(key)
        return os.fstat(file.fileno()).st_size, file

    def download(self, key: str, path: Path) -> None:
        with _translated(key), self.open(key) as source, written_whole(path) as file:
            shutil.copyfileobj(source, file, 1024 * 1024)

    def local_path(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise NotFound("There is no such object.", key=key)
        return path

    def head(self, key: str) -> BlobInfo:
        return self._info(key, self.local_path(key))

    def delete(self, key: str) -> None:
        with _translated(key):
            self._path(key).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        checked_prefix(prefix)
        folder, _, _ = prefix.rpartition("/")
        return self._walk(f"{folder}/" if folder else "", prefix)

    def delete_prefix(self, prefix: str) -> int:
        checked_folder(prefix)
        deleted = 0
        with _translated(prefix):
            for folder, _, files in os.walk(self._root / prefix, topdown=False):
                for name in files:
                    (Path(folder) / name).unlink(missing_ok=True)
                    deleted += 1
                _remove_if_empty(Path(folder))
        return deleted

    def check(self) -> None:
        if not os.access(self._scratch, os.R_OK | os.W_OK | os.X_OK):
            raise StoreUnavailable("The folder of the object store is not there or not writable.")

    def begin_multipart(self, key: str, *, content_type: str = OCTETS) -> str:
        with _translated(key):
            return self._multiparts.begin(checked(key))

    def put_part(self, key: str, multipart_id: str, number: int, data: bytes) -> StoredPart:
        return self.gather_part(key, multipart_id, number, (data,))

    def gather_part(self, key: str, multipart_id: str, number: int, pieces: Pieces) -> StoredPart:
        checked_number(number, self.max_parts)
        with _translated(key):
            return self._multiparts.put_part(checked(key), multipart_id, number, pieces)

    def copy_part(self, key: str, multipart_id: str, number: int, source_key: str, start: int, stop: int) -> StoredPart:
        checked_copy(number, start, stop, max_parts=self.max_parts, max_bytes=self.max_copy_bytes)
        with _translated(source_key), self.open(source_key, start) as source:
            if os.fstat(source.fileno()).st_size < stop:
                raise beyond_the_end(source_key, stop)
            with _translated(key):
                return self._multiparts.copy_part(checked(key), multipart_id, number, source, stop - start)

    def complete_multipart(self, key: str, multipart_id: str, parts: tuple[StoredPart, ...]) -> BlobInfo:
        ordered, size = checked_parts(parts, min_part_bytes=self.min_part_bytes, max_parts=self.max_parts)
        path = self._path(key)
        with _translated(key):
            try:
                self._multiparts.join(key, multipart_id, ordered, path)
            except (NotFound, FileNotFoundError):
                # Joined before, by a call whose answer was lost or by one that ran beside us.
                if not (path.is_file() and path.stat().st_size == size):
                    raise
            return self._info(key, path)

    def abort_multipart(self, key: str, multipart_id: str) -> None:
        checked(key)
        self._multiparts.abort(multipart_id)

    def list_multiparts(self, prefix: str) -> Iterator[tuple[str, str]]:
        return self._multiparts.unfinished(checked_prefix(prefix))

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    def _walk(self, folder: str, prefix: str) -> Iterator[BlobInfo]:
        """Objects below ``folder`` in key order, which is that of the whole keys: ``a-1`` comes before ``a/1``."""
        try:
            with os.scandir(self._root / folder) as scan:
                names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in scan)
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            key = folder + name
            if name.startswith(".") or not (key.startswith(prefix) or prefix.startswith(key)):
                continue
            if name.endswith("/"):
                yield from self._walk(key, prefix)
                continue
            try:
                info = self._info(key, self._root / key)
            except FileNotFoundError:
                continue  # deleted since we saw it
            yield info

    def _drop_stale_scratch(self) -> None:
        """What processes that died left behind. Nobody writes one file for a day."""
        oldest = time.time() - _STALE_SCRATCH_S
        for file in self._scratch.glob(".*.partial"):
            try:
                if file.stat().st_mtime < oldest:
                    file.unlink()
            except FileNotFoundError:
                continue  # its writer finished, or another process swept first

    @staticmethod
    def _info(key: str, path: Path) -> BlobInfo:
        status = path.stat()
        return BlobInfo(
            key=key,
            size_bytes=status.st_size,
            content_type=content_type_of(key),
            modified_at_ms=status.st_mtime_ns // 1_000_000,
        )


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        # Somebody stored an object there meanwhile, or removed the folder first: both are fine.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


@contextmanager
def _translated(key: str = "") -> Iterator[None]:
    """The one place where the system's errors become ours."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotFound("There is no such object.", key=key) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom("The disk of the object store is full.", key=key) from error
        raise StoreUnavailable(f"The object store's disk says: {error.strerror}.", key=key) from error
