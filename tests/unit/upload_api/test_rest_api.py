"""REST, events and operations, in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from storage.catalogue.sql import SqlCatalogue
from storage.errors import CatalogueUnavailable
from storage.ids import VideoId
from storage.jobs import JobKind
from tests.builders import a_new_upload, a_note, a_published, a_published_name, an_encoded, an_inspected
from tests.journeys import a_playable_video, a_ready_video, an_encoding_video, an_uploaded_video, do
from tests.uploads import RecordingBell, create, patch, run, small_app
from upload_api.app import Ports
from upload_api.drain import Drain
from upload_api.events import EventFeed
from upload_api.metrics import Metrics
from upload_api.threads import Threads


def client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://fish.test")


def get(ports: Ports, path: str, **kwargs: Any) -> httpx.Response:
    return call(ports, "GET", path, **kwargs)


def call(
    ports: Ports, method: str, path: str, *, settings: dict[str, Any] | None = None, **kwargs: Any
) -> httpx.Response:
    async def once() -> httpx.Response:
        async with client(small_app(ports, **(settings or {}))) as http:
            return await http.request(method, path, **kwargs)

    return asyncio.run(once())


def test_a_video_tells_what_the_contract_names(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue, an_inspected(notes=(a_note(),)))
    told = get(ports, f"/api/v1/videos/{video}").json()
    assert told["id"] == video
    assert told["title"] == "Film"
    assert told["state"] == "encoding"
    assert told["progress"] == 0
    assert told["reason"] is None
    assert told["notes"] == [{"code": "deinterlaced", "sentence": "The picture was deinterlaced."}]
    assert told["duration_seconds"] == 16
    assert [rendition["name"] for rendition in told["renditions"]] == ["360p", "720p"]
    assert told["watch_url"] == f"http://fish.test/watch/{video}"
    for absent in ("hls_url", "dash_url", "poster_url", "storyboard_url"):
        assert told[absent] is None


def test_urls_appear_when_they_answer(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded())
    names = tuple(a_published_name(name, f"a-0/{name}") for name in ("master.m3u8", "manifest.mpd", "poster.jpg"))
    do(catalogue, JobKind.PUBLISH, a_published(names=names))
    told = get(ports, f"/api/v1/videos/{video}").json()
    assert told["state"] == "playable"
    assert told["hls_url"] == f"http://fish.test:8081/v/{video}/master.m3u8"
    assert told["dash_url"] == f"http://fish.test:8081/v/{video}/manifest.mpd"
    assert told["poster_url"] == f"http://fish.test:8081/v/{video}/poster.jpg"
    assert told["storyboard_url"] is None


def test_videos_are_listed_newest_first_in_pages(ports: Ports, catalogue: SqlCatalogue) -> None:
    made = [catalogue.create_upload(a_new_upload(title=f"Film {n}")).video for n in range(5)]
    first = get(ports, "/api/v1/videos?limit=3").json()
    rest = get(ports, f"/api/v1/videos?limit=3&cursor={first['next_cursor']}").json()
    listed = [video["id"] for video in first["videos"] + rest["videos"]]
    assert sorted(listed) == sorted(made)
    assert rest["next_cursor"] is None


def test_videos_are_filtered_by_state_and_title(ports: Ports, catalogue: SqlCatalogue) -> None:
    uploading = catalogue.create_upload(a_new_upload(title="Sea")).video
    ready = a_ready_video(catalogue)

    def listed(query: str) -> list[str]:
        return [video["id"] for video in get(ports, f"/api/v1/videos?{query}").json()["videos"]]

    assert listed("state=ready") == [ready]
    assert sorted(listed("state=ready&state=uploading")) == sorted([ready, uploading])
    assert listed("text=sea") == [uploading]


def test_a_video_is_renamed_in_one_line(ports: Ports, catalogue: SqlCatalogue) -> None:
    video, _ = an_uploaded_video(catalogue)
    assert call(ports, "PATCH", f"/api/v1/videos/{video}", json={"title": " A\n day "}).json()["title"] == "A day"
    refused = call(ports, "PATCH", f"/api/v1/videos/{video}", json={"title": "\n"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")


def test_a_failed_video_is_retried_and_its_lane_is_rung(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    cancelled = call(ports, "POST", f"/api/v1/videos/{video}/cancel").json()
    assert (cancelled["state"], cancelled["reason_code"]) == ("failed", "cancelled")
    assert call(ports, "POST", f"/api/v1/videos/{video}/retry").json()["state"] == "inspecting"
    assert isinstance(ports.bell, RecordingBell)
    assert len(ports.bell.rung) == 1
    again = call(ports, "POST", f"/api/v1/videos/{video}/retry")
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")


def test_deleting_a_video_that_still_uploads_frees_its_parts(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, 500)
        url, video = created.fields["location"], created.fields["fishladder-video"]
        await patch(app, url, 0, b"x" * 100)
        async with client(app) as http:
            assert (await http.delete(f"/api/v1/videos/{video}")).status_code == 204
            assert (await http.get(f"/api/v1/videos/{video}")).json()["state"] == "deleted"
        assert not list(ports.blobs.list_multiparts(""))
        assert not list(ports.blobs.list(""))
        assert (await patch(app, url, 100, b"x")).status == 410

    run(test())


def test_an_upload_names_its_video(ports: Ports, catalogue: SqlCatalogue) -> None:
    video, upload = an_uploaded_video(catalogue)
    told = get(ports, f"/api/v1/uploads/{upload}").json()
    assert (told["video_id"], told["state"], told["offset_bytes"], told["expires_at"]) == (
        video,
        "completed",
        1000,
        None,
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/videos/nothing", 404, "not_found"),
        ("GET", "/api/v1/uploads/nothing", 404, "not_found"),
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/api/v1/videos", 405, "method_not_allowed"),
        ("GET", "/api/v1/videos?limit=0", 422, "invalid_request"),
        ("GET", "/api/v1/videos?state=flying", 422, "invalid_request"),
        ("GET", "/api/v1/videos?cursor=%27", 400, "invalid_request"),
        ("PATCH", "/api/v1/videos/nothing", 404, "not_found"),
        ("POST", "/api/v1/videos/actions", 422, "invalid_request"),
        ("GET", "/api/v1/events", 400, "invalid_request"),
    ],
)
def test_every_error_is_a_problem_with_a_code_and_a_sentence(
    ports: Ports, method: str, path: str, status: int, code: str
) -> None:
    fields = {"last-event-id": "x"} if path.endswith("events") else {}
    reply = call(ports, method, path, headers=fields)
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert (reply.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["detail"]
    assert problem["title"]


def test_a_bug_is_told_as_a_problem_without_its_text(ports: Ports) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("secret of the house")

    ports.catalogue.videos = broken  # type: ignore[assignment,method-assign]

    async def test() -> None:
        transport = httpx.ASGITransport(app=small_app(ports), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://fish.test") as http:
            reply = await http.get("/api/v1/videos")
        assert (reply.status_code, reply.json()["code"]) == (500, "internal")
        assert "secret" not in reply.text

    run(test())


def test_scripts_of_origins_that_are_named_may_upload_and_see_the_video_id(ports: Ports) -> None:
    named = {"cors_origins": ("https://elsewhere.test",)}
    origin = {"origin": "https://elsewhere.test"}
    asked = {"access-control-request-method": "PATCH", "access-control-request-headers": "upload-offset,tus-resumable"}
    preflight = call(ports, "OPTIONS", "/files/x", settings=named, headers=origin | asked)
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    begin = {"tus-resumable": "1.0.0", "upload-length": "5"}
    reply = call(ports, "POST", "/files", settings=named, headers=origin | begin)
    exposed = reply.headers["access-control-expose-headers"].split(", ")
    assert {"Fishladder-Video", "Location", "Upload-Offset", "Upload-Expires", "Tus-Resumable"} <= set(exposed)


def test_ready_means_that_catalogue_and_store_answer(ports: Ports) -> None:
    assert get(ports, "/healthz").json() == {"status": "ok"}
    assert get(ports, "/readyz").status_code == 200

    def refuse() -> None:
        raise CatalogueUnavailable

    ports.catalogue.check = refuse  # type: ignore[method-assign]
    reply = get(ports, "/readyz")
    assert (reply.status_code, reply.json()["code"]) == (503, "catalogue_unavailable")
    assert get(ports, "/healthz").status_code == 200


def test_metrics_count_by_route_and_not_by_url(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, 5)
        url, video = created.fields["location"], created.fields["fishladder-video"]
        await patch(app, url, 0, b"hello")
        async with client(app) as http:
            await http.get(f"/api/v1/videos/{video}")
            await http.get("/no/such/route")
            text = (await http.get("/metrics")).text
        assert 'method="PATCH",route="/files/{upload_id}",status="204"} 1.0' in text
        assert 'route="/api/v1/videos/{video_id}"' in text
        assert "fishladder_upload_received_bytes_total 5.0" in text
        assert video not in text
        assert url.rpartition("/")[2] not in text

    run(test())


def test_the_api_describes_itself(ports: Ports) -> None:
    paths = get(ports, "/openapi.json").json()["paths"]
    assert {"/api/v1/videos", "/api/v1/videos/{video_id}", "/api/v1/events", "/readyz"} <= set(paths)
    assert get(ports, "/docs").status_code == 200


# --- events ----------------------------------------------------------------------------------------------------------


def a_feed(ports: Ports, drain: Drain | None = None, *, heartbeat_s: float = 5.0) -> EventFeed:
    return EventFeed(ports.catalogue, Threads(2), drain or Drain(), Metrics(), poll_s=0.01, heartbeat_s=heartbeat_s)


async def next_event(stream: AsyncGenerator[str, None]) -> tuple[str, dict[str, Any], str]:
    """(kind, data, id) of the next event; heartbeats are passed over."""
    async for text in stream:
        lines = dict(line.partition(": ")[::2] for line in text.strip().splitlines() if not line.startswith(":"))
        if lines:
            return lines["event"], json.loads(lines["data"]), lines["id"]
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("claimed", [0, 10**17])
def test_what_one_listener_claims_to_have_heard_keeps_nothing_from_another(
    ports: Ports, catalogue: SqlCatalogue, claimed: int
) -> None:
    async def test() -> None:
        a_playable_video(catalogue)
        before = catalogue.last_event_id()
        feed = a_feed(ports)
        odd, other = feed.stream(claimed), feed.stream(None)
        assert (await next_event(odd))[2] == str(min(claimed, before))
        heard = asyncio.create_task(next_event(odd))
        assert (await next_event(other))[0] == "hello"
        video = catalogue.create_upload(a_new_upload()).video
        kind, data, _ = await next_event(other)
        assert (kind, data["video_id"]) == ("state", video)
        assert int((await heard)[2]) == min(claimed, before) + 1
        for stream in (odd, other):
            await stream.aclose()
        await feed.close()

    asyncio.run(test())


def test_a_listener_of_before_a_restore_hears_what_happens_after_it(ports: Ports, catalogue: SqlCatalogue) -> None:
    async def test() -> None:
        feed = a_feed(ports)
        stream = feed.stream(5000)
        assert (await next_event(stream))[2] == "0"
        video = catalogue.create_upload(a_new_upload()).video
        assert (await next_event(stream))[1]["video_id"] == video
        await stream.aclose()
        await feed.close()

    asyncio.run(test())


def test_a_listener_hears_what_happens_from_now_on(ports: Ports, catalogue: SqlCatalogue) -> None:
    async def test() -> None:
        a_playable_video(catalogue)
        feed = a_feed(ports)
        stream = feed.stream(None)
        assert (await next_event(stream))[0] == "hello"
        video = catalogue.create_upload(a_new_upload()).video
        kind, data, _ = await next_event(stream)
        assert (kind, data["video_id"], data["state"]) == ("state", video, "uploading")
        catalogue.rename_video(video, "Other")
        kind, data, _ = await next_event(stream)
        assert (kind, data["title"]) == ("title", "Other")
        await stream.aclose()
        await feed.close()

    run(test())


def test_a_listener_that_comes_back_misses_nothing(ports: Ports, catalogue: SqlCatalogue) -> None:
    async def test() -> None:
        feed = a_feed(ports)
        others = feed.stream(None)
        await next_event(others)
        videos = [catalogue.create_upload(a_new_upload()).video for _ in range(3)]
        _, first, id_of_first = await next_event(others)
        back = feed.stream(int(id_of_first))
        await next_event(back)
        heard = [first["video_id"], *[(await next_event(back))[1]["video_id"] for _ in range(2)]]
        assert heard == videos
        for stream in (others, back):
            await stream.aclose()
        await feed.close()

    run(test())


def test_a_silent_stream_is_kept_alive(ports: Ports) -> None:
    async def test() -> None:
        feed = a_feed(ports, heartbeat_s=0.01)
        stream = feed.stream(None)
        await anext(stream)
        assert (await anext(stream)).startswith(":")
        await stream.aclose()
        await feed.close()

    run(test())


def test_a_drain_ends_event_streams(ports: Ports) -> None:
    async def test() -> None:
        drain = Drain()
        feed = a_feed(ports, drain, heartbeat_s=60)
        stream = feed.stream(None)
        await anext(stream)
        ending = asyncio.create_task(anext(stream, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        drain.begin()
        assert await ending in (None, ": still here\n\n")
        assert await anext(stream, None) is None
        await feed.close()

    run(test())


def test_many_listeners_share_one_poller(ports: Ports) -> None:
    asked = 0
    original = ports.catalogue.events_after

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal asked
        asked += 1
        return original(*args, **kwargs)

    ports.catalogue.events_after = counted  # type: ignore[method-assign]

    async def test() -> None:
        feed = a_feed(ports)
        streams = [feed.stream(None) for _ in range(20)]
        for stream in streams:
            await next_event(stream)
        video = ports.catalogue.create_upload(a_new_upload()).video
        for stream in streams:
            assert (await next_event(stream))[1]["video_id"] == video
            await stream.aclose()
        await feed.close()

    run(test())
    assert asked < 20


def test_events_are_streamed_over_http(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = VideoId(catalogue.create_upload(a_new_upload()).video)

    async def test() -> None:
        app = small_app(ports)
        heard = asyncio.Event()
        text = ""

        async def send(message: Any) -> None:
            nonlocal text
            text += message.get("body", b"").decode()
            if video in text:
                heard.set()

        async def receive() -> Any:
            await heard.wait()
            return {"type": "http.disconnect"}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/events",
            "query_string": b"",
            "headers": [(b"last-event-id", b"0")],
        }
        await app(scope, receive, send)
        assert f'event: state\ndata: {{"video_id": "{video}"' in text

    run(test())
