"""However a file is cut into requests, pieces, broken connections, drains and takeovers: the same bytes, and an offset
that never goes down."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp

from storage.ids import UploadId, VideoId
from storage.keys import source_key
from storage.lifecycle import VideoState
from tests.uploads import Sending, ask, create, memory_ports, offset_of, patch, small_app
from upload_api.app import Ports


@dataclass(frozen=True)
class Attempt:
    """One PATCH of ``size`` bytes in pieces of ``piece``, ending in one of the ways in which requests end."""

    size: int
    piece: int
    ending: str
    new_process: bool


ATTEMPTS = st.builds(
    Attempt,
    size=st.integers(0, 400),
    piece=st.sampled_from([1, 7, 63, 64, 65, 200]),
    ending=st.sampled_from(["whole", "chunked", "breaks", "idle", "cancelled"]),
    new_process=st.booleans(),
)


@given(
    length=st.integers(1, 700),
    deferred=st.booleans(),
    part_bytes=st.sampled_from([16, 64, 100]),
    attempts=st.lists(ATTEMPTS, max_size=8),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_slicing_ends_in_the_same_bytes(
    length: int, deferred: bool, part_bytes: int, attempts: list[Attempt], seed: int
) -> None:
    film = random.Random(seed).randbytes(length)
    asyncio.run(_upload(memory_ports(), film, deferred, part_bytes, attempts))


async def _upload(ports: Ports, film: bytes, deferred: bool, part_bytes: int, attempts: list[Attempt]) -> None:
    def process() -> ASGIApp:
        return small_app(ports, base_part_bytes=part_bytes, idle_timeout_s=0.02, lease_beat_s=0.01)

    app = process()
    created = await create(app, None if deferred else len(film))
    url, video = created.fields["location"], VideoId(created.fields["fishladder-video"])
    upload = UploadId(url.rpartition("/")[2])
    known, highest = 0, 0
    for attempt in attempts:
        if attempt.new_process:
            app = process()
        body = film[known : known + attempt.size]
        await _attempt(app, url, known, body, attempt)
        durable = ports.catalogue.upload(upload).offset_bytes
        assert durable >= highest
        highest = durable
        known = await offset_of(app, url)
        assert known >= highest
        if attempt.ending in ("whole", "chunked", "breaks"):
            assert known == min(len(film), known)
            assert known >= durable
    assert all(part.size_bytes >= part_bytes for part in ports.catalogue.upload(upload).parts[:-1])
    last = await patch(app, url, known, film[known:], upload_length=str(len(film)))
    assert last.status == 204
    assert ports.blobs.get(source_key(video)) == film
    assert ports.catalogue.video(video).state is VideoState.INSPECTING
    assert len(ports.catalogue.jobs(video=video)) == 1
    assert [blob.key for blob in ports.blobs.list("")] == [source_key(video)]


async def _attempt(app: ASGIApp, url: str, offset: int, body: bytes, attempt: Attempt) -> None:
    pieces = [body[start : start + attempt.piece] for start in range(0, len(body), attempt.piece)]
    match attempt.ending:
        case "whole":
            reply = await patch(app, url, offset, body)
            assert (reply.status, reply.fields["upload-offset"]) == (204, str(offset + len(body)))
        case "chunked":
            reply = await patch(app, url, offset, Sending(pieces))
            assert (reply.status, reply.fields["upload-offset"]) == (204, str(offset + len(body)))
        case "breaks":
            await patch(app, url, offset, Sending(pieces, breaks=True))
            head = await ask(app, "HEAD", url)
            assert head.fields["upload-offset"] == str(offset + len(body))
        case "idle":
            await patch(app, url, offset, Sending(pieces, hold=asyncio.Event()))
        case _:
            sending = Sending(pieces, hold=asyncio.Event())
            running = asyncio.create_task(patch(app, url, offset, sending))
            await sending.started.wait()
            running.cancel()
            await asyncio.wait({running})
