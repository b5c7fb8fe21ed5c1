"""Views cannot be made up: what one address may tell is bounded, and who may not play a video has nothing to say of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from origin.app import create_app
from origin.gate import FairShare, SessionGate
from origin.ports import OriginPorts
from storage.catalogue.sql import SqlCatalogue
from storage.grants import KeyRing, PlaybackGrant, Visibility, sign_grant
from storage.ids import VideoId

if TYPE_CHECKING:
    from tests.unit.origin.conftest import World

VIDEO = VideoId("0123456789abcdef")
KEYS = KeyRing.parse(("k:" + "44" * 32,))


@asynccontextmanager
async def lived(world: World, catalogue: SqlCatalogue) -> AsyncIterator[httpx.AsyncClient]:
    """An origin that writes what was reported when it ends. Who asks is a proxy that it believes."""
    settings = replace(
        world.settings,
        trusted_proxies=("10.0.0.1",),
        report_interval_s=3600,
        sessions_per_address=5,
        playback_keys=KEYS,
    )
    app = create_app(settings, OriginPorts(catalogue=world.catalogue, blobs=world.blobs, plays=catalogue))
    incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def send(message: object) -> None:
        pass

    life = asyncio.ensure_future(app({"type": "lifespan"}, incoming.get, send))
    await incoming.put({"type": "lifespan.startup"})
    transport = httpx.ASGITransport(app, client=("10.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://origin") as client:
        yield client
        await incoming.put({"type": "lifespan.shutdown"})
        await asyncio.wait_for(life, 60)


async def report(client: httpx.AsyncClient, session: str, address: str, token: str = "") -> None:
    prefix = f"/t/{token}" if token else ""
    told = await client.post(
        f"{prefix}/v/{VIDEO}/cmcd", content=f'sid="{session}",v=2,e=ps,sta=p,ts=1', headers={"x-forwarded-for": address}
    )
    assert (told.status_code, told.content) == (204, b"")


@pytest.mark.anyio
async def test_an_address_begins_only_so_many_sessions(world: World) -> None:
    catalogue = SqlCatalogue.in_memory()
    async with lived(world, catalogue) as client:
        for number in range(40):
            await report(client, f"made-up-{number}", "192.0.2.1")
        for _ in range(3):
            await report(client, "made-up-0", "192.0.2.1")  # one that began goes on
            await report(client, "another", "192.0.2.2")
    assert {play.session for play in catalogue.plays(VIDEO)} == {
        *(f"made-up-{number}" for number in range(5)),
        "another",
    }
    assert catalogue.views(VIDEO) == 6
    catalogue.close()


@pytest.mark.anyio
async def test_only_who_may_play_a_video_tells_of_it(world: World) -> None:
    world.catalogue.visible = Visibility.SIGNED
    catalogue = SqlCatalogue.in_memory()
    token = sign_grant(PlaybackGrant(video=VIDEO, expires_at_s=4_000_000_000), KEYS)
    async with lived(world, catalogue) as client:
        await report(client, "without", "192.0.2.1")
        await report(client, "foreign", "192.0.2.1", "nonsense")
        await report(client, "with", "192.0.2.1", token)
    assert [play.session for play in catalogue.plays(VIDEO)] == ["with"]
    catalogue.close()


@pytest.mark.anyio
async def test_what_players_report_is_in_the_metrics(world: World) -> None:
    catalogue = SqlCatalogue.in_memory()
    reports = (
        'sid="x",v=2,msd=400,sta=p,ts=1000',
        'sid="x",v=2,bsd=(100 50),sta=p,ts=3000',
        'sid="x",v=2,e=e,ec="404"',
    )
    world.settings = replace(world.settings, report_interval_s=0.01)
    app = create_app(world.settings, OriginPorts(catalogue=world.catalogue, blobs=world.blobs, plays=catalogue))
    incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def send(message: object) -> None:
        pass

    life = asyncio.ensure_future(app({"type": "lifespan"}, incoming.get, send))
    await incoming.put({"type": "lifespan.startup"})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://origin") as client:
        await client.post(f"/v/{VIDEO}/cmcd", content="\n".join(reports))

        async def until_written() -> str:
            while "fishladder_origin_plays_total 1.0" not in (text := (await client.get("/metrics")).text):
                await asyncio.sleep(0.01)
            return text

        text = await asyncio.wait_for(until_written(), 60)
    await incoming.put({"type": "lifespan.shutdown"})
    await asyncio.wait_for(life, 60)
    told = dict(re.findall(r"^fishladder_origin_(\S+) (\S+)$", text, re.MULTILINE))
    assert {
        name: float(told[name]) for name in ("play_stalls_total", "play_stalled_ms_total", "play_failures_total")
    } == {
        "play_stalls_total": 2,
        "play_stalled_ms_total": 150,
        "play_failures_total": 1,
    }
    assert (told['startup_seconds_bucket{le="0.5"}'], told['startup_seconds_bucket{le="0.25"}']) == ("1.0", "0.0")
    assert float(told["startup_seconds_sum"]) == 0.4
    catalogue.close()


def test_a_gate_opens_again_after_an_hour() -> None:
    now = [0.0]
    gate = SessionGate(2, lambda: now[0])
    assert [gate.admits("a", "v") for _ in range(3)] == [True, True, False]
    assert gate.admits("a", "w")
    assert gate.admits("b", "v")
    now[0] = 3600.0
    assert gate.admits("a", "v")


def test_nobody_fills_a_queue_alone() -> None:
    share = FairShare(2)
    assert [share.takes("a") for _ in range(3)] == [True, True, False]
    assert share.takes("b")
    share.done("a")
    assert share.takes("a")
