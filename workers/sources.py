"""Local copies of sources: one per machine, however many processes work on the video.

Of a file whose index says where its samples lie, a copy holds only what tools were to read so far: its index is fetched
once, and every chunk adds its own ranges. Of a long file without such an index a copy may hold its beginning, for what
plays first, and what a rehearsal of a tool asked for. Of any other file a copy is whole.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import structlog

from storage.blobs import BlobStore, LocalFiles
from storage.media.matroska_index import MatroskaIndex
from storage.media.mp4_index import ByteRange, Mp4Index
from storage.media.sound_frames import FRAMED
from workers.fragments import find_fragments
from workers.frames import SoundFrames, count_frames, steady_frames, told_frames, write_down, written_down
from workers.headers import Header, read_header
from workers.kept import KeptReads
from workers.planning.reads import Reads, merged, missing, size_of
from workers.scratch import clear_abandoned, scratch_folder
from workers.shelf import Shelf, name_of
from workers.sparse import SparseCopy, frames_note_of, note_of
from workers.streams import SourceStream

log = structlog.get_logger(__name__)

KNOWN = 4
"""How many indexes a process keeps in memory: that of half a day of film is some 20 MB."""
SMALL_BYTES = 4 * 1024 * 1024
"""A file up to this size is one read anyway."""
SOON_BYTES = 64 * 1024 * 1024
"""A file without an index up to this size is read before anybody would miss it."""
END_BYTES = 4 * 1024 * 1024
"""What is kept of the end of a file without an index, beside its beginning: there it stands how long it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A local copy at ``path``. ``index``: of a copy that holds parts of the file. ``first_bytes``: of one that holds so
    much of its beginning, and its end. Neither: the copy is whole. ``frames``: how many a file of MP3 or AAC has."""

    path: Path
    read_bytes: int = 0
    index: Mp4Index | MatroskaIndex | None = None
    first_bytes: int | None = None
    frames: SoundFrames | None = None

    @property
    def whole(self) -> bool:
        return self.index is None and self.first_bytes is None


class SourceCache:
    """Sources of ``blobs``, copied below ``root``; together up to ``max_bytes`` where that can be had. A store whose
    objects are files already is read in place."""

    def __init__(self, blobs: BlobStore, root: Path, max_bytes: int) -> None:
        self._blobs = blobs
        self._shelf = Shelf(root, max_bytes)
        self._headers: OrderedDict[str, Header] = OrderedDict()
        self._mutex = threading.Lock()

    def fetch_part(self, key: str, reads: Reads) -> Fetched:
        """A local copy of the object ``key`` that holds at least what ``reads`` says, and which may be read nowhere else.
        Whole where the file is small, is here already, or has no index that tells everything.

        Raises `NotFound`, `StoreUnavailable`, and `NoRoom` if the disk is too small.
        """
        if isinstance(self._blobs, LocalFiles):
            return Fetched(path=self._blobs.local_path(key))
        name = name_of(key)
        looked_bytes = 0
        with self._shelf.gate(name):
            if not self._shelf.hold(self._shelf.root / f"{name}.source"):
                part = self._part(key, self._shelf.root / f"{name}.sparse", reads)
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
        name = name_of(key)
        path = self._shelf.root / f"{name}.sparse"
        header = self._large(key, counted)
        if header is not None and header.demuxer in FRAMED:
            with self._shelf.gate(name):
                copy = self._sparse(key, path, header.size)
                header = self._with_frames(key, copy, header, placed=reads.first_bytes is None)
            counted(copy.read_bytes)
        if header is None or not header.streamable or header.tells(reads, END_BYTES):
            return None
        size = header.size
        counting = threading.Lock()

        def kept(start: int, stop: int) -> bytes:
            with self._shelf.gate(name):
                copy = self._sparse(key, path, size)
                self._shelf.make_room(size_of(missing([(start, stop)], copy.have)))
                data = copy.read(start, stop)
            counted(copy.read_bytes)
            return data

        def fetched(start: int, stop: int) -> bytes:
            with self._shelf.gate(name):
                copy = self._sparse(key, path, size)
                if not missing([(start, stop)], copy.have):
                    return copy.read(start, stop)
            data = self._blobs.get_range(key, start, stop)
            with counting:  # this runs in two threads
                counted(len(data))
            return data

        return SourceStream(size, kept=kept, fetch=fetched, frames=header.frames)

    def rehearsal(self, key: str, reads: Reads, share: Fraction, counted: Callable[[int], None]) -> KeptReads | None:
        """The object ``key``, for a tool that reads as another is going to: what it asks for is kept in the copy with holes.
        None where that is of no use: there is a copy of all, or of a part that is known to do, or libavformat would read
        all that comes before ``reads``. ``share``: which part of the film that is, about. ``counted``: as for `stream`.

        Raises `NotFound`, `StoreUnavailable`, and `NoRoom`; reading from it raises the last two.
        """
        header = self._large(key, counted)
        if header is None or not header.seekable or header.tells(reads, END_BYTES):
            return None
        name, size = name_of(key), header.size
        path = self._shelf.root / f"{name}.sparse"

        def ensure(start: int, stop: int) -> tuple[ByteRange, ...]:
            with self._shelf.gate(name):
                copy = self._sparse(key, path, size)
                gone = missing([(start, stop)], copy.have)
                self._shelf.make_room(size_of(gone))
            if gone:
                copy.fetch(gone)  # others are let at the copy meanwhile
                counted(copy.read_bytes)
                with self._shelf.gate(name):
                    copy = self._sparse(key, path, size)
                    copy.add(gone)
            return copy.have

        with self._shelf.gate(name):
            self._sparse(key, path, size)
            descriptor = os.open(path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # however many others this process holds meanwhile
            os.utime(path)
        return KeptReads(
            path,
            descriptor,
            size,
            ensure=ensure,
            expected_bytes=round(size * share),
            give_up=lambda: self._known(key, replace(header, unsought=True)),
        )

    def _large(self, key: str, counted: Callable[[int], None]) -> Header | None:
        """What is known of a file that is large, and not here."""
        if isinstance(self._blobs, LocalFiles):
            return None
        name = name_of(key)
        with self._shelf.gate(name):
            size = self._blobs.head(key).size_bytes
            if size <= SOON_BYTES or self._shelf.hold(self._shelf.root / f"{name}.source"):
                return None
            copy = self._sparse(key, self._shelf.root / f"{name}.sparse", size)
            header = self._header(key, copy, size)
            counted(copy.read_bytes)
        return header

    def _part(self, key: str, path: Path, reads: Reads) -> Fetched | int:
        """The part of ``key`` at ``path``, with what was missing of ``reads``. If it has to be whole: how many bytes were read
        to know that. In its gate."""
        size = self._blobs.head(key).size_bytes
        if size <= SMALL_BYTES:
            return 0
        copy = self._sparse(key, path, size)
        header = self._header(key, copy, size)
        if header.demuxer in FRAMED and header.large and reads.first_bytes is not None:
            header = self._with_frames(key, copy, header, placed=False)
        beginning = header.beginning(reads, END_BYTES)
        if beginning is None and reads.tracks and header.in_fragments and header.large:
            header = self._with_fragments(key, copy, size, header)
        planned = beginning if beginning is not None else header.planned(reads)
        if planned is None:
            return copy.read_bytes
        ranges = merged((start, min(stop, size)) for start, stop in (*header.ranges, *planned))
        self._shelf.make_room(size_of(missing(ranges, copy.have)))
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
        return Fetched(
            path=path, read_bytes=copy.read_bytes, index=index, first_bytes=first_bytes, frames=header.frames
        )

    def _sparse(self, key: str, path: Path, size: int) -> SparseCopy:
        """The copy with holes at ``path``, held. In its gate."""
        if not self._shelf.hold(path):
            note_of(path).unlink(missing_ok=True)
            path.touch(0o600)
            self._shelf.hold(path)
        return SparseCopy(self._blobs, key, path, size)

    def _header(self, key: str, copy: SparseCopy, size: int) -> Header:
        with self._mutex:
            if key in self._headers:
                self._headers.move_to_end(key)
                return self._headers[key]
        return self._known(key, read_header(copy, size, large=size > SOON_BYTES))

    def _with_fragments(self, key: str, copy: SparseCopy, size: int, header: Header) -> Header:
        """``header`` with the index that all fragments together are, if they are one. Looked for once."""
        if header.fragments is not None:
            return header
        found = find_fragments(copy, size)
        log.info("fragments_walked", key=key, found=found is not None, read_bytes=copy.read_bytes)
        ranges = merged([*header.ranges, *found.ranges]) if found is not None else header.ranges
        return self._known(
            key, replace(header, fragments=found, in_fragments=found is not None, counted=found is None, ranges=ranges)
        )

    def _with_frames(self, key: str, copy: SparseCopy, header: Header, *, placed: bool) -> Header:
        """``header`` with the file's frames: of one length, or told by their tag, or where that does not do or they have to be
        ``placed``, counted, once on this machine. In its gate."""
        if header.counted or (header.frames is not None and (header.frames.placed or not placed)):
            return header
        assert header.demuxer is not None
        note = frames_note_of(self._shelf.root / f"{name_of(key)}.sparse")
        frames = written_down(note, header.size)
        if frames is None and header.frames is None:
            frames = steady_frames(copy, header.size, header.demuxer)
        if frames is None and not placed:
            frames = told_frames(copy, header.size, header.demuxer)
        if frames is None:
            frames = count_frames(copy, header.size, header.demuxer)
            log.info("frames_counted", key=key, found=frames is not None, read_bytes=copy.read_bytes)
            if frames is not None:
                write_down(frames, note)
        return self._known(key, replace(header, frames=frames, counted=frames is None))

    def _known(self, key: str, header: Header) -> Header:
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
        name = name_of(key)
        path = self._shelf.root / f"{name}.source"
        read_bytes = 0
        with self._shelf.gate(name, "whole"):  # not the gate of parts: what plays first does not wait for all of a film
            if not self._shelf.hold(path):
                read_bytes = self._download(key, path)
                self._shelf.hold(path)
        os.utime(path)  # when it was last wanted
        return Fetched(path=path, read_bytes=read_bytes)

    def close(self) -> None:
        """Let go of all copies."""
        self._shelf.close()

    def _download(self, key: str, path: Path) -> int:
        """How many bytes that were."""
        size = self._blobs.head(key).size_bytes
        loading = self._shelf.root / "loading"
        with ExitStack() as stack:
            with self._shelf.gate(None):  # what killed processes left; and nobody takes our folder for such
                clear_abandoned(loading)
                folder = stack.enter_context(scratch_folder(loading, path.stem))
            self._shelf.make_room(size)
            self._blobs.download(key, folder / path.name)
            (folder / path.name).rename(path)
        log.info("source_downloaded", key=key, size_bytes=size)
        return size
