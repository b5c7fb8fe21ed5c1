"""The hidden folder in which a local store keeps multipart uploads: one folder each, one file name per part.

A part's file name carries its number and its etag, so there is no index that could disagree with the files. Where all
parts but the last have one size, as ours do, their bytes go straight to their places in what will be the object
(`local_slots`): such a place is written once, so its etag says no more than that, and the name stands for an empty file.
Parts that do not fit, or that come again as other bytes, lie in files of their own, named by their digest, and are copied
at the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storage.blobs import Pieces, StoredPart
from storage.blobs.files import move_into_place, sync_folder, written_whole
from storage.blobs.local_slots import Slots
from storage.errors import Conflict, NotFound

_ID = re.compile(r"[0-9a-f]{32}")
_COPY_BYTES = 1 << 20
_KEY, _LOCK, _JOINED = "key", "lock", "joined"
_IN_PLACE = "in-place"


class MultipartFolder:
    def __init__(self, root: Path):
        self._root = root

    def begin(self, key: str) -> str:
        multipart_id = secrets.token_hex(16)
        with written_whole(self._root / multipart_id / _KEY, durable=True) as file:
            file.write(key.encode())
        return multipart_id

    def put_part(self, key: str, multipart_id: str, number: int, pieces: Pieces) -> StoredPart:
        folder, slots = self._folder(key, multipart_id), Slots(self._root / multipart_id)
        size = sum(len(piece) for piece in pieces)
        part = StoredPart(number=number, etag=_IN_PLACE, size_bytes=size)
        name = folder / _part_name(part)
        if slots.put(number, pieces, size):
            name.touch()
            sync_folder(folder)
        elif not (name.exists() and slots.holds(number, pieces, size)):
            part = StoredPart(number=number, etag=_digest(pieces), size_bytes=size)
            with written_whole(folder / _part_name(part), durable=True) as file:
                file.writelines(pieces)
        return self._settled(key, multipart_id, part)

    def copy_part(self, key: str, multipart_id: str, number: int, source: BinaryIO, size: int) -> StoredPart:
        """A part of the next ``size`` bytes of ``source``. Its etag is random: the bytes are nobody's to hash."""
        folder = self._folder(key, multipart_id)
        part = StoredPart(number=number, etag=secrets.token_hex(16), size_bytes=size)
        with written_whole(folder / _part_name(part), durable=True) as file:
            left = size
            while left and (piece := source.read(min(left, _COPY_BYTES))):
                file.write(piece)
                left -= len(piece)
        return self._settled(key, multipart_id, part)

    def _settled(self, key: str, multipart_id: str, part: StoredPart) -> StoredPart:
        """``part``, the only one of its number with a file of its own. What is in its place stays known: whoever wrote
        it may have recorded it, and be late with a part of the same number no more than we are."""
        folder, number = self._root / multipart_id, part.number
        try:
            self._folder(key, multipart_id)
        except NotFound:
            shutil.rmtree(folder, ignore_errors=True)  # aborted under our hands: do not leave a part behind
            raise
        if part.etag != _IN_PLACE:
            kept = (_part_name(part), f"{number:05d}-{_IN_PLACE}")
            for other in folder.glob(f"{number:05d}-*"):
                if other.name not in kept:
                    other.unlink(missing_ok=True)
        return part

    def join(self, key: str, multipart_id: str, parts: tuple[StoredPart, ...], path: Path) -> None:
        """Make ``path`` of ``parts``. Raises `NotFound` if the upload is gone, also when another call just joined it.

        A part is deleted once its bytes are safe in the joined file, so a big object needs the room of one more part
        and not of itself again. The size of the joined file tells a repeated call where a crashed one stopped.
        """
        folder = self._folder(key, multipart_id)
        with _locked(folder / _LOCK):
            self._folder(key, multipart_id)  # whoever held the lock before us may have finished the work
            slots = Slots(folder)
            if not (folder / _JOINED).exists() and not _has_parts(folder, slots):
                raise NotFound("There is nothing to join: it was joined before.", key=key)
            if not (folder / _JOINED).exists() and _all_in_place(folder, slots, parts):
                move_into_place(slots.close(sum(part.size_bytes for part in parts)), path, durable=True)
            else:
                with (folder / _JOINED).open("ab") as joined:
                    _append_all(folder, slots, joined, parts)
                sync_folder(folder)
                move_into_place(folder / _JOINED, path, durable=True)
            shutil.rmtree(folder, ignore_errors=True)

    def abort(self, multipart_id: str) -> None:
        if _ID.fullmatch(multipart_id):
            shutil.rmtree(self._root / multipart_id, ignore_errors=True)

    def unfinished(self, prefix: str) -> Iterator[tuple[str, str]]:
        found = []
        for file in self._root.glob(f"*/{_KEY}"):
            try:
                key = file.read_text()
            except FileNotFoundError:
                continue  # completed or aborted since we saw it
            if key.startswith(prefix):
                found.append((key, file.parent.name))
        return iter(sorted(found))

    def _folder(self, key: str, multipart_id: str) -> Path:
        folder = self._root / multipart_id
        try:
            known = _ID.fullmatch(multipart_id) and (folder / _KEY).read_text() == key
        except FileNotFoundError:
            known = False
        if not known:
            raise NotFound("There is no such multipart upload.", key=key)
        return folder


def _digest(pieces: Pieces) -> str:
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece)
    return sha256.hexdigest()[:32]


def _part_name(part: StoredPart) -> str:
    return f"{part.number:05d}-{part.etag}"


def _has_parts(folder: Path, slots: Slots) -> bool:
    """Names alone may be what a call left that was cut off after it had moved the bytes away."""
    return any(slots.there or file.stat().st_size for file in folder.glob("[0-9]*-*"))


def _all_in_place(folder: Path, slots: Slots, parts: tuple[StoredPart, ...]) -> bool:
    """True if each part was written to its place, by nobody else than who recorded it."""
    start = 0
    for part in parts:
        try:
            size = (folder / _part_name(part)).stat().st_size
        except FileNotFoundError as gone:
            raise Conflict(f"Part {part.number} is not the one that is stored.") from gone
        if size or slots.start(part.number) != start:
            return False
        start += part.size_bytes
    return True


def _append_all(folder: Path, slots: Slots, joined: BinaryIO, parts: tuple[StoredPart, ...]) -> None:
    size = joined.tell()
    os.fsync(joined.fileno())  # what a call that crashed had written, before its parts go
    stop = 0
    for part in parts:
        start, stop = stop, stop + part.size_bytes
        file = folder / _part_name(part)
        if size < stop:
            _append(file, slots, joined, start, part)
        file.unlink(missing_ok=True)
    if joined.tell() > stop:
        raise Conflict("These parts are fewer than were joined before.")


def _append(file: Path, slots: Slots, joined: BinaryIO, start: int, part: StoredPart) -> None:
    """Put the bytes of ``part`` at ``start``, over what a crash left there, and wait until the disk has them."""
    try:
        with file.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            if size not in (part.size_bytes, 0):
                raise Conflict(f"Part {part.number} has another size than was said.")
            joined.truncate(start)
            joined.seek(start)
            if size == 0:
                slots.copy(part.number, part.size_bytes, joined)
            else:
                shutil.copyfileobj(source, joined, 1024 * 1024)
    except FileNotFoundError as gone:
        raise Conflict(f"Part {part.number} is not the one that is stored.") from gone
    joined.flush()
    os.fsync(joined.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process and thread at a time; the lock dies with its holder."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
