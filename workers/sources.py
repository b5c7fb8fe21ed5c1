"""Local copies of sources: one per machine, however many processes work on the video.

Of a file whose index says where its samples lie, a copy holds only what tools were to read so far: its index is fetched
once, and every chunk adds its own ranges. Of a long file without such an index a copy may hold its beginning, for what
plays first. Of any other file a copy is whole.

A finished copy is locked (shared) by every process that was given it lately, so that making room never takes a file
away from under a tool that is about to open it. Locks are the operating system's: they end with their process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from storage.blobs import BlobStore, LocalFiles
from storage.errors import NoRoom
from storage.media.matroska_index import MatroskaIndex, parse_matroska_index
from storage.media.mp4_index import ByteRange, Mp4Index, parse_mp4_index
from storage.media.sniffing import HEAD_BYTES, sniff
from workers.boxes import box_headers
from workers.fragments import Fragments, find_fragments
from workers.planning.reads import Reads, merged, missing, plan_cluster_reads, plan_reads, size_of
from workers.scratch import clear_abandoned, scratch_folder
from workers.sparse import LARGEST_INDEX_BYTES, SparseCopy, note_of
from workers.streams import SourceStream

log = structlog.get_logger(__name__)

KEPT = 8
"""How many copies a process holds on to: more than it works on at once."""
KNOWN = 4
"""How many indexes a process keeps in memory: that of half a day of film is some 20 MB."""
SMALL_BYTES = 4 * 1024 * 1024
"""A file up to this size is one read anyway."""
SOON_BYTES = 64 * 1024 * 1024
"""A file without an index up to this size is read before anybody would miss it."""
END_BYTES = 4 * 1024 * 1024
"""What is kept of the end of a file without an index, beside its beginning: there it stands how long it is."""
READ_ON = frozenset({"matroska", "mpegts", "flv", "mov", "mpeg", "asf", "avi", "mxf", "ogg"})
"""Demuxers that read from the start on, and look at nothing else but the end; ``mov``: in fragments."""
COUNTED_THROUGH = frozenset({"mp3", "aac"})
"""Demuxers that know no time but by counting all that comes before it: a stream would read a file again for every piece."""
_GATES = 64  # downloads of different sources rarely meet at one gate, and the folder holds no lock file per video


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A local copy at ``path``. ``index``: of a copy that holds parts of the file. ``first_bytes``: of one that holds so
    much of its beginning, and its end. Neither: the copy is whole."""

    path: Path
    read_bytes: int = 0
    index: Mp4Index | MatroskaIndex | None = None
    first_bytes: int | None = None

    @property
    def whole(self) -> bool:
        return self.index is None and self.first_bytes is None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What was read of a file to know what is in it. ``in_fragments``: it is an MP4 whose index is spread over all of it;
    ``fragments``: that index, once it was put together. ``counted``: it is none, and times have to be counted through."""

    index: Mp4Index | MatroskaIndex | None
    ranges: tuple[ByteRange, ...]
    demuxer: str | None
    in_fragments: bool = False
    fragments: Fragments | None = None
    counted: bool = False

    @property
    def whole_index(self) -> Mp4Index | MatroskaIndex | None:
        return self.fragments.index if self.fragments is not None else self.index


class SourceCache:
    """Sources of ``blobs``, copied below ``root``; together up to ``max_bytes`` where that can be had. A store whose
    objects are files already is read in place."""

    def __init__(self, blobs: BlobStore, root: Path, max_bytes: int) -> None:
        self._blobs = blobs
        self._root = root
        self._max_bytes = max_bytes
        self._held: OrderedDict[Path, int] = OrderedDict()  # descriptors with a shared lock
        self._headers: OrderedDict[str, _Header] = OrderedDict()
        self._mutex = threading.Lock()

    def fetch_part(self, key: str, reads: Reads) -> Fetched:
        """A local copy of the object ``key`` that holds at least what ``reads`` says, and which may be read nowhere else.
        Whole where the file is small, is here already, or has no index that tells everything.

        Raises `NotFound`, `StoreUnavailable`, and `NoRoom` if the disk is too small.
        """
        if isinstance(self._blobs, LocalFiles):
            return Fetched(path=self._blobs.local_path(key))
        name = _name(key)
        looked_bytes = 0
        with self._gate(name):
            if not self._hold(self._root / f"{name}.source"):
                part = self._part(key, self._root / f"{name}.sparse", reads)
                if isinstance(part, Fetched):
                    return part
                looked_bytes = part
        whole = self.fetch(key)
        return replace(whole, read_bytes=whole.read_bytes + looked_bytes)

    def stream(self, key: str, reads: Reads, counted: Callable[[int], None]) -> SourceStream | None:
        """The object ``key``, for a tool that reads no more of it than ``reads`` says without a copy of it. None where there is
        a copy already, or can be one of a part, or has to be one of the whole: `fetch_part` gives it. ``counted``: told how many bytes the store gave.

        Raises `NotFound`, `StoreUnavailable`, and `NoRoom` if the disk is too small for the index.
        """
        if isinstance(self._blobs, LocalFiles):
            return None
        name = _name(key)
        path = self._root / f"{name}.sparse"
        with self._gate(name):
            size = self._blobs.head(key).size_bytes
            if size <= SOON_BYTES or self._hold(self._root / f"{name}.source"):
                return None
            copy = self._sparse(key, path, size)
            header = self._header(key, copy, size)
            counted(copy.read_bytes)
            if header.in_fragments or header.counted or header.demuxer in COUNTED_THROUGH:
                return None
            if _beginning(size, header, reads) is not None or _planned(size, header, reads) is not None:
                return None

        counting = threading.Lock()

        def kept(start: int, stop: int) -> bytes:
            with self._gate(name):
                copy = self._sparse(key, path, size)
                self._make_room(size_of(missing([(start, stop)], copy.have)))
                data = copy.read(start, stop)
            counted(copy.read_bytes)
            return data

        def fetched(start: int, stop: int) -> bytes:
            with self._gate(name):
                copy = self._sparse(key, path, size)
                if not missing([(start, stop)], copy.have):
                    return copy.read(start, stop)
            data = self._blobs.get_range(key, start, stop)
            with counting:  # this runs in two threads
                counted(len(data))
            return data

        return SourceStream(size, kept=kept, fetch=fetched)

    def _part(self, key: str, path: Path, reads: Reads) -> Fetched | int:
        """The part of ``key`` at ``path``, with what was missing of ``reads``. If it has to be whole: how many bytes were read
        to know that. In its gate."""
        size = self._blobs.head(key).size_bytes
        if size <= SMALL_BYTES:
            return 0
        copy = self._sparse(key, path, size)
        header = self._header(key, copy, size)
        beginning = _beginning(size, header, reads)
        if beginning is None and reads.tracks and header.in_fragments and size > SOON_BYTES:
            header = self._with_fragments(key, copy, size, header)
        planned = beginning if beginning is not None else _planned(size, header, reads)
        if planned is None:
            return copy.read_bytes
        ranges = merged((start, min(stop, size)) for start, stop in (*header.ranges, *planned))
        self._make_room(size_of(missing(ranges, copy.have)))
        copy.ensure(*ranges)
        os.utime(path)
        log.info(
            "source_part_read",
            key=key,
            read_bytes=copy.read_bytes,
            wanted_bytes=size_of(ranges),
            held_bytes=size_of(copy.have),
            size_bytes=size,
        )
        # A look at what the file is goes by the index of an MP4, and by the beginning of any other.
        first_bytes = reads.first_bytes if beginning is not None else None
        index = None if first_bytes is not None else header.whole_index
        return Fetched(path=path, read_bytes=copy.read_bytes, index=index, first_bytes=first_bytes)

    def _sparse(self, key: str, path: Path, size: int) -> SparseCopy:
        """The copy with holes at ``path``, held. In its gate."""
        if not self._hold(path):
            note_of(path).unlink(missing_ok=True)
            path.touch(0o600)
            self._hold(path)
        return SparseCopy(self._blobs, key, path, size)

    def _header(self, key: str, copy: SparseCopy, size: int) -> _Header:
        with self._mutex:
            if key in self._headers:
                self._headers.move_to_end(key)
                return self._headers[key]
        return self._known(key, _read_header(copy, size))

    def _with_fragments(self, key: str, copy: SparseCopy, size: int, header: _Header) -> _Header:
        """``header`` with the index that all fragments together are, if they are one. Looked for once."""
        if header.fragments is not None:
            return header
        found = find_fragments(copy, size)
        log.info("fragments_walked", key=key, found=found is not None, read_bytes=copy.read_bytes)
        ranges = merged([*header.ranges, *found.ranges]) if found is not None else header.ranges
        return self._known(
            key, replace(header, fragments=found, in_fragments=found is not None, counted=found is None, ranges=ranges)
        )

    def _known(self, key: str, header: _Header) -> _Header:
        with self._mutex:
            self._headers[key] = header
            self._headers.move_to_end(key)
            while len(self._headers) > KNOWN:
                self._headers.popitem(last=False)
        return header

    def fetch(self, key: str) -> Fetched:
        """A local, read-only copy of all of the object ``key``. One process downloads, others that want it wait.

        Raises `NotFound`, `StoreUnavailable`, and `NoRoom` if the disk is too small for it.
        """
        if isinstance(self._blobs, LocalFiles):
            return Fetched(path=self._blobs.local_path(key))
        name = _name(key)
        path = self._root / f"{name}.source"
        read_bytes = 0
        with self._gate(name, "whole"):  # not the gate of parts: what plays first does not wait for all of a film
            if not self._hold(path):
                read_bytes = self._download(key, path)
                self._hold(path)
        os.utime(path)  # when it was last wanted
        return Fetched(path=path, read_bytes=read_bytes)

    def close(self) -> None:
        """Let go of all copies."""
        with self._mutex:
            for descriptor in self._held.values():
                os.close(descriptor)
            self._held.clear()

    @contextmanager
    def _gate(self, name: str | None, of: str = "part") -> Iterator[None]:
        """Alone with the copy ``of`` what is called ``name`` (None: with the folder of downloads), among all processes of
        this machine."""
        self._root.mkdir(parents=True, exist_ok=True)
        number = f"{of}-{int(name[:8], 16) % _GATES:02d}" if name else "loading"
        gate = os.open(self._root / f"gate-{number}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
        finally:
            os.close(gate)

    def _hold(self, path: Path) -> bool:
        """Lock the copy at ``path`` against being removed; whether there is one."""
        with self._mutex:
            if path in self._held:
                self._held.move_to_end(path)
                return True
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not path.exists():  # it was removed between the two calls
                os.close(descriptor)
                return False
            self._held[path] = descriptor
            while len(self._held) > KEPT:
                os.close(self._held.popitem(last=False)[1])
            return True

    def _download(self, key: str, path: Path) -> int:
        """How many bytes that were."""
        size = self._blobs.head(key).size_bytes
        loading = self._root / "loading"
        with ExitStack() as stack:
            with self._gate(None):  # what killed processes left; and nobody takes our folder for such
                clear_abandoned(loading)
                folder = stack.enter_context(scratch_folder(loading, path.stem))
            self._make_room(size)
            self._blobs.download(key, folder / path.name)
            (folder / path.name).rename(path)
        log.info("source_downloaded", key=key, size_bytes=size)
        return size

    def _make_room(self, size: int) -> None:
        """Remove what was not wanted for longest, until ``size`` fits into the cache and onto the disk."""
        copies = sorted([*self._root.glob("*.source"), *self._root.glob("*.sparse")], key=_last_wanted)
        total = sum(_size(copy) for copy in copies)
        for copy in copies:
            if total + size <= self._max_bytes and size <= free_bytes(self._root):
                return
            freed = _size(copy)
            if _removed_if_unused(copy):
                log.info("source_dropped", file=copy.name, size_bytes=freed)
                total -= freed
        if size > free_bytes(self._root):
            raise NoRoom("There is not enough disk for a copy of the source.", needed_bytes=size)


def free_bytes(folder: Path) -> int:
    """Room on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


def _removed_if_unused(path: Path) -> bool:
    """Remove ``path`` unless a process holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        note_of(path).unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _read_header(copy: SparseCopy, size: int) -> _Header:
    ranges: list[ByteRange] = []
    in_fragments = False

    def read(start: int, stop: int) -> bytes:
        ranges.append((start, stop))
        return copy.read(start, stop)

    index: Mp4Index | MatroskaIndex | None = None
    head = read(0, min(size, HEAD_BYTES))
    demuxer = sniff(head)
    if demuxer == "matroska" and size > SOON_BYTES:
        index = parse_matroska_index(head, size, read)
    elif demuxer == "mov":
        boxes = box_headers(read, size)
        start, stop = boxes.get("moov", (0, 0))
        in_fragments = "moof" in boxes
        if 0 < stop - start <= LARGEST_INDEX_BYTES and not in_fragments:
            index = parse_mp4_index(read(start, stop), size)
        elif not in_fragments:
            demuxer = None  # nobody knows how to read on in this one
    return _Header(index=index, ranges=merged(ranges), demuxer=demuxer, in_fragments=in_fragments)


def _beginning(size: int, header: _Header, reads: Reads) -> tuple[ByteRange, ...] | None:
    """Of a file without an index at its start: its beginning and its end, where ``reads`` knows that they will do."""
    if isinstance(header.index, Mp4Index) or size <= SOON_BYTES or header.demuxer not in READ_ON:
        return None
    if reads.first_bytes is None or 2 * reads.first_bytes + END_BYTES > size:
        return None
    return ((0, reads.first_bytes), (size - END_BYTES, size))


def _planned(size: int, header: _Header, reads: Reads) -> tuple[ByteRange, ...] | None:
    """Which ranges are fetched for ``reads`` of a file of ``size`` bytes by its index; None: all of it is needed, or soon
    here."""
    # What a file in fragments is, nobody knows from the first ones alone.
    index = header.whole_index if reads.tracks else header.index
    if isinstance(index, Mp4Index):
        return plan_reads(index, reads) if all(track < len(index.tracks) for track in reads.tracks) else None
    if size <= SOON_BYTES or header.demuxer not in READ_ON or reads.first_bytes is not None:
        return None
    if index is not None and reads.stop is not None and not reads.keyframes_only:
        return plan_cluster_reads(index, reads)
    return None


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _size(path: Path) -> int:
    """What the copy takes up: the holes of a part take nothing."""
    with suppress(FileNotFoundError):
        seen = path.stat()
        return min(seen.st_size, seen.st_blocks * 512) if path.suffix == ".sparse" else seen.st_size
    return 0


def _last_wanted(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0
