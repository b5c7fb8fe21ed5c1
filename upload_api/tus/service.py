"""What can be done to an upload, apart from HTTP: create, append, look, end. Checks come before bytes, always in the
order standing, lease, offset, body: nothing of a body is read before all of them have passed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from storage.catalogue import Concat, NewUpload, Upload
from storage.errors import IllegalTransition, InvalidRequest, NotAllowed, NotFound, Unavailable, UploadBusy
from storage.ids import TenantId, UploadId
from storage.media.encryption import Encryption
from upload_api.auth.granting import as_granted, facts_of_grant
from upload_api.auth.principal import Principal
from upload_api.drain import Drain
from upload_api.errors import NotMedia, SourceLost, UploadClosed, WrongFile
from upload_api.metrics import Metrics
from upload_api.ports import Ports
from upload_api.settings import UploadApiSettings
from upload_api.threads import Threads
from upload_api.tus.body import Body, Pieces
from upload_api.tus.checksums import Digests, Promise
from upload_api.tus.completion import drop_bytes, finish_source, give_up_source, refuse_source
from upload_api.tus.concat import upload_id_of
from upload_api.tus.hashing import PassingFiles
from upload_api.tus.joining import Joiner
from upload_api.tus.leases import Hold, LeasePolicy, Leases, Stop
from upload_api.tus.metadata import check_file
from upload_api.tus.parts import PartPolicy
from upload_api.tus.protocol import (
    Admission,
    Append,
    Creation,
    RequestFields,
    TusPolicy,
    admit_append,
    check_not_final,
    check_not_refused,
    check_standing,
    is_whole,
    parse_append,
    total_length,
)
from upload_api.tus.receiving import Receipt, Receiver
from upload_api.tus.store import Told
from upload_api.urls import Urls

log = structlog.get_logger(__name__)


def going_down() -> Unavailable:
    return Unavailable("This server is about to stop; what was received is kept.", retry_after_s=1)


class TusService:
    """Uploads over a catalogue and a store."""

    def __init__(
        self, settings: UploadApiSettings, ports: Ports, threads: Threads, drain: Drain, metrics: Metrics
    ) -> None:
        self._ports = ports
        self._threads = threads
        self._drain = drain
        self._metrics = metrics
        self._idle_s = settings.idle_timeout_s
        self._lifetime_ms = settings.upload_lifetime_ms
        self._can_encrypt = settings.can_encrypt
        self.policy = TusPolicy(max_bytes=settings.max_upload_bytes)
        self._leases = Leases(
            ports.catalogue,
            threads,
            drain,
            LeasePolicy(
                ttl_s=settings.lease_ttl_s,
                beat_s=settings.lease_beat_s,
                wait_s=settings.lease_wait_s,
                idle_s=settings.idle_timeout_s,
            ),
        )

        parts = PartPolicy(
            base_bytes=max(settings.base_part_bytes, ports.blobs.min_part_bytes),
            max_parts=ports.blobs.max_parts,
            in_flight=settings.parts_in_flight,
            memory_bytes=settings.upload_memory_bytes,
        )
        self._passing = PassingFiles()
        self._receiver = Receiver(ports, threads, parts, self._passing, metrics)
        self.joiner = Joiner(ports, threads, self._leases, settings.max_upload_bytes)

    async def create(self, creation: Creation, urls: Urls, who: Principal) -> Upload:
        """Record a new upload and its video, which are ``who``'s. Raises `TooLarge` or `NotAllowed` for what its grant
        does not allow, `OverQuota`."""
        if self._drain.begun:
            raise going_down()
        self._check_encryption(creation.wishes.encryption)
        creation = as_granted(creation, who.grant)
        concat = creation.concat
        partials = tuple(upload_id_of(url, urls.public) for url in concat.urls) if concat is not None else ()
        length_bytes = creation.length_bytes
        if partials:
            length_bytes = await self._length_of(partials, who.tenant)
        upload = await self._threads.catalogue(
            self._ports.catalogue.create_upload,
            NewUpload(
                tenant=who.tenant,
                length_bytes=length_bytes,
                metadata_raw=creation.metadata_raw,
                title=creation.wishes.title,
                filename=creation.wishes.filename,
                lane=creation.wishes.lane,
                lifetime_ms=self._lifetime_ms if creation.lifetime_ms is None else creation.lifetime_ms,
                source_url=creation.source_url,
                concat=concat.kind if concat is not None else None,
                concat_raw=concat.raw if concat is not None else None,
                joins=partials,
                key=who.key_id,
                **facts_of_grant(who.grant),
            ),
        )
        if creation.wishes.encryption is not None:  # before a byte of it has come, so before it can be inspected
            wish = self._ports.catalogue.wish_encryption
            await self._threads.catalogue(wish, upload.video, creation.wishes.encryption)
        if partials:
            self.joiner.begin(upload.id)
        self._metrics.uploads.labels("created").inc()
        log.info("upload_created", video_id=upload.video, length_bytes=upload.length_bytes, lane=creation.wishes.lane)
        return upload

    def _check_encryption(self, wished: Encryption | None) -> None:
        if wished not in (None, Encryption.NONE) and not self._can_encrypt:
            raise InvalidRequest("Videos cannot be encrypted here: there are no sealing keys.", encryption=str(wished))

    async def _length_of(self, partials: tuple[UploadId, ...], tenant: TenantId) -> int | None:
        """Of the upload joined from ``partials``, each of which is checked: whoever joins must be allowed to read it.
        Raises `NotFound`, also for another tenant's, `UploadTerminated`, `InvalidRequest`, `TooLarge`."""
        known = {each: await self._standing(each) for each in dict.fromkeys(partials)}
        for upload in known.values():
            if upload.tenant != tenant:
                raise NotFound("There is no such upload.")
            if upload.concat is not Concat.PARTIAL:
                raise InvalidRequest("Only partial uploads can be joined.")
            check_not_refused(upload)
        return total_length([known[each] for each in partials], self.policy)

    async def first_bytes(self, upload: Upload, creation: Creation, body: Body) -> Receipt:
        """What came with the creation, if anything did."""
        if upload.concat is Concat.FINAL or (not creation.carries_body and creation.length_bytes != 0):
            return Receipt(upload=upload)
        body_bytes = creation.body_bytes if creation.carries_body else 0
        append = Append(offset_bytes=0, body_bytes=body_bytes, length_bytes=None, promise=creation.promise)
        return await self._append(upload, append, body)

    async def append(self, upload_id: UploadId, fields: RequestFields, body: Body) -> Receipt:
        """Take a PATCH's body. Raises before anything is read; afterwards the receipt says how it ended."""
        upload = await self._standing(upload_id)
        check_not_final(upload)
        return await self._append(upload, parse_append(fields, trailers=body.tells_trailers), body)

    async def take(self, upload_id: UploadId, append: Append, body: Pieces, told: Told = lambda _: None) -> Receipt:
        """The same for bytes that come by another way than tus. ``told``: hears the offset of what is durable, as it
        grows."""
        upload = await self._standing(upload_id)
        check_not_final(upload)
        return await self._append(upload, append, body, told)

    async def _append(self, upload: Upload, append: Append, body: Pieces, told: Told = lambda _: None) -> Receipt:
        check_not_refused(upload)
        if upload.state != "open":
            admit_append(append, upload, self.policy)
            return await self._closed(upload, append, body)
        if self._drain.begun:
            raise going_down()
        try:
            async with self._leases.hold(upload.id) as hold, self._hopeless_is_ended(upload.id):
                return await self._append_under(hold, append, body, told)
        except UploadClosed:
            return await self._append(await self._standing(upload.id), append, body, told)

    async def _closed(self, upload: Upload, append: Append, body: Pieces) -> Receipt:
        """Of a PATCH to a completed upload: fine if it brings nothing, which a chunked body only shows by its end."""
        try:
            async with asyncio.timeout(self._idle_s):
                return Receipt(upload=upload, surplus=append.body_bytes is None and await _brings_bytes(body))
        except TimeoutError:
            return Receipt(upload=upload, stopped=Stop.IDLE)

    async def _append_under(self, hold: Hold, append: Append, body: Pieces, told: Told) -> Receipt:
        upload = await self._standing(hold.upload)
        admission = admit_append(append, upload, self.policy)
        if append.promise is not None and append.body_bytes == 0:
            Digests(append.promise).check(append.promise, None)
        fixed = (
            upload if admission.fix_length_bytes is None else replace(upload, length_bytes=admission.fix_length_bytes)
        )
        if append.promise is None or append.body_bytes == 0:
            await self._fix_length(upload, admission, hold)
        if append.body_bytes == 0:
            return Receipt(upload=await self._finished(fixed, hold))
        receipt = await self._received(fixed, admission.room_bytes, append.promise, body, hold, told)
        if append.promise is not None and receipt.kept and not receipt.surplus:
            await self._fix_length(upload, admission, hold)  # a body that is refused must not change the length either
            receipt = replace(receipt, upload=await self._finished(await self._standing(upload.id), hold))
        if append.ends and body.ended and receipt.kept and not receipt.surplus:
            receipt = replace(receipt, upload=await self._ended(receipt.upload, hold))
        return receipt

    async def _ended(self, upload: Upload, hold: Hold) -> Upload:
        """The upload, whose length turned out to be what it has."""
        if upload.length_bytes is not None or upload.state != "open":
            return upload
        length_bytes = upload.offset_bytes
        await self._threads.catalogue(self._ports.catalogue.set_upload_length, upload.id, hold.token, length_bytes)
        return await self._finished(replace(upload, length_bytes=length_bytes), hold)

    async def _fix_length(self, upload: Upload, admission: Admission, hold: Hold) -> None:
        if admission.fix_length_bytes is not None:
            await self._threads.catalogue(
                self._ports.catalogue.set_upload_length, upload.id, hold.token, admission.fix_length_bytes
            )

    async def standing(self, upload_id: UploadId) -> Upload:
        """The upload as a HEAD shows it: with an offset that the next PATCH can start from.

        It costs one query, as long as nobody writes. Else the writer is asked to let go first; and an upload whose bytes
        are all durable is completed.
        """
        seen = await self._threads.catalogue(self._ports.catalogue.upload_standing, upload_id)
        upload = seen.upload
        check_standing(upload, seen.now_ms)
        if upload.state != "open" or upload.concat is Concat.FINAL:
            return upload
        if self._drain.begun:
            raise UploadBusy
        if not seen.is_held and not is_whole(upload):
            return upload
        try:
            async with self._leases.hold(upload_id) as hold, self._hopeless_is_ended(upload_id):
                return await self._finished(await self._standing(upload_id), hold)
        except UploadClosed:
            return await self.standing(upload_id)

    async def known(self, upload_id: UploadId) -> Upload:
        """As it is on record. Raises `NotFound`, `UploadTerminated`."""
        return await self._standing(upload_id)

    async def state_of(self, upload_id: UploadId) -> str:
        """As it is on record; nobody is asked to let go."""
        return (await self._threads.catalogue(self._ports.catalogue.upload, upload_id)).state

    async def terminate(self, upload_id: UploadId) -> None:
        """End an unfinished upload: its writer stops, its bytes go. Raises `NotAllowed` once it is complete."""
        upload = await self._standing(upload_id)
        try:
            if upload.state == "open":
                async with self._leases.hold(upload_id):
                    ended = await self._threads.catalogue(self._ports.catalogue.terminate_upload, upload_id)
            else:
                ended = await self._threads.catalogue(self._ports.catalogue.terminate_upload, upload_id)
        except IllegalTransition as error:
            raise NotAllowed("This upload is complete; delete its video instead.", video_id=upload.video) from error
        self._metrics.uploads.labels("terminated").inc()
        log.info("upload_terminated", video_id=upload.video, offset_bytes=upload.offset_bytes)
        await self._threads.store(drop_bytes, self._ports.blobs, ended)

    @asynccontextmanager
    async def _hopeless_is_ended(self, upload_id: UploadId) -> AsyncIterator[None]:
        try:
            yield
        except (NotMedia, WrongFile) as error:
            await self._threads.store(refuse_source, self._ports, upload_id, error)
            raise
        except SourceLost as error:
            await self._threads.store(give_up_source, self._ports, upload_id, error)
            raise

    async def _standing(self, upload_id: UploadId) -> Upload:
        def read() -> tuple[Upload, int]:
            return self._ports.catalogue.upload(upload_id), self._ports.catalogue.now_ms()

        upload, now_ms = await self._threads.catalogue(read)
        check_standing(upload, now_ms)
        return upload

    async def _received(
        self, upload: Upload, room_bytes: int | None, promise: Promise | None, body: Pieces, hold: Hold, told: Told
    ) -> Receipt:
        received = await self._receiver.receive(upload, room_bytes, promise, body, hold, told)
        upload = await self._finished(await self._standing(upload.id), hold)
        if received.given_up is not None:
            raise received.given_up
        return Receipt(upload=upload, surplus=received.surplus, stopped=received.stopped, kept=received.kept)

    async def _finished(self, upload: Upload, hold: Hold) -> Upload:
        """The upload, completed if all its bytes are there."""
        if upload.state != "open" or not is_whole(upload):
            return upload
        if (digest := self._passing.digest(upload)) is not None:
            check_file(upload.metadata_raw, digest)
            await self._threads.catalogue(self._ports.catalogue.set_upload_digest, upload.id, digest)
        if await self._threads.store(finish_source, self._ports, upload.id, hold.token):
            self._metrics.uploads.labels("completed").inc()
            if upload.concat is Concat.PARTIAL:
                await self.joiner.partial_came(upload.id)
        return await self._threads.catalogue(self._ports.catalogue.upload, upload.id)


async def _brings_bytes(body: Pieces) -> bool:
    while not (body.ended or body.disconnected):
        if await body.read():
            return True
    return False
