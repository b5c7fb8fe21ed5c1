"""Imports in process, from a web server that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from fastapi import FastAPI

from storage.ids import VideoId
from storage.keys import source_key
from storage.lifecycle import VideoState
from storage.media.sniffing import HEAD_BYTES
from tests.file_server import FileServer, serving
from tests.uploads import RecordingBell, Reply, ask, small_settings
from tests.uploads import run_long as run
from upload_api.app import Ports, create_app
from upload_api.imports import fetching
from upload_api.imports.importer import MAX_TRIES

PACE = fetching.Pace(least_bytes=30, window_s=9.0)
FILM = bytes(range(256)) * 8
SETTLED = (VideoState.INSPECTING, VideoState.REJECTED, VideoState.DELETED)


def an_app(ports: Ports, **changes: Any) -> FastAPI:
    values = {"import_networks": ("127.0.0.1/32",), "import_retry_s": 0.01, "import_poll_s": 0.0} | changes
    return create_app(small_settings(**values), ports)


async def bring(app: FastAPI, url: str, **more: str) -> Reply:
    content = json.dumps({"source_url": url} | more).encode()
    return await ask(app, "POST", "/api/v1/videos", {"content-type": "application/json"}, content, tus=False)


async def settled(app: FastAPI, ports: Ports, video: str) -> Any:
    """The video once its import has ended, with somebody looking for imports that wait as `Importer.rounds` does."""
    while (found := ports.catalogue.video(VideoId(video))).state not in SETTLED:
        await app.state.importer.look()
        await asyncio.sleep(0.01)
    await app.state.importer.settle()
    return found


async def imported(app: FastAPI, ports: Ports, files: FileServer) -> Any:
    reply = await bring(app, files.url())
    assert reply.status == 202, reply
    return await settled(app, ports, cast(str, json.loads(reply.content)["id"]))


def test_an_import_is_answered_at_once_and_becomes_a_video(ports: Ports) -> None:
    async def test() -> None:
        app = an_app(ports)
        async with serving(FileServer(FILM)) as files:
            reply = await bring(app, files.url(), title="Mine", priority="bulk")
            assert reply.status == 202
            video = json.loads(reply.content)
            assert video["state"] == "uploading"
            assert (video["title"], video["filename"], video["lane"]) == ("Mine", "My film.mp4", "bulk")
            assert reply.fields["fishladder-video"] == video["id"]
            assert reply.fields["location"] == f"http://fish.test/api/v1/videos/{video['id']}"
            found = await settled(app, ports, video["id"])
            assert (found.state, found.received_bytes, found.source_bytes) == ("inspecting", len(FILM), len(FILM))
            assert ports.blobs.get(source_key(found.id)) == FILM
            assert cast(RecordingBell, ports.bell).rung
            assert files.asked[0]["accept-encoding"] == "identity"
            assert files.asked[0][":path"] == "/films/My%20film.mp4?token=secret"

    run(test())


def test_an_import_tells_how_far_it_is(ports: Ports) -> None:
    async def test() -> None:
        app = an_app(ports)
        async with serving(FileServer(FILM)) as files:
            video = await imported(app, ports, files)
        told = [event.data for event in ports.catalogue.events_after(0) if event.kind == "uploaded_bytes"]
        assert told[-1] == {"received_bytes": len(FILM), "source_bytes": len(FILM)}
        assert video.received_bytes == len(FILM)

    run(test())


def test_the_address_is_forgotten_when_the_import_ends(ports: Ports) -> None:
    async def test() -> None:
        app = an_app(ports)
        async with serving(FileServer(FILM)) as files:
            await imported(app, ports, files)
        await app.state.importer.look()
        assert ports.catalogue.forget_ended_imports() == 0
        assert ports.catalogue.due_imports(10) == ()

    run(test())


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_an_import_that_breaks_off_goes_on_where_it_stood(ports: Ports, chunked: bool, ranges: bool) -> None:
    async def test() -> None:
        app = an_app(ports)
        cuts = [300, 300, 0, 700] if ranges else [300, 900, 200, 2000]
        async with serving(FileServer(FILM, cuts=cuts, chunked=chunked, ranges=ranges)) as files:
            video = await imported(app, ports, files)
        assert video.state == "inspecting", video
        assert ports.blobs.get(source_key(video.id)) == FILM
        assert len(files.asked) == 5
        assert files.asked[1]["range"] == "bytes=300-"
        assert files.asked[1]["if-range"] == '"one"'

    run(test())


def test_a_file_that_changes_between_two_answers_is_refused(ports: Ports) -> None:
    def change(files: FileServer) -> None:
        if len(files.asked) == 2:
            files.etag, files.content = '"two"', FILM[::-1]

    async def test() -> None:
        app = an_app(ports)
        async with serving(FileServer(FILM, cuts=[300], before_answer=change)) as files:
            video = await imported(app, ports, files)
        assert (video.state, video.reason_code) == ("rejected", "import_changed")

    run(test())


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (FileServer(FILM, status=404), "import_missing"),
        (FileServer(FILM, status=403), "import_denied"),
        (FileServer(FILM, status=204), "import_answer"),
        (FileServer(FILM, fields={"Content-Encoding": "gzip"}), "import_answer"),
        (FileServer(FILM, status=503), "import_unreachable"),
        (FileServer(FILM * 3), "too_large"),
        (FileServer(FILM * 3, chunked=True), "too_large"),
        (FileServer(b""), "empty"),
    ],
    ids=["404", "403", "204", "gzip", "503 for ever", "too large", "too large, chunked", "empty"],
)
def test_an_import_that_cannot_be_says_why(ports: Ports, files: FileServer, code: str) -> None:
    async def test() -> None:
        app = an_app(ports, max_upload_bytes=5_000, import_retry_s=0.0)
        async with serving(files):
            video = await imported(app, ports, files)
        assert (video.state, video.reason_code) == ("rejected", code)
        assert video.reason
        assert list(ports.blobs.list("sources/")) == []
        assert list(ports.blobs.list_multiparts("sources/")) == []

    run(test())


def test_a_web_page_is_no_video_and_the_rest_of_it_is_not_fetched(ports: Ports) -> None:
    async def test() -> None:
        app = an_app(ports, base_part_bytes=HEAD_BYTES)
        async with serving(FileServer(b"<!doctype html><title>Sign in</title>" * 40_000)) as files:
            video = await imported(app, ports, files)
        assert (video.state, video.reason_code) == ("rejected", "not_media")
        assert len(files.asked) == 1

    run(test())


def test_a_silent_address_is_let_go_and_asked_again(ports: Ports) -> None:
    async def test() -> None:
        app = an_app(ports, idle_timeout_s=0.2)
        async with serving(FileServer(FILM, cuts=[500], stall=True)) as files:
            video = await imported(app, ports, files)
        assert video.state == "inspecting"
        assert ports.blobs.get(source_key(video.id)) == FILM

    run(test())


def trickling(asked: list[int]) -> Any:
    """A web server that never ends, one byte at a time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()

    return serve


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({"import_max_age_ms": 500}, 1),
        ({"import_window_s": 0.05, "import_least_bytes": 100_000, "import_retry_s": 0.0}, MAX_TRIES + 1),
    ],
    ids=["age", "pace"],
)
def test_an_address_that_trickles_is_let_go(ports: Ports, changes: dict[str, Any], answers: int) -> None:
    async def test() -> None:
        asked: list[int] = []
        app = an_app(ports, imports_at_once=1, **changes)
        server = await asyncio.start_server(trickling(asked), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/film.mp4"
        video = await settled(app, ports, json.loads((await bring(app, url)).content)["id"])
        server.close()
        assert (video.state, video.reason_code) == ("rejected", "import_too_slow")
        assert len(asked) == answers
        assert list(ports.blobs.list_multiparts("sources/")) == []
        async with serving(FileServer(FILM)) as files:  # its place is free
            assert (await imported(an_app(ports, imports_at_once=1), ports, files)).state == "inspecting"

    run(test())


def test_only_waiting_counts_against_a_pace() -> None:
    now = 0.0

    async def pieces(waits_s: tuple[float, ...]) -> AsyncIterator[bytes]:
        nonlocal now
        for wait_s in waits_s:
            now += wait_s
            yield b"x" * 10

    async def test() -> None:
        nonlocal now
        quick = fetching.Arriving(pieces((3,) * 9), PACE, lambda: now)
        while not quick.ended:
            await quick.read()
            now += 1000  # our store
            assert not quick.trickles
        slow = fetching.Arriving(pieces((3, 3, 3, 5, 5)), PACE, lambda: now)
        for trickles in (False, False, False, False, True):
            assert len(await slow.read()) == 10
            assert (slow.trickles, slow.disconnected) == (trickles, trickles)

    run(test())


def test_a_redirect_is_followed(ports: Ports) -> None:
    async def test() -> None:
        app = an_app(ports)
        async with serving(FileServer(FILM, redirects=["/elsewhere", "there?x=1"])) as files:
            video = await imported(app, ports, files)
        assert video.state == "inspecting"
        assert [asked[":path"] for asked in files.asked[1:]] == ["/elsewhere", "/there?x=1"]

    run(test())


@pytest.mark.parametrize(
    ("leads", "code"),
    [
        ("http://127.0.0.2:{port}/", "import_forbidden"),
        ("http://169.254.169.254/latest/meta-data/", "import_forbidden"),
        ("http://[::1]:{port}/", "import_forbidden"),
        ("http://2130706434:{port}/", "import_forbidden"),  # 127.0.0.2 as one number
        ("file:///etc/passwd", "import_address"),
    ],
)
def test_no_redirect_leads_into_private_space(ports: Ports, leads: str, code: str) -> None:
    async def test() -> None:
        app = an_app(ports)
        files = FileServer(FILM)
        async with serving(files):
            files.redirects = [leads.format(port=files.port)]
            video = await imported(app, ports, files)
        assert (video.state, video.reason_code) == ("rejected", code)
        assert len(files.asked) == 1

    run(test())


def test_endless_redirects_end(ports: Ports) -> None:
    async def test() -> None:
        app = an_app(ports)
        async with serving(FileServer(FILM, redirects=["/again"] * 50)) as files:
            video = await imported(app, ports, files)
        assert (video.state, video.reason_code) == ("rejected", "import_redirects")
        assert len(files.asked) == fetching.MAX_REDIRECTS + 1

    run(test())


def test_the_address_that_was_judged_is_the_one_that_is_connected_to() -> None:
    """A name server that gives a public address to whoever looks first, and a private one to whoever looks next."""
    answers = ["127.0.0.1", "127.0.0.2"]
    resolved: list[str] = []

    async def rebinding(host: str, port: int) -> tuple[fetching.Address, ...]:
        resolved.append(host)
        return (ipaddress.ip_address(answers[min(len(resolved), len(answers)) - 1]),)

    async def test() -> None:
        fetcher = fetching.Fetcher((ipaddress.ip_network("127.0.0.1/32"),), rebinding, pace=PACE)
        async with serving(FileServer(FILM)) as files:
            async with fetcher.open(files.url("films.example"), start=0, validator=None) as (opening, arriving):
                content = b""
                while not arriving.ended:
                    content += await arriving.read()
            assert (content, opening.length_bytes) == (FILM, len(FILM))
            assert resolved == ["films.example"]
            assert files.asked[0]["host"] == f"films.example:{files.port}"
            with pytest.raises(fetching.ImportRefused):
                async with fetcher.open(files.url("films.example"), start=0, validator=None):
                    pass
            assert len(files.asked) == 1

    run(test())


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"source_url": "http://127.0.0.2/film.mp4"}, 422, "import_refused"),
        ({"source_url": "http://169.254.169.254/"}, 422, "import_refused"),
        ({"source_url": "ftp://example.org/film.mp4"}, 422, "import_refused"),
        ({"source_url": "http://example.org/", "priority": "playable"}, 400, "invalid_request"),
        ({"source_url": "http://example.org/", "colour": "red"}, 400, "invalid_request"),
        ({}, 400, "invalid_request"),
        ([], 400, "invalid_request"),
    ],
)
def test_what_cannot_be_imported_makes_no_video(ports: Ports, body: Any, status: int, code: str) -> None:
    async def test() -> None:
        fields = {"content-type": "application/json"}
        reply = await ask(an_app(ports), "POST", "/api/v1/videos", fields, json.dumps(body).encode(), tus=False)
        assert (reply.status, reply.problem["code"]) == (status, code)
        assert ports.catalogue.last_event_id() == 0

    run(test())


def test_deleting_the_video_ends_its_import(ports: Ports) -> None:
    async def test() -> None:
        app = an_app(ports)
        async with serving(FileServer(FILM, cuts=[500], stall=True)) as files:
            video = json.loads((await bring(app, files.url())).content)["id"]
            while ports.catalogue.video(VideoId(video)).received_bytes < 448:
                await asyncio.sleep(0.01)
            assert (await ask(app, "DELETE", f"/api/v1/videos/{video}", tus=False)).status == 204
            await app.state.importer.settle()
        assert ports.catalogue.video(VideoId(video)).state == "deleted"
        assert ports.catalogue.forget_ended_imports() == 1
        assert len(files.asked) == 1

    run(test())


def test_more_imports_than_may_run_wait_their_turn(ports: Ports) -> None:
    async def test() -> None:
        app = an_app(ports, imports_at_once=1)
        async with serving(FileServer(FILM)) as files:
            videos = [json.loads((await bring(app, files.url())).content)["id"] for _ in range(3)]
            states = [(await settled(app, ports, video)).state for video in videos]
        assert states == ["inspecting"] * 3

    run(test())
