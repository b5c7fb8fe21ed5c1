"""Final uploads, joined behind the client's back: it has its 201 at once, and no proxy's patience is tried.

Whoever has reason to believe that a final upload can be joined calls `Joiner.begin`: its creation, the completion of a
partial one, the rounds of the janitor. The join runs under the final upload's lease, records every part that it has
copied, and goes on from there in whatever process comes next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from itertools import islice

import structlog

from storage.blobs import StoredPart
from storage.catalogue import Upload
from storage.errors import Conflict, FishladderError, NotFound, Rejected, TooLarge
from storage.ids import UploadId
from upload_api.errors import SourceLost
from upload_api.ports import Ports
from upload_api.threads import Threads
from upload_api.tus.completion import drop_bytes, finish_source, give_up_source
from upload_api.tus.concat import JoinPart, plan_join
from upload_api.tus.leases import Hold, Leases
from upload_api.tus.protocol import is_whole

log = structlog.get_logger(__name__)

COPY_BYTES = 512 * 1024 * 1024
"""One copy inside the store: long enough to be worth a request, short enough to end before the client's patience."""
COPIES_AT_ONCE = 4


class Joiner:
    """The joins of this process. Several processes may try the same one: the lease decides."""

    def __init__(self, ports: Ports, threads: Threads, leases: Leases, max_bytes: int | None) -> None:
        self._ports = ports
        self._threads = threads
        self._leases = leases
        self._max_bytes = max_bytes
        self._running: dict[UploadId, asyncio.Task[None]] = {}
        self._again: set[UploadId] = set()

    def begin(self, final: UploadId) -> None:
        """Join ``final`` in the background, if all its parts are there."""
        if final in self._running:
            self._again.add(final)  # its last part may have come after the running one looked
            return
        task = asyncio.create_task(self._join(final))
        self._running[final] = task
        task.add_done_callback(lambda _: self._ended(final))

    def _ended(self, final: UploadId) -> None:
        del self._running[final]
        if final in self._again:
            self._again.discard(final)
            self.begin(final)

    async def partial_came(self, partial: UploadId) -> None:
        for final in await self._threads.catalogue(self._ports.catalogue.open_finals, partial):
            self.begin(final)

    async def tidy(self) -> None:
        """Take up what other processes left."""
        for final in await self._threads.catalogue(self._ports.catalogue.open_finals):
            self.begin(final)

    async def settle(self) -> None:
        """Wait until no join runs."""
        while self._running:
            await asyncio.wait(set(self._running.values()))
            await asyncio.sleep(0)

    async def _join(self, final: UploadId) -> None:
        try:
            async with self._leases.hold(final) as hold:
                await self._join_under(hold)
        except FishladderError as error:
            # Somebody else has it, or the janitor's next round tries again.
            log.info("upload_not_joined", code=error.code, sentence=error.sentence)

    async def _join_under(self, hold: Hold) -> None:
        final, partials = await self._threads.catalogue(self._read, hold.upload)
        try:
            for partial in {each.id: each for each in partials}.values():
                if not await self._is_complete(partial):
                    return
            await self._copy(final, [each.length_bytes or 0 for each in partials], partials, hold)
            if await self._threads.store(finish_source, self._ports, final.id, hold.token):
                log.info("upload_joined", video_id=final.video, partials=len(partials))
        except SourceLost as error:
            await self._threads.store(give_up_source, self._ports, final.id, error)
        except (TooLarge, NotFound) as error:
            await self._threads.store(self._refuse, final, error)

    def _read(self, final_id: UploadId) -> tuple[Upload, tuple[Upload, ...]]:
        final = self._ports.catalogue.upload(final_id)
        known = {each: self._ports.catalogue.upload(each) for each in set(final.joins)}
        return final, tuple(known[each] for each in final.joins)

    async def _is_complete(self, partial: Upload) -> bool:
        """Whether a partial upload's object is there; one whose last step was cut off is helped to its end."""
        if partial.state == "completed":
            return True
        if partial.state != "open":
            raise NotFound("A partial upload of this file was ended before it was joined.")
        if not is_whole(partial):
            return False
        try:
            async with self._leases.hold(partial.id) as hold:
                return await self._threads.store(finish_source, self._ports, partial.id, hold.token)
        except SourceLost:
            raise
        except Conflict:
            return False  # somebody writes to it, or just finished it: then we are called again

    async def _copy(self, final: Upload, sizes: list[int], partials: tuple[Upload, ...], hold: Hold) -> None:
        catalogue, total = self._ports.catalogue, sum(sizes)
        if self._max_bytes is not None and total > self._max_bytes:
            raise TooLarge("These uploads are larger together than what is accepted here.", max_bytes=self._max_bytes)
        if final.length_bytes is None:
            await self._threads.catalogue(catalogue.set_upload_length, final.id, hold.token, total)
        if total == 0:
            return
        multipart_id = final.multipart_id
        if multipart_id is None:
            multipart_id = await self._threads.store(self._ports.blobs.begin_multipart, final.source_key)
            await self._threads.catalogue(catalogue.begin_source, final.id, hold.token, multipart_id)
        offset, stored = final.offset_bytes, len(final.parts)
        for batch in _batches(self._plan(sizes, offset, stored)):
            if hold.stopped is not None:
                raise Conflict("This join was asked to let go; it goes on later.")
            copies: list[Awaitable[StoredPart]] = [
                self._threads.store(self._make_part, final, multipart_id, stored + index, part, partials)
                for index, part in enumerate(batch, start=1)
            ]
            parts = await _all_of(copies)
            offset, stored = offset + sum(part.size_bytes for part in parts), stored + len(parts)
            await self._threads.catalogue(
                catalogue.record_progress, final.id, hold.token, offset_bytes=offset, new_parts=parts, tail=None
            )

    def _plan(self, sizes: list[int], offset: int, stored: int) -> list[JoinPart]:
        blobs = self._ports.blobs
        half = max(1, blobs.max_parts // 2)  # the other half is for where two uploads meet
        wanted = max(COPY_BYTES, blobs.min_part_bytes, -(-sum(sizes) // half))
        copy_bytes = min(blobs.max_copy_bytes, wanted)
        parts = list(plan_join(sizes, start=offset, min_part_bytes=blobs.min_part_bytes, copy_bytes=copy_bytes))
        if stored + len(parts) > blobs.max_parts:
            raise TooLarge("These uploads are too many parts for the store to join.", parts=stored + len(parts))
        return parts

    def _make_part(
        self, final: Upload, multipart_id: str, number: int, part: JoinPart, partials: tuple[Upload, ...]
    ) -> StoredPart:
        """Blocks. Raises `SourceLost` for a partial object that is not as it was recorded."""
        blobs = self._ports.blobs
        try:
            if len(part.ranges) == 1:
                (only,) = part.ranges
                key = partials[only.index].source_key
                return blobs.copy_part(final.source_key, multipart_id, number, key, only.start, only.stop)
            data = b"".join(
                blobs.get_range(partials[each.index].source_key, each.start, each.stop) for each in part.ranges
            )
            if len(data) != part.size_bytes:
                raise SourceLost
            return blobs.put_part(final.source_key, multipart_id, number, data)
        except (NotFound, Rejected) as error:
            raise SourceLost from error

    def _refuse(self, final: Upload, error: FishladderError) -> None:
        self._ports.catalogue.refuse_upload(final.id, error.code, error.sentence)
        drop_bytes(self._ports.blobs, self._ports.catalogue.upload(final.id))


async def _all_of(copies: list[Awaitable[StoredPart]]) -> tuple[StoredPart, ...]:
    """Their results. When one fails the others end first: nothing is left running behind our back."""
    results = await asyncio.gather(*copies, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return tuple(result for result in results if isinstance(result, StoredPart))


def _batches(parts: list[JoinPart]) -> Iterator[list[JoinPart]]:
    rest = iter(parts)
    while batch := list(islice(rest, COPIES_AT_ONCE)):
        yield batch
