"""The byte path: from the pieces of a body into S3 parts, with bounded memory and an offset that only moves forward.

Memory holds the part being filled and the parts in flight, no more: `make_room` waits for the oldest before the next
piece is asked for. Parts fly in parallel; their progress is recorded in order, so the offset in the catalogue always
counts bytes that are durable and contiguous. It is recorded a few times a second, not for every part: a transaction costs
more than a part does, and an offset that is a moment behind is as true. A writer «on approval» (of a body with a
checksum) records nothing by itself: `approve` records all of it at once, `discard` none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from storage.blobs import GatheredParts, Pieces, StoredPart
from storage.catalogue import Concat, Tail, Upload
from storage.errors import FishladderError, StaleLease, Unavailable
from storage.keys import tail_key
from storage.media.sniffing import HEAD_BYTES, describe_stranger, sniff
from upload_api.errors import NotMedia
from upload_api.ports import Ports
from upload_api.threads import Threads
from upload_api.tus.completion import read_tail, store_part
from upload_api.tus.leases import Hold, Stop
from upload_api.tus.parts import PartPolicy, plan_in_flight, plan_part_bytes

log = structlog.get_logger(__name__)

RECORD_EVERY_S = 0.25
"""A server that is killed loses no more than this of what it stored; every other end records all of it."""

Told = Callable[[int], None]
"""Hears the offset up to which bytes are durable, whenever it has grown."""


class SourceWriter:
    """What one request adds to an upload, under one lease.

    `take` never waits and never loses a piece, whatever is cancelled around it. `settle` makes everything taken durable.
    """

    def __init__(
        self,
        ports: Ports,
        threads: Threads,
        policy: PartPolicy,
        upload: Upload,
        hold: Hold,
        *,
        on_approval: bool = False,
        told: Told = lambda _: None,
    ) -> None:
        self._ports = ports
        self._threads = threads
        self._policy = policy
        self._upload = upload
        self._hold = hold
        self._told = told
        self._gathers = isinstance(ports.blobs, GatheredParts)
        self._multipart_id = upload.multipart_id
        self._tail = upload.tail
        self._beginning: asyncio.Task[None] | None = None
        self._parts = len(upload.parts)  # sent so far, stored or in flight
        self._part_start = sum(part.size_bytes for part in upload.parts)  # where the buffer begins
        self._pieces: deque[bytes | memoryview] = deque()
        self._buffered = 0
        self._flying: deque[asyncio.Task[None]] = deque()
        self._on_approval = on_approval
        self._unrecorded: list[StoredPart] = []  # stored, each with all before it
        self._stored_bytes = upload.offset_bytes
        self._recorder: asyncio.Task[None] | None = None
        self._new_tail: Tail | None = None  # stored, but not approved
        self._refusal: NotMedia | None = None  # of bytes that may still turn out to be damaged on their way
        self.received_bytes = upload.offset_bytes
        self.durable_bytes = upload.offset_bytes

    def take(self, piece: bytes) -> None:
        """The next bytes of the upload."""
        self._pieces.append(piece)
        self._buffered += len(piece)
        self.received_bytes += len(piece)

    async def make_room(self) -> None:
        """Send what fills a part; return once the next piece may be taken. Raises what the store or catalogue raised."""
        if self._recorder is not None and self._recorder.done():
            self._recorder.result()
        if not self._buffered:
            return
        await self._begin()
        while self._buffered >= (part_bytes := self._next_part_bytes()):
            if self._parts == 0:
                self._look_at_head(part_bytes)
            await self._land_until(plan_in_flight(part_bytes, self._policy) - 1)
            self._send_part(part_bytes)
        while self._flying and self._flying[0].done():
            await self._flying.popleft()

    async def settle(self) -> None:
        """Store the rest: as the last S3 part if the upload is whole with it, else as its tail. Afterwards
        ``durable_bytes`` equals ``received_bytes``."""
        await self.make_room()
        if self._buffered and self.received_bytes == self._upload.length_bytes:
            self._send_part(self._buffered)
        await self._land_until(0)
        if not self._on_approval:
            await self._record_rest()
        if self._buffered and self.received_bytes > self._stored_bytes:
            await self._store_tail()

    async def approve(self) -> None:
        """Of a writer on approval, after `settle`: record everything in one step."""
        tail, self._new_tail = self._new_tail, None  # whatever becomes of the call, it may be recorded now
        if self.received_bytes > self._upload.offset_bytes:
            await self._record(self.received_bytes, tuple(self._unrecorded), tail)
        if self._refusal is not None:
            raise self._refusal

    async def discard(self) -> None:
        """Of a writer on approval: forget everything. Its parts are overwritten by the next ones of their numbers, or
        left out when the object is joined."""
        await self._land()
        if self._new_tail is not None:
            await self._drop_tail(self._new_tail)

    async def abandon(self) -> None:
        """Of a body that broke on our side: wait for what is in flight, and record what of it is stored, if that can be."""
        await self._land()
        try:
            await self._record_rest()
        except FishladderError as error:
            log.info("stored_parts_not_recorded", video_id=self._upload.video, reason=error.code)

    async def _land(self) -> None:
        """Wait for what is in flight, whatever becomes of it."""
        if self._flying:
            await asyncio.wait(self._flying)
            for task in self._flying:
                task.exception()  # was raised to the one who waited for the first of them
            self._flying.clear()

    async def _begin(self) -> None:
        """Once, before the first part or tail: have a multipart upload, and the old tail in front of the new bytes."""
        if self._beginning is None:
            self._beginning = asyncio.create_task(self._prepare())
        await asyncio.shield(self._beginning)

    async def _prepare(self) -> None:
        if self._multipart_id is None:
            self._multipart_id = await self._threads.store(self._ports.blobs.begin_multipart, self._upload.source_key)
            await self._threads.catalogue(
                self._ports.catalogue.begin_source, self._upload.id, self._hold.token, self._multipart_id
            )
        if self._tail is not None:
            data = await self._threads.store(read_tail, self._ports.blobs, self._tail)
            self._pieces.appendleft(data)
            self._buffered += len(data)

    def _look_at_head(self, part_bytes: int) -> None:
        """Raises `NotMedia` before the first of several parts is sent, if no demuxer of ours would open the file: nobody
        is to send the rest of 50 GB in vain. A file of one part is here already; its inspection says the same."""
        whole = part_bytes == self._upload.length_bytes
        if whole or part_bytes < HEAD_BYTES or self._upload.concat is Concat.PARTIAL:
            return
        head = bytearray()
        for piece in self._pieces:
            head += piece[: HEAD_BYTES - len(head)]
            if len(head) == HEAD_BYTES:
                break
        if sniff(bytes(head)) is None:
            sentence = f"This is not a video: it looks like {describe_stranger(bytes(head))}."
            refusal = NotMedia(sentence, reason_code="not_media")
            if not self._on_approval:
                raise refusal
            self._refusal = refusal

    def _next_part_bytes(self) -> int:
        planned = plan_part_bytes(
            stored_parts=self._parts,
            stored_bytes=self._part_start,
            length_bytes=self._upload.length_bytes,
            policy=self._policy,
        )
        # A part takes in the whole tail, also one that was left under a plan with larger parts: else the offset
        # would fall back behind it.
        return max(planned, self._upload.offset_bytes - self._part_start)

    def _send_part(self, size: int) -> None:
        data = self._cut(size)
        if not self._gathers:
            data = (b"".join(data),)  # here, so that the pieces are gone before the part has flown
        self._parts += 1
        self._part_start += size
        before = self._flying[-1] if self._flying else None
        self._flying.append(asyncio.create_task(self._store_part(self._parts, data, self._part_start, before)))

    def _cut(self, size: int) -> Pieces:
        """The first ``size`` buffered bytes, taken out of the buffer, not copied."""
        cut: list[bytes | memoryview] = []
        missing = size
        while missing:
            piece = self._pieces.popleft()
            if len(piece) > missing:
                view = memoryview(piece)
                self._pieces.appendleft(view[missing:])
                piece = view[:missing]
            cut.append(piece)
            missing -= len(piece)
        self._buffered -= size
        return cut

    async def _store_part(self, number: int, data: Pieces, end: int, before: asyncio.Task[None] | None) -> None:
        """Store a part; once the one before it is stored, it counts, and now and then what counts is recorded."""
        if self._hold.stopped is Stop.LOST or self._multipart_id is None:
            raise StaleLease  # do not overwrite a part of whoever writes now
        part = await self._threads.store(
            store_part, self._ports.blobs, self._upload.source_key, self._multipart_id, number, data
        )
        if before is not None:
            await before
        self._unrecorded.append(part)
        self._stored_bytes = end
        if self._recorder is None and not self._on_approval:
            self._recorder = asyncio.create_task(self._keep_recording())

    async def _keep_recording(self) -> None:
        while self._unrecorded:
            await self._record_parts()
            await asyncio.sleep(RECORD_EVERY_S)
        self._recorder = None

    async def _record_parts(self) -> None:
        if self._unrecorded:
            parts = tuple(self._unrecorded)
            await self._record(self._stored_bytes, parts, None)
            del self._unrecorded[: len(parts)]

    async def _record_rest(self) -> None:
        """Without waiting for the recorder's next turn. Cutting it off is harmless: to record the same again is."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.cancel()
            await asyncio.wait({recorder})
            if not recorder.cancelled():
                recorder.exception()  # what it failed at is tried once more
        await self._record_parts()

    async def _store_tail(self) -> None:
        """New before old: the bytes of the old tail are part of the new one, which is recorded before the old is gone.
        So the offset cannot fall back, whenever we die."""
        data = b"".join(self._pieces)
        tail = Tail(
            key=tail_key(self._upload.video, self._hold.token, self.received_bytes),
            start=self._part_start,
            size_bytes=len(data),
        )
        await self._threads.store(self._ports.blobs.put, tail.key, data)
        if self._on_approval:
            self._new_tail = tail
        else:
            await self._record(self.received_bytes, (), tail)

    async def _record(self, end: int, parts: tuple[StoredPart, ...], tail: Tail | None) -> None:
        await self._threads.catalogue(
            self._ports.catalogue.record_progress,
            self._upload.id,
            self._hold.token,
            offset_bytes=end,
            new_parts=parts,
            tail=tail,
        )
        self.durable_bytes = end
        self._told(end)
        await self._replace_tail(tail)

    async def _replace_tail(self, tail: Tail | None) -> None:
        old, self._tail = self._tail, tail
        if old is None or (tail is not None and tail.key == old.key):
            return
        await self._drop_tail(old)

    async def _drop_tail(self, tail: Tail) -> None:
        try:
            await self._threads.store(self._ports.blobs.delete, tail.key)
        except Unavailable as error:
            # Only rubbish: everything below the tails' prefix goes when the upload ends.
            log.warning("old_tail_not_deleted", video_id=self._upload.video, reason=error.code)

    async def _land_until(self, flying: int) -> None:
        """Wait until at most ``flying`` parts are on their way."""
        while len(self._flying) > flying:
            await asyncio.shield(self._flying[0])
            self._flying.popleft()
