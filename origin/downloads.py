"""``/v/{id}/download/…``: a film as a file, for who may keep it.

``source`` is what was uploaded, untouched. ``{rendition}.mp4`` is a plain MP4 put together from the rendition's segments and
one sound while it is sent (`packager.progressive`); ``?audio=`` chooses that by name or language, ``none`` leaves it out.
Edges do not cache any of it, and no secret of an edge opens it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import unicodedata
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from urllib.parse import quote

import structlog

from origin.access import Target, fields_of_query, nothing_here
from origin.cache import ByteCache, SingleFlight
from origin.messages import Headers, Request, Response, header
from origin.objects import Overloaded
from origin.policy import Kind, is_unchanged
from origin.ports import DownloadRows
from origin.problems import RangeNotSatisfiable
from origin.ranges import ByteRange, if_range_holds, resolve_range
from packager.progressive import (
    HEAD_WINDOW_BYTES,
    Layout,
    Placed,
    SampleTable,
    Track,
    bytes_of_moof,
    fragment_starts,
    lay_out,
    render_head,
)
from storage.blobs import BlobStore
from storage.catalogue import RenditionRow, Video
from storage.errors import Conflict, InvalidRequest, NotFound, StoreUnavailable
from storage.ids import AssetId, VideoId
from storage.lifecycle import VideoState

log = structlog.get_logger(__name__)

_PATH = re.compile(
    r"/v/(?P<video>[a-z0-9][a-z0-9\-]{0,63})/download/(?:source|(?P<rendition>[a-z0-9][a-z0-9_\-]*)\.mp4)"
)
_PIECE_BYTES = 1024 * 1024
_HEADS_BYTES = 64 * 1024 * 1024
_HEADS_AT_ONCE = 4
_READS_AT_ONCE = 16
_FORM = b"progressive-1"  # of the files that we put together: to be changed when the same segments make another file
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|%;]+')
_SUFFIX = re.compile(r"[A-Za-z0-9]{1,8}")
_NAME_CHARACTERS = 120

Span = tuple[str, int, int]
"""Bytes ``[start, stop)`` of the object under a key."""


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """``rendition`` None: the source."""

    target: Target
    rendition: str | None


def parse_download_request(path: str) -> DownloadRequest | None:
    """None for a path that is about no download."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    # Whoever may keep the film may have its files: that is what the target stands for.
    return DownloadRequest(Target(VideoId(found["video"]), "master.m3u8", Kind.MANIFEST), found["rendition"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """What is sent: ``head``, then the spans, each with where it begins."""

    name: str
    content_type: str
    etag: str
    head: bytes
    spans: tuple[Span, ...]
    begins: tuple[int, ...]
    size_bytes: int

    def within(self, start: int, stop: int) -> Iterator[Span]:
        """Bytes ``[start, stop)`` of the file as spans of objects, those of the head left out."""
        index = max(bisect_right(self.begins, max(start, len(self.head))) - 1, 0)
        for begin, (key, first, last) in zip(self.begins[index:], self.spans[index:], strict=True):
            if begin >= stop:
                return
            low, high = max(start - begin, 0) + first, min(stop - begin + first, last)
            if low < high:
                yield key, low, high


class Downloads:
    def __init__(self, rows: DownloadRows | None, blobs: BlobStore, threads: Executor, *, at_once: int):
        """``rows`` None: nothing is there to download. ``at_once``: files that are sent at the same time."""
        self._rows = rows
        self._blobs = blobs
        self._threads = threads
        self._at_once = at_once
        self._under_way = 0
        self._heads: ByteCache[bytes] = ByteCache(_HEADS_BYTES)
        self._flights: SingleFlight[bytes] = SingleFlight()

    async def answer(self, asked: DownloadRequest, request: Request, common: Headers) -> Response:
        """Whether who asks may have it was settled before. Raises `NotFound`, `Conflict`, `Overloaded`."""
        if self._rows is None:
            raise nothing_here()
        if self._under_way >= self._at_once:
            raise Overloaded(retry_after_s=10)
        self._under_way += 1
        try:
            response = self._respond(await self._find(self._rows, asked, request), request, common)
        except BaseException:
            self._end()
            raise
        return replace(response, ended=self._end)

    def _end(self) -> None:
        self._under_way -= 1

    async def _find(self, rows: DownloadRows, asked: DownloadRequest, request: Request) -> _File:
        video = await asyncio.get_running_loop().run_in_executor(self._threads, rows.video, asked.target.video)
        if asked.rendition is None:
            return await self._source(video)
        return await self._progressive(rows, video, asked.rendition, _audio_of(request))

    async def _source(self, video: Video) -> _File:
        loop = asyncio.get_running_loop()
        try:
            info = await loop.run_in_executor(self._threads, self._blobs.head, video.source_key)
        except NotFound as error:
            raise nothing_here() from error
        return _File(
            name=video.filename or f"{video.title}.bin",
            content_type="application/octet-stream",
            etag=f'"source-{video.id}-{info.size_bytes}"',  # objects are written once
            head=b"",
            spans=((video.source_key, 0, info.size_bytes),),
            begins=(0,),
            size_bytes=info.size_bytes,
        )

    async def _progressive(self, rows: DownloadRows, video: Video, rendition: str, audio: str | None) -> _File:
        if video.state is not VideoState.READY:
            raise Conflict("This film is not complete yet; it can be kept once it is.")
        loop = asyncio.get_running_loop()
        asset = await loop.run_in_executor(self._threads, rows.asset, video.asset)
        chosen = choose_renditions(asset.renditions, rendition, audio)
        tracks = await asyncio.gather(*(self._track(asset.id, row) for row in chosen))
        layout = lay_out(*tracks)
        digest = _digest(asset.id, chosen)
        head = await self._flights.run(digest, lambda: self._head(digest, asset.id, layout))
        keys = [f"{asset.id}/{track.name}/" for track in layout.tracks]
        spans = tuple(
            (keys[placed.track] + placed.segment.name, 0, placed.segment.size_bytes) for placed in layout.placed
        )
        return _File(
            name=f"{video.title} {chosen[0].name}.mp4",
            content_type="video/mp4",
            etag=f'"{digest}"',
            head=head,
            spans=spans,
            begins=tuple(len(head) + placed.offset for placed in layout.placed),
            size_bytes=len(head) + layout.body_bytes,
        )

    async def _track(self, asset: AssetId, row: RenditionRow) -> Track:
        assert row.init_name is not None, "a video that is ready has all of its init segments"
        assert row.timescale is not None
        key = f"{asset}/{row.name}/{row.init_name}"
        init = await asyncio.get_running_loop().run_in_executor(self._threads, self._blobs.get, key)
        return Track(name=row.name, init=init, timescale=row.timescale, segments=row.segments)

    async def _head(self, digest: str, asset: AssetId, layout: Layout) -> bytes:
        known = self._heads.get(digest)
        if known is not None:
            return known
        if len(self._flights) > _HEADS_AT_ONCE:
            raise Overloaded(retry_after_s=10)
        loop = asyncio.get_running_loop()
        tables = [SampleTable(track.init) for track in layout.tracks]
        for at in range(0, len(layout.placed), _READS_AT_ONCE):
            some = layout.placed[at : at + _READS_AT_ONCE]
            read = (loop.run_in_executor(self._threads, self._moofs, asset, layout, placed) for placed in some)
            for placed, moofs in zip(some, await asyncio.gather(*read), strict=True):
                for start, moof in moofs:
                    tables[placed.track].add(moof, placed.offset + start)
        head = await loop.run_in_executor(self._threads, render_head, layout, tables)
        self._heads.put(digest, head, len(head))
        return head

    def _moofs(self, asset: AssetId, layout: Layout, placed: Placed) -> list[tuple[int, bytes]]:
        """In a thread: the descriptions of a segment's fragments, each with where it begins."""
        key = f"{asset}/{layout.tracks[placed.track].name}/{placed.segment.name}"
        found = []
        for start in fragment_starts(placed.segment):
            window = self._blobs.get_range(key, start, start + HEAD_WINDOW_BYTES)
            size = bytes_of_moof(window)
            if size > len(window):
                window = self._blobs.get_range(key, start, start + size)
            found.append((start, window[:size]))
        return found

    def _respond(self, file: _File, request: Request, common: Headers) -> Response:
        headers = [
            header("content-type", file.content_type),
            header("content-disposition", content_disposition(file.name)),
            header("etag", file.etag),
            header("accept-ranges", "bytes"),
            header("cache-control", "private, no-cache"),
            *common,
        ]
        if is_unchanged(request.if_none_match, file.etag):
            return Response(status=304, headers=headers)
        ranges = None
        if request.method == "GET" and if_range_holds(request.if_range, file.etag):
            ranges = resolve_range(request.range, file.size_bytes)
        if ranges == ():
            raise RangeNotSatisfiable(size_bytes=file.size_bytes)
        # Several ranges of a film at once are nothing that a download needs: such a header is ignored, as it may be.
        part = ranges[0] if ranges is not None and len(ranges) == 1 else None
        sent = part or ByteRange(0, file.size_bytes)
        headers.append(header("content-length", len(sent)))
        if part is not None:
            headers.append(header("content-range", part.content_range(file.size_bytes)))
        return Response(
            status=200 if part is None else 206,
            headers=headers,
            pieces=self._pieces(file, sent.start, sent.stop),
            length=len(sent),
        )

    async def _pieces(self, file: _File, start: int, stop: int) -> AsyncIterator[bytes]:
        """Bytes ``[start, stop)`` of the file. One piece is read while the one before is sent; none is held longer."""
        if start < len(file.head):
            yield file.head[start:stop]
        async for piece in self._read_ahead(_cut(file.within(start, stop))):
            yield piece

    async def _read_ahead(self, spans: Iterable[Span]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        ahead: asyncio.Future[bytes] | None = None
        for span in spans:
            coming = loop.run_in_executor(self._threads, self._read, *span)
            if ahead is not None:
                yield await ahead
            ahead = coming
        if ahead is not None:
            yield await ahead

    def _read(self, key: str, start: int, stop: int) -> bytes:
        piece = self._blobs.get_range(key, start, stop)
        if len(piece) != stop - start:
            raise StoreUnavailable("The object store ended an object early.", key=key)
        return piece


def choose_renditions(rows: Iterable[RenditionRow], rendition: str, audio: str | None) -> tuple[RenditionRow, ...]:
    """The rendition by name or height (``720p``), and the sound: by name or language, the default one if nothing is said,
    none for ``none`` or where there is none. Raises `NotFound` for a rendition, `InvalidRequest` for a sound, that is not
    there."""
    rows = tuple(rows)
    pictures = [row for row in rows if row.rung is not None]
    picture = next((row for row in pictures if row.name == rendition), None)
    if picture is None:
        picture = next((row for row in pictures if row.rung and f"{row.rung.height}p" == rendition), None)
    if picture is None:
        raise NotFound("This film has no such rendition.")
    sounds = [row for row in rows if row.audio is not None]
    if audio == "none" or (audio is None and not sounds):
        return (picture,)
    for row in sounds:
        if row.audio is not None and (row.audio.default if audio is None else audio in (row.name, row.audio.language)):
            return (picture, row)
    if audio is None:
        return (picture, sounds[0])
    raise InvalidRequest("This film has no such sound. audio is the name or the language of one, or none.")


def content_disposition(name: str) -> str:
    """To be saved under ``name``: no path, nothing that a shell, a file system or the header itself would take for more than
    a name (RFC 6266; the plain form is for programs that do not know the other)."""
    safe = _UNSAFE.sub(" ", unicodedata.normalize("NFC", name)).strip(" .")
    stem, dot, suffix = safe.rpartition(".")
    if not dot or not _SUFFIX.fullmatch(suffix):
        stem, suffix = safe, ""
    stem = stem[:_NAME_CHARACTERS].strip(" .") or "video"
    ending = f".{suffix}" if suffix else ""
    letters = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9 ._()\-]", "", letters).strip(" .") or "video"
    return f"attachment; filename=\"{plain}{ending}\"; filename*=UTF-8''{quote(stem + ending, safe='')}"


def _audio_of(request: Request) -> str | None:
    return dict(fields_of_query(request.query)).get("audio") if request.query else None


def _digest(asset: AssetId, rows: Iterable[RenditionRow]) -> str:
    """Of all that the file is made of: the names of segments carry the hashes of their bytes."""
    names = [
        f"{asset}/{row.name}/{name}" for row in rows for name in (row.init_name, *(one.name for one in row.segments))
    ]
    return hashlib.sha256(_FORM + "\n".join(names).encode()).hexdigest()[:32]


def _cut(spans: Iterable[Span]) -> Iterator[Span]:
    """The same bytes in pieces that are small enough to be held."""
    for key, start, stop in spans:
        for at in range(start, stop, _PIECE_BYTES):
            yield key, at, min(at + _PIECE_BYTES, stop)
