"""Bytes of a body on their way into the store, and how it ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from storage.catalogue import Upload
from storage.errors import InvalidRequest, TooLarge, Unavailable, UploadBusy
from upload_api.metrics import Metrics
from upload_api.ports import Ports
from upload_api.threads import Threads
from upload_api.tus.body import Pieces
from upload_api.tus.checksums import FIELD as CHECKSUM_FIELD
from upload_api.tus.checksums import Digests, Promise
from upload_api.tus.hashing import Hashing, PassingFiles
from upload_api.tus.leases import Hold, Stop
from upload_api.tus.parts import PartPolicy
from upload_api.tus.store import SourceWriter, Told

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How a body ended. ``upload``: as it stands now. ``surplus``: there were more bytes than room for them."""

    upload: Upload
    surplus: bool = False
    stopped: Stop | None = None
    kept: bool = True  # a body with a checksum that did not come whole is not

    def check(self) -> None:
        """Raises for a body that was not taken to its end; what was taken is durable all the same."""
        if self.surplus:
            raise TooLarge("This request had more bytes than the upload has room for.")
        kept = "what was received is kept" if self.kept else "nothing was kept, as its checksum could not be checked"
        if self.stopped in (Stop.LET_GO, Stop.LOST):
            raise UploadBusy(f"Another request took this upload over; {kept}.")
        if self.stopped is Stop.IDLE:
            raise Unavailable(f"No bytes came for too long; {kept}.", retry_after_s=1)
        if self.stopped is Stop.DRAINING:
            raise Unavailable(f"This server is about to stop; {kept}.", retry_after_s=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What `Receiver` says of a body, before anybody looks at the upload again."""

    kept: bool
    surplus: bool
    stopped: Stop | None
    given_up: asyncio.CancelledError | None
    """The server gave the request up: to be raised once the upload is as it should be."""


class Receiver:
    """Takes bodies in. One for all uploads of a process."""

    def __init__(
        self, ports: Ports, threads: Threads, parts: PartPolicy, passing: PassingFiles, metrics: Metrics
    ) -> None:
        self._ports = ports
        self._threads = threads
        self._parts = parts
        self._passing = passing
        self._metrics = metrics

    async def receive(
        self, upload: Upload, room_bytes: int | None, promise: Promise | None, body: Pieces, hold: Hold, told: Told
    ) -> Received:
        """Take ``body`` to its end, or to the end of ``room_bytes`` (None: no end is known). With a ``promise``, all of it
        is recorded or nothing. Raises for a body that breaks its promise; what the store or the catalogue raises."""
        writer = SourceWriter(
            self._ports, self._threads, self._parts, upload, hold, on_approval=promise is not None, told=told
        )
        digests, passing = Digests(promise), self._passing.begin(upload)
        hashing = Hashing(self._threads, [*digests.hashes, *([] if passing is None else [passing])])
        reader = asyncio.create_task(_pump(body, writer, room_bytes, hold, hashing))
        hold.on_stop(partial(_cancel, reader))
        given_up: asyncio.CancelledError | None = None
        with self._metrics.writers.track_inprogress():
            try:
                await asyncio.wait({reader})
            except asyncio.CancelledError as error:
                # The server gives this request up. What came so far is kept first.
                given_up = error
                reader.cancel()
                await asyncio.wait({reader})
            hold.on_stop(None)
            try:
                if promise is None:
                    kept, surplus = True, await self._settle(writer, reader)
                else:
                    kept, surplus = await self._settle_promised(writer, reader, promise, digests, hashing, body)
            finally:
                await hashing.settle()
            if writer.durable_bytes > upload.offset_bytes:
                whole = passing is not None and passing.position == writer.durable_bytes
                self._passing.keep(upload.id, passing if whole else None)
            if promise is None:
                _check_unannounced(body)
        self._metrics.received_bytes.inc(writer.durable_bytes - upload.offset_bytes)
        log.info(
            "upload_body_ended",
            video_id=upload.video,
            from_bytes=upload.offset_bytes,
            to_bytes=writer.durable_bytes,
            length_bytes=upload.length_bytes,
            disconnected=body.disconnected,
            stopped=hold.stopped,
        )
        came = body.ended or body.disconnected
        return Received(kept=kept, surplus=surplus, stopped=None if came else hold.stopped, given_up=given_up)

    @staticmethod
    async def _settle(writer: SourceWriter, reader: asyncio.Task[bool]) -> bool:
        try:
            surplus = False if reader.cancelled() else reader.result()
            await writer.settle()
        except BaseException:
            await writer.abandon()
            raise
        return surplus

    async def _settle_promised(
        self,
        writer: SourceWriter,
        reader: asyncio.Task[bool],
        promise: Promise,
        digests: Digests,
        hashing: Hashing,
        body: Pieces,
    ) -> tuple[bool, bool]:
        """(kept, surplus) of a body with a checksum: all of it is recorded, or nothing."""
        try:
            surplus = False if reader.cancelled() else reader.result()
            if surplus or not body.ended:
                await writer.discard()
                return False, surplus
            await hashing.settle()
            digests.check(promise, body.trailer(CHECKSUM_FIELD))
            await writer.settle()
            await writer.approve()
        except BaseException:
            await writer.discard()
            raise
        return True, False


def _cancel(reader: asyncio.Task[bool]) -> None:
    reader.cancel()


def _check_unannounced(body: Pieces) -> None:
    """Raises `InvalidRequest` for a checksum in a trailer that was not announced: the bytes are kept, as they came
    without a promise, but whoever sent it must not believe that they were checked."""
    if body.ended and body.trailer(CHECKSUM_FIELD) is not None:
        raise InvalidRequest("A checksum in the trailer has to be announced by a Trailer header; it was not checked.")


async def _pump(body: Pieces, writer: SourceWriter, room_bytes: int | None, hold: Hold, hashing: Hashing) -> bool:
    """Body → writer, until the body, the room or the connection ends; True if there was more than room for it.

    May be cancelled at any ``await``: each piece is taken in the same breath in which it is read.
    """
    clock = asyncio.get_running_loop().time
    left = room_bytes
    while not (body.ended or body.disconnected):
        hold.waiting_since = clock()
        piece = await body.read()
        hold.waiting_since = None
        surplus = left is not None and len(piece) > left
        if surplus:
            piece = piece[:left]
        if piece:
            writer.take(piece)
            hashing.take(piece)
            left = None if left is None else left - len(piece)
        if surplus:
            return True
        await writer.make_room()
        await hashing.make_room()
    return False
