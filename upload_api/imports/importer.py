"""Imports in the background. A row is the job: whatever process is there claims it, fetches under the upload's lease from
the upload's offset, and whatever kills it, the next one goes on from what is durable."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass

import structlog

from storage.catalogue import Upload
from storage.errors import Conflict, FishladderError, NotFound, Rejected, TooLarge, Unavailable, UploadTerminated
from storage.ids import UploadId
from storage.imports import Import
from upload_api.drain import Drain
from upload_api.errors import ImportRefused, UploadRefused
from upload_api.imports.fetching import Arriving, Fetcher
from upload_api.ports import Ports
from upload_api.settings import UploadApiSettings
from upload_api.threads import Threads
from upload_api.tus.completion import drop_bytes
from upload_api.tus.protocol import Append
from upload_api.tus.receiving import Receipt
from upload_api.tus.service import TusService

log = structlog.get_logger(__name__)

CLAIM_MS = 20_000
"""Longer than opening an address takes; from then on the upload's own lease says that somebody is at it."""
MAX_TRIES = 8
MAX_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPolicy:
    at_once: int
    """Imports of this process at the same time."""
    poll_s: float
    """How often due imports are looked for. 0: never."""
    first_pause_s: float
    """Before the second try; each further one takes twice as long."""
    max_age_ms: int
    """An import that takes longer is given up."""


def import_policy(settings: UploadApiSettings) -> ImportPolicy:
    return ImportPolicy(
        at_once=settings.imports_at_once,
        poll_s=settings.import_poll_s,
        first_pause_s=settings.import_retry_s,
        max_age_ms=settings.import_max_age_ms,
    )


def pause_s(tries: int, policy: ImportPolicy, asked_s: float | None) -> float:
    """How long to wait after ``tries`` attempts that brought nothing. ``asked_s``: what the other side asked for."""
    doubled_s = policy.first_pause_s * (1 << min(tries, 16))
    return min(MAX_PAUSE_S, max(asked_s or 0.0, doubled_s))


class Importer:
    """The imports of this process."""

    def __init__(
        self,
        service: TusService,
        ports: Ports,
        threads: Threads,
        drain: Drain,
        fetcher: Fetcher,
        policy: ImportPolicy,
    ) -> None:
        self._service = service
        self._ports = ports
        self._threads = threads
        self._drain = drain
        self._fetcher = fetcher
        self._policy = policy
        self._running: dict[UploadId, asyncio.Task[None]] = {}

    def begin(self, upload: UploadId) -> None:
        """Have ``upload`` fetched now, or by whoever looks next if there is enough to do."""
        if upload in self._running or len(self._running) >= self._policy.at_once or self._drain.begun:
            return
        task = asyncio.create_task(self._run(upload))
        self._running[upload] = task
        task.add_done_callback(lambda _: self._running.pop(upload, None))

    async def rounds(self) -> None:
        """Look for due imports for as long as this process serves; one process of all that share the catalogue."""
        holder, ttl_ms = secrets.token_hex(8), round(self._policy.poll_s * 5000)
        while self._policy.poll_s > 0:
            try:
                if await self._threads.catalogue(self._ports.catalogue.lead, "importer", holder, ttl_ms):
                    await self.look()
            except FishladderError as error:
                log.warning("imports_not_looked_for", code=error.code, sentence=error.sentence)
            await asyncio.sleep(self._policy.poll_s)

    async def look(self) -> None:
        """Begin what is due, as far as there is room; forget the addresses of what ended."""
        catalogue = self._ports.catalogue
        await self._threads.catalogue(catalogue.forget_ended_imports)
        room = self._policy.at_once - len(self._running)
        for upload in await self._threads.catalogue(catalogue.due_imports, room) if room > 0 else ():
            self.begin(upload)

    async def settle(self) -> None:
        """Wait for what runs; its writers end with the drain."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def _run(self, upload_id: UploadId) -> None:
        catalogue = self._ports.catalogue
        try:
            task = await self._threads.catalogue(catalogue.claim_import, upload_id, CLAIM_MS)
            if task is not None:
                await self._attempt(task)
        except FishladderError as error:
            log.warning("import_broke", code=error.code, sentence=error.sentence)
        except Exception:
            log.exception("import_broke")

    async def _attempt(self, task: Import) -> None:
        """One opening of the address, and what comes of it: the whole file, a part of it, or nothing."""
        upload = await self._threads.catalogue(self._ports.catalogue.upload, task.upload)
        if upload.state != "open":
            return
        try:
            async with asyncio.timeout(await self._left_s(upload)) as limit:
                await self._fetch(task, upload)
        except TimeoutError:
            if not limit.expired():
                raise
            await self._threads.store(self._refuse, upload, _too_slow())
        except (UploadRefused, UploadTerminated, NotFound):
            return  # it has ended, and its video says why
        except Rejected as error:
            await self._threads.store(self._refuse, upload, error)
        except (Conflict, Unavailable) as error:
            await self._later(task, upload, error)

    async def _fetch(self, task: Import, upload: Upload) -> None:
        """Raises `Rejected` where trying again does not help, `Conflict` and `Unavailable` where it may."""
        async with self._fetcher.open(task.url, start=upload.offset_bytes, validator=task.validator) as (
            opening,
            arriving,
        ):
            if task.validator is None and opening.validator is not None:
                await self._note(task, tries=task.tries, delay_ms=CLAIM_MS, validator=opening.validator)
            if opening.start < upload.offset_bytes:
                await arriving.skip(upload.offset_bytes - opening.start)
            append = Append(
                offset_bytes=upload.offset_bytes,
                body_bytes=0 if opening.length_bytes == upload.offset_bytes else None,
                length_bytes=opening.length_bytes,
                ends=True,
            )
            receipt = await self._service.take(upload.id, append, arriving)
        _check_whole(receipt, arriving)
        log.info("video_imported", video_id=upload.video, size_bytes=receipt.upload.length_bytes)

    async def _left_s(self, upload: Upload) -> float:
        """How long the import may still take. Raises `ImportRefused`."""
        now_ms = await self._threads.catalogue(self._ports.catalogue.now_ms)
        left_ms = upload.created_at_ms + self._policy.max_age_ms - now_ms
        if left_ms <= 0:
            raise _too_slow()
        return left_ms / 1000

    async def _later(self, task: Import, before: Upload, error: FishladderError) -> None:
        """Try again: soon if something came, ever later if nothing or too little does, and at some time no more."""
        upload = await self._threads.catalogue(self._ports.catalogue.upload, task.upload)
        if upload.state != "open":
            return
        mine = isinstance(error, Unavailable) and not self._drain.begun
        moved = upload.offset_bytes > before.offset_bytes
        trickles = "too_slow" in error.fields
        tries = 0 if moved and not trickles else task.tries + (1 if mine else 0)
        if tries > MAX_TRIES:
            code = "import_too_slow" if trickles else "import_unreachable"
            lost = ImportRefused(f"{error.sentence} We tried {tries} times.", reason_code=code)
            await self._threads.store(self._refuse, upload, lost)
            return
        asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
        wait_s = 0.0 if self._drain.begun else pause_s(tries, self._policy, asked_s)
        log.info(
            "import_interrupted", video_id=upload.video, offset_bytes=upload.offset_bytes, tries=tries, why=str(error)
        )
        await self._note(task, tries=tries, delay_ms=round(wait_s * 1000))

    async def _note(self, task: Import, *, tries: int, delay_ms: int, validator: str | None = None) -> None:
        await self._threads.catalogue(
            self._ports.catalogue.note_import, task.upload, tries=tries, delay_ms=delay_ms, validator=validator
        )

    def _refuse(self, upload: Upload, error: Rejected) -> None:
        """End the import, and say why on its video."""
        code = error.reason_code if isinstance(error, ImportRefused) else error.code
        with contextlib.suppress(Conflict):  # it ended meanwhile
            self._ports.catalogue.refuse_upload(upload.id, code, error.sentence)
            drop_bytes(self._ports.blobs, self._ports.catalogue.upload(upload.id))
            log.info("import_refused", video_id=upload.video, reason=error.sentence)


def _too_slow() -> ImportRefused:
    return ImportRefused("The address is too slow: this took too long.", reason_code="import_too_slow")


def _check_whole(receipt: Receipt, arriving: Arriving) -> None:
    if receipt.surplus:
        raise TooLarge("The address sends more than it said, or more than is accepted here.")
    if receipt.upload.state == "completed":
        return
    if arriving.ended:
        raise Unavailable("The address sent less than it said.")
    receipt.check()
    if arriving.trickles:
        raise Unavailable(f"The address {arriving.why}.", too_slow=True)
    raise Unavailable(f"The address {arriving.why or 'sent no more'}.")
