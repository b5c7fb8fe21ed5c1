"""What players report, read and folded: CMCD in all its forms, sessions, and the page about them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from origin.app import create_app
from origin.cmcd import as_record, parse_events, parse_fields, parse_headers, parse_query
from origin.plays_page import percentile, render_page
from origin.ports import OriginPorts
from origin.sessions import Report, Sessions, summed
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.engine import open_engine
from storage.catalogue.sql.schema import create_schema
from storage.grants import KeyRing, PlaybackGrant, sign_grant
from storage.ids import VideoId
from storage.plays import Heard, Play
from tests.unit.origin.conftest import VIDEO, World

V1 = 'bl=21300,br=3200,bs,cid="faec5fc2",d=4004,dl=18500,mtp=48100,nor="..%2F300kbps%2Ftrack.m4v",ot=v,sf=h,sid="6e2fb550",st=v,tb=6000'
V2 = 'br=(85 4000;v),bsd=(120 80),cid="c1",d=4000,msd=431,mtp=(500),ot=v,pt=12345,sf=h,sid="s-1",sn=1,sta=p,su,ts=1700000000000,v=2'


def test_version_1_is_read() -> None:
    told = parse_query("a=b&CMCD=" + quote(V1))
    assert told is not None
    assert as_record(told) == {
        "version": 1,
        "session": "6e2fb550",
        "content": "faec5fc2",
        "object_type": "v",
        "br_kbps": 3200,
        "d_ms": 4004,
        "starved": True,
        "mtp_kbps": 48100,
    }
    assert told.known["nor"] == ("..%2F300kbps%2Ftrack.m4v",)


def test_version_2_is_read() -> None:
    (told,) = parse_events(V2)
    assert as_record(told) == {
        "version": 2,
        "session": "s-1",
        "content": "c1",
        "object_type": "v",
        "state": "p",
        "br_kbps": 4000,
        "d_ms": 4000,
        "bsd_ms": (120, 80),
        "msd_ms": 431,
        "pt_ms": 12345,
        "ts_ms": 1700000000000,
        "mtp_kbps": 500,
    }


def test_headers_say_it_together() -> None:
    told = parse_headers(
        [(b"cmcd-object", b"br=100,d=4000,ot=v"), (b"cmcd-session", b'sid="x"'), (b"range", b"bytes=0-")]
    )
    assert told is not None
    assert (told.br_kbps, told.session) == (100, "x")
    assert parse_headers([(b"range", b"bytes=0-")]) is None


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("", {}),
        ("=1", {}),
        ('sid="never closed', {}),
        ("br=(1 2", {}),
        ("br=1,UPPER=2,d=3", {"br": (1.0,)}),
        ("bs=?0,su", {"bs": (False,), "su": (True,)}),
        ('sid="a\\"b\\\\c"', {"sid": ('a"b\\c',)}),
        ("com.example-own=1;x=y,br=2", {"com.example-own": (1.0,), "br": (2.0,)}),
    ],
)
def test_what_cannot_be_read_ends_the_reading(text: str, known: object) -> None:
    assert parse_fields(text) == known


@given(st.text(max_size=300))
def test_no_text_of_a_player_breaks_anything(text: str) -> None:
    sessions = Sessions()
    for told in (*parse_events(text), parse_query(f"CMCD={text}"), parse_query("CMCD=sid%3D%22x%22%2C" + quote(text))):
        if told is not None:
            sessions.hear(Report(video=VIDEO, at_ms=1, sent_bytes=0, cmcd=told))


def heard(*texts: str) -> Heard:
    sessions = Sessions()
    reports = [
        Report(video=VIDEO, at_ms=at, sent_bytes=10, cmcd=told)
        for at, text in enumerate(texts)
        for told in parse_events(text)
    ]
    (one,) = summed([what for report in reports if (what := sessions.hear(report)) is not None])
    return one


def test_a_play_of_version_1_is_counted_by_its_requests() -> None:
    play = heard(*('sid="x",ot=v,d=4000,br=1000', 'sid="x",ot=v,d=4000,br=3000,bs', 'sid="x",ot=a,d=4000,br=128'))
    assert (play.media_ms, play.weighted_kbps_ms, play.switches, play.stalls, play.requests) == (
        8000,
        16_000_000,
        1,
        1,
        3,
    )
    assert play.position_ms == 8000


def test_start_and_stalls_are_told_by_durations() -> None:
    play = heard(
        'sid="x",v=2,msd=400,sta=p,ts=1000', 'sid="x",v=2,bsd=(100 50),sta=p,ts=3000,pt=9000', 'sid="x",v=2,msd=400'
    )
    assert (play.startup_ms, play.stalls, play.stalled_ms, play.position_ms) == (400, 2, 150, 9000)


def test_or_by_changes_of_state() -> None:
    events = [("s", 1000), ("p", 1600), ("r", 5000), ("r", 5100), ("p", 5700), ("a", 6000), ("p", 9000), ("e", 9900)]
    play = heard(*(f'sid="x",e=ps,v=2,sta={state},ts={ts}' for state, ts in events))
    assert (play.startup_ms, play.stalls, play.stalled_ms, play.failures) == (600, 1, 700, 0)


def test_a_stall_is_one_though_the_next_request_says_it_too() -> None:
    events = [("s", 1000), ("r", 1100), ("p", 1600), ("r", 5000), ("p", 5700)]
    told = [f'sid="x",e=ps,v=2,sta={state},ts={ts}' for state, ts in events]
    play = heard(*told, 'sid="x",v=2,ot=v,d=4000,br=1000,bs')
    assert (play.startup_ms, play.stalls, play.stalled_ms) == (600, 1, 700)


def test_changes_of_state_are_believed_before_durations() -> None:
    """As dash.js tells it: of its start as of a stall, and of the delay as something else."""
    play = heard(
        'sid="x",e=ps,v=2,sta=s,ts=1000',
        'sid="x",e=ps,v=2,sta=r,ts=1600,msd=2',
        'sid="x",v=2,ot=v,d=4000,br=697,bsd=(378)',
        'sid="x",e=ps,v=2,sta=p,ts=2000',
        'sid="x",e=ps,v=2,sta=r,ts=6000',
        'sid="x",e=ps,v=2,sta=p,ts=7900',
        'sid="x",v=2,ot=a,d=4000,br=130,bs',
        'sid="x",v=2,ot=v,d=4000,br=697,bsd=(1900)',
    )
    assert (play.startup_ms, play.stalls, play.stalled_ms) == (1000, 1, 1900)


def test_durations_count_once_though_a_request_says_that_it_ran_dry() -> None:
    play = heard('sid="x",v=2,ot=v,d=4000,br=697,bsd=(1900)', 'sid="x",v=2,ot=a,d=4000,br=130,bs')
    assert (play.stalls, play.stalled_ms) == (1, 1900)


def test_a_failure_is_one() -> None:
    assert heard('sid="x",v=2,e=e,ec="404"').failures == 1


# --- from requests to the store --------------------------------------------------------------------------------------


async def until_viewed(catalogue: SqlCatalogue, views: int) -> None:
    while catalogue.views(VIDEO) < views:
        await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_reports_of_all_modes_become_plays_and_views_that_stay(world: World) -> None:
    catalogue = SqlCatalogue.in_memory()
    keys = KeyRing.parse(("k:" + "33" * 32,))
    world.settings = replace(world.settings, report_interval_s=0.01, playback_keys=keys)
    path = world.store_segment(b"x" * 1000)
    incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def send(message: object) -> None:
        pass

    app = create_app(world.settings, OriginPorts(catalogue=world.catalogue, blobs=world.blobs, plays=catalogue))

    life = asyncio.ensure_future(app({"type": "lifespan"}, incoming.get, send))
    await incoming.put({"type": "lifespan.startup"})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://origin") as client:
        for _ in range(3):  # cold and hot
            await client.get(f"/v/{VIDEO}/{path}?CMCD=" + quote('sid="q",ot=v,d=4000,br=1000'))
        await client.get(f"/v/{VIDEO}/{path}", headers={"CMCD-Session": 'sid="h"', "CMCD-Object": "ot=v,d=4000,br=500"})
        for video in (VIDEO, "zzzzzzzzzzzzzzzz"):
            posted = await client.post(f"/v/{video}/cmcd", content=f'sid="e",v=2,msd=250,e=ps\n{V2}\n')
            assert (posted.status_code, posted.content) == (204, b"")
        await asyncio.wait_for(until_viewed(catalogue, 4), 10)
        page = await client.get(
            f"/plays/{VIDEO}?token={sign_grant(PlaybackGrant(video=VIDEO, expires_at_s=4_000_000_000, scope='plays'), keys)}"
        )
        assert page.status_code == 200
        assert "<dd>4</dd>" in page.text
        for token in ("", sign_grant(PlaybackGrant(video=VIDEO, expires_at_s=4_000_000_000), keys)):
            assert (await client.get(f"/plays/{VIDEO}?token={token}")).status_code == 403
        big = await client.post(f"/v/{VIDEO}/cmcd", content=b"x" * 70_000)
        assert big.status_code == 413
    await incoming.put({"type": "lifespan.shutdown"})
    await asyncio.wait_for(life, 10)
    plays = {play.session: play for play in catalogue.plays(VIDEO)}
    assert set(plays) == {"q", "h", "e", "s-1"}
    assert (plays["q"].requests, plays["q"].media_ms, plays["q"].mean_kbps) == (3, 12_000, 1000)
    assert (plays["e"].startup_ms, plays["s-1"].position_ms) == (250, 12345)
    assert catalogue.plays(VideoId("zzzzzzzzzzzzzzzz")) == ()
    assert catalogue.forget_plays(4_000_000_000_000) == 4
    assert (catalogue.plays(VIDEO), catalogue.views(VIDEO)) == ((), 4)
    catalogue.close()


@pytest.mark.anyio
async def test_views_are_still_counted_after_restarts(world: World, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    create_schema(open_engine(url))
    path = world.store_segment(b"x" * 1000)

    async def send(message: object) -> None:
        pass

    for run in range(3):
        catalogue = SqlCatalogue.open(url)
        app = create_app(world.settings, OriginPorts(catalogue=world.catalogue, blobs=world.blobs, plays=catalogue))
        incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        life = asyncio.ensure_future(app({"type": "lifespan"}, incoming.get, send))
        await incoming.put({"type": "lifespan.startup"})
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://origin") as client:
            for session in ("one that goes on", f"of run {run}"):
                await client.get(f"/v/{VIDEO}/{path}?CMCD=" + quote(f'sid="{session}",ot=v,d=4000'))
        # What was reported just now is written before the end.
        await incoming.put({"type": "lifespan.shutdown"})
        await asyncio.wait_for(life, 60)
        catalogue.close()
    catalogue = SqlCatalogue.open(url)
    assert catalogue.views(VIDEO) == 4
    assert {play.session: play.requests for play in catalogue.plays(VIDEO)}["one that goes on"] == 3
    catalogue.close()


def a_play(**changes: object) -> Play:
    values = {
        "video": VIDEO,
        "session": "s",
        "started_at_ms": 1_700_000_000_000,
        "updated_at_ms": 1_700_000_100_000,
        "startup_ms": 800,
        "stalls": 1,
        "stalled_ms": 500,
        "media_ms": 99_500,
        "weighted_kbps_ms": 199_000_000,
        "switches": 2,
        "failures": 0,
        "position_ms": 60_000,
        "requests": 30,
        "sent_bytes": 10**7,
    }
    return Play(**(values | changes))  # type: ignore[arg-type]


def test_the_page_says_what_was_measured() -> None:
    page = render_page("<video>", 12_345, [a_play(startup_ms=ms) for ms in (500, 1000, 3000)], 90)
    assert "<video>" not in page.replace("<title>", "")
    for fact in ("12,345", "1.00 s", "3.00 s", "0.50%"):
        assert fact in page
    assert page.count("<svg") == 5


def test_the_page_of_a_video_that_nobody_played_is_one() -> None:
    assert "No player has reported a play yet." in render_page(VIDEO, 0, [], 90)
    assert render_page(VIDEO, 1, [a_play(startup_ms=None, position_ms=0, media_ms=0, weighted_kbps_ms=0)], 90)


@pytest.mark.parametrize(("share", "expected"), [(50, 2), (95, 4), (100, 4), (1, 1)])
def test_percentiles_are_values_that_were_seen(share: int, expected: int) -> None:
    assert percentile([1, 2, 3, 4], share) == expected
