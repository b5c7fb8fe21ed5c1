"""One writer per upload: the catalogue's lease, renewed while it is used, given up when somebody waits for it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

import structlog

from storage.catalogue import Uploads
from storage.errors import Conflict, StaleLease, Unavailable, UploadBusy
from storage.ids import UploadId
from upload_api.drain import Drain
from upload_api.errors import UploadClosed
from upload_api.threads import Threads

log = structlog.get_logger(__name__)

RETRY_S = 0.2
"""A newcomer asks again this often."""


class Stop(StrEnum):
    """Why a writer stops before its body ends."""

    LET_GO = "let_go"  # somebody else wants the upload: another connection of the same client, usually
    LOST = "lost"  # the lease ran out; another may write already
    IDLE = "idle"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasePolicy:
    ttl_s: float
    beat_s: float
    wait_s: float
    idle_s: float


class Hold:
    """A lease in use. ``stopped`` says why its holder is to end; `on_stop` is called once, then."""

    def __init__(self, upload: UploadId, token: int) -> None:
        self.upload = upload
        self.token = token
        self.stopped: Stop | None = None
        self.waiting_since: float | None = None  # for the client's next bytes, on the loop's clock
        self._listener: Callable[[], None] | None = None

    def on_stop(self, listener: Callable[[], None] | None) -> None:
        self._listener = listener
        if listener is not None and self.stopped is not None:
            listener()

    def stop(self, why: Stop) -> None:
        if self.stopped is None or (why is Stop.LOST and self.stopped is not Stop.LOST):
            self.stopped = why
            if self._listener is not None:
                self._listener()


class Leases:
    """The leases of this process."""

    def __init__(self, catalogue: Uploads, threads: Threads, drain: Drain, policy: LeasePolicy) -> None:
        self._catalogue = catalogue
        self._threads = threads
        self._drain = drain
        self._policy = policy
        self._ttl_ms = round(policy.ttl_s * 1000)
        self._held: dict[UploadId, Hold] = {}

    @asynccontextmanager
    async def hold(self, upload: UploadId) -> AsyncIterator[Hold]:
        """The upload's lease, for the length of a ``with`` block. Whoever has it is asked to let go.

        Before the block is entered: raises `UploadBusy` if the holder does not let go within the policy's wait, and
        `UploadClosed` if nothing can be added to the upload any more.
        """
        hold = Hold(upload, await self._acquire(upload))
        self._held[upload] = hold
        forget_drain = self._drain.listen(lambda: hold.stop(Stop.DRAINING))
        keeper = asyncio.create_task(self._keep(hold))
        try:
            yield hold
        finally:
            forget_drain()
            if self._held.get(upload) is hold:
                del self._held[upload]
            keeper.cancel()
            await asyncio.wait({keeper})
            await self._release(hold)

    async def _acquire(self, upload: UploadId) -> int:
        deadline = asyncio.get_running_loop().time() + self._policy.wait_s
        holder = secrets.token_hex(8)  # of this request alone: the catalogue lets a holder take its own lease again
        while True:
            try:
                return await self._threads.catalogue(self._catalogue.acquire_upload, upload, holder, self._ttl_ms)
            except UploadBusy:
                if self._drain.begun or asyncio.get_running_loop().time() >= deadline:
                    raise
            except Conflict as error:
                raise UploadClosed(error.sentence, **error.fields) from error
            if (neighbour := self._held.get(upload)) is not None:
                neighbour.stop(Stop.LET_GO)  # the same wish as in the catalogue, without waiting for the next beat
            await asyncio.sleep(RETRY_S)

    async def _keep(self, hold: Hold) -> None:
        clock = asyncio.get_running_loop().time
        good_until = clock() + self._policy.ttl_s
        while hold.stopped is not Stop.LOST:
            await asyncio.sleep(self._policy.beat_s)
            asked_at = clock()
            try:
                unwanted = await self._threads.catalogue(
                    self._catalogue.renew_upload, hold.upload, hold.token, self._ttl_ms
                )
                good_until = asked_at + self._policy.ttl_s
                if not unwanted:
                    hold.stop(Stop.LET_GO)
            except StaleLease:
                hold.stop(Stop.LOST)
            except Unavailable as error:
                log.warning("upload_lease_not_renewed", reason=error.code)
                if clock() >= good_until:
                    hold.stop(Stop.LOST)
            if hold.waiting_since is not None and clock() - hold.waiting_since > self._policy.idle_s:
                hold.stop(Stop.IDLE)

    async def _release(self, hold: Hold) -> None:
        try:
            await self._threads.catalogue(self._catalogue.release_upload, hold.upload, hold.token)
        except Unavailable as error:
            # It runs out by itself.
            log.warning("upload_lease_not_released", reason=error.code)
