"""Delivery over HTTP, in process: what a player, a cache and a page of another site get to see."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any

import brotli
import httpx
import pytest
import zstandard

from origin.app import create_app
from storage.errors import CatalogueUnavailable, StoreUnavailable
from storage.keys import hash12

if TYPE_CHECKING:
    from tests.unit.origin.conftest import World

pytestmark = pytest.mark.anyio

VIDEO = "0123456789abcdef"
GROWING = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXTINF:4.0,\n0-0123456789ab.m4s\n"
FINISHED = GROWING.replace(b"EVENT", b"VOD") + b"#EXT-X-ENDLIST\n"
SEGMENT = bytes(range(256)) * 40
DIGEST = hash12(SEGMENT)


def max_age_s(response: httpx.Response) -> int:
    match = re.search(r"max-age=(\d+)", response.headers["cache-control"])
    assert match, response.headers["cache-control"]
    return int(match[1])


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["detail"].endswith(".")


# --- what is served, and what caches are told ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "content_type", "longest_s"),
    [
        ("master.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx/media.m3u8\n", "application/vnd.apple.mpegurl", 2),
        ("720p/media.m3u8", GROWING, "application/vnd.apple.mpegurl", 2),
        ("720p/media.m3u8", FINISHED, "application/vnd.apple.mpegurl", 300),
        ("720p/iframes.m3u8", FINISHED, "application/vnd.apple.mpegurl", 300),
        ("manifest.mpd", b'<?xml version="1.0"?>\n<MPD xmlns="x"\n type="dynamic"></MPD>', "application/dash+xml", 2),
        ("manifest.mpd", b'<?xml version="1.0"?>\n<MPD type="static"></MPD>', "application/dash+xml", 300),
        ("poster.jpg", b"\xff\xd8jpeg", "image/jpeg", 300),
        ("storyboard.vtt", b"WEBVTT\n", "text/vtt; charset=utf-8", 300),
    ],
)
async def test_a_public_name_is_served_with_its_type_and_a_short_life(
    world: World, client: httpx.AsyncClient, name: str, body: bytes, content_type: str, longest_s: int
) -> None:
    world.publish(name, body)
    response = await client.get(f"/v/{VIDEO}/{name}")
    assert (response.status_code, response.content) == (200, body)
    assert response.headers["content-type"] == content_type
    assert response.headers["content-length"] == str(len(body))
    assert 1 <= max_age_s(response) <= longest_s
    assert "immutable" not in response.headers["cache-control"]


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (f"720p/0-{DIGEST}.m4s", "video/mp4"),
        (f"720p/init-{DIGEST}.mp4", "video/mp4"),
        (f"audio-en/12-{DIGEST}.m4s", "audio/mp4"),
        (f"storyboard/3-{DIGEST}.jpg", "image/jpeg"),
    ],
)
async def test_an_object_named_by_its_hash_is_immutable(
    world: World, client: httpx.AsyncClient, path: str, content_type: str
) -> None:
    world.blobs.put(f"{world.catalogue.asset}/{path}", SEGMENT)
    response = await client.get(f"/v/{VIDEO}/{path}")
    assert (response.status_code, response.content) == (200, SEGMENT)
    assert response.headers["content-type"] == content_type
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("sprite", [b"small", bytes(range(256)) * 1000], ids=["at once", "as it comes"])
async def test_sprites_share_one_version_that_is_the_digest_of_none_of_them(
    world: World, client: httpx.AsyncClient, sprite: bytes
) -> None:
    path = f"storyboard/1-{hash12(b'all sprites together')}.jpg"
    world.blobs.put(f"{world.catalogue.asset}/{path}", sprite)
    response = await client.get(f"/v/{VIDEO}/{path}")
    assert (response.status_code, response.content) == (200, sprite)
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_what_is_not_the_bytes_that_its_name_tells_of_is_not_sent(
    world: World, client: httpx.AsyncClient
) -> None:
    path = f"720p/1-{hash12(b'other bytes')}.m4s"
    world.blobs.put(f"{world.catalogue.asset}/{path}", SEGMENT)
    response = await client.get(f"/v/{VIDEO}/{path}")
    assert (response.status_code, response.json()["code"]) == (503, "object_damaged")


async def test_a_name_published_as_immutable_is(world: World, client: httpx.AsyncClient) -> None:
    world.publish("master-0123456789ab.m3u8", b"#EXTM3U\n", immutable=True)
    response = await client.get(f"/v/{VIDEO}/master-0123456789ab.m3u8")
    assert "immutable" in response.headers["cache-control"]


async def test_head_has_the_headers_of_get_and_no_body(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    got, head = await client.get(path), await client.head(path, headers={"range": "bytes=0-9"})
    assert head.content == b""
    assert dict(head.headers) == dict(got.headers)


async def test_head_sends_no_body_byte(world: World) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    # Below httpx, which would drop a body by itself.
    scope = {"type": "http", "method": "HEAD", "path": f"/v/{VIDEO}/master.m3u8", "headers": []}
    await create_app(world.settings, world.ports())(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1]["body"] == b""


async def test_a_page_of_another_site_may_play(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    for response in (await client.get(path), await client.get(f"/v/{VIDEO}/no.m3u8"), await client.post(path)):
        assert response.headers["access-control-allow-origin"] == "*"
        assert {"Content-Length", "Content-Range", "ETag", "Date"} <= set(
            response.headers["access-control-expose-headers"].split(", ")
        )
        assert response.headers["timing-allow-origin"] == "*"
    preflight = await client.options(path, headers={"access-control-request-method": "GET"})
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert "Range" in preflight.headers["access-control-allow-headers"].split(", ")
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"


# --- conditions and encodings ----------------------------------------------------------------------------------------


async def test_the_tag_is_of_the_bytes_and_not_of_the_server(world: World) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    async with world.client() as one, world.client() as other:
        tags = {(await client.get(path)).headers["etag"] for client in (one, other)}
    assert len(tags) == 1
    assert re.fullmatch(r'"[0-9a-f]{12}"', tags.pop())


async def test_who_has_the_bytes_is_told_so(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/master.m3u8"
    first = await client.get(path)
    tag = first.headers["etag"]
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await client.get(path, headers={"if-none-match": condition})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == first.headers["cache-control"]
    assert (await client.get(path, headers={"if-none-match": '"other"'})).status_code == 200


_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": zstandard.decompress,
}


@pytest.mark.parametrize("coding", sorted(_DECOMPRESS))
async def test_manifests_are_compressed_for_who_accepts_it(
    world: World, client: httpx.AsyncClient, coding: str
) -> None:
    body = GROWING * 20
    world.publish("720p/media.m3u8", body)
    path = f"/v/{VIDEO}/720p/media.m3u8"
    tags = set()
    for _ in range(3):  # the way through everything, and the shortest one
        async with client.stream("GET", path, headers={"accept-encoding": f"{coding};q=1, *;q=0.5"}) as response:
            raw = b"".join([chunk async for chunk in response.aiter_raw()])
        headers = response.headers
        assert headers["content-encoding"] == coding
        assert headers["content-length"] == str(len(raw))
        assert _DECOMPRESS[coding](raw) == body
        assert headers["vary"] == "Accept-Encoding"
        tags.add(headers["etag"])
    plain = await client.get(path, headers={"accept-encoding": "identity"})
    assert plain.content == body
    assert plain.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers
    (tag,) = tags
    assert tag != plain.headers["etag"]
    unchanged = await client.get(path, headers={"accept-encoding": coding, "if-none-match": tag})
    assert unchanged.status_code == 304
    refused = await client.get(path, headers={"accept-encoding": f"{coding};q=0"})
    assert "content-encoding" not in refused.headers


async def test_of_several_codings_the_smallest_is_sent(world: World, client: httpx.AsyncClient) -> None:
    world.publish("720p/media.m3u8", GROWING * 20)
    path = f"/v/{VIDEO}/720p/media.m3u8"
    sizes = {}
    for coding in _DECOMPRESS:
        answer = await client.get(path, headers={"accept-encoding": coding})
        sizes[coding] = int(answer.headers["content-length"])
    for _ in range(2):
        answer = await client.get(path, headers={"accept-encoding": "gzip, deflate, br, zstd"})
        assert int(answer.headers["content-length"]) == min(sizes.values())


async def test_segments_are_never_compressed(world: World, client: httpx.AsyncClient) -> None:
    path = world.store_segment(b"\0" * 10_000)
    response = await client.get(f"/v/{VIDEO}/{path}", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in response.headers
    assert "vary" not in response.headers


# --- ranges ----------------------------------------------------------------------------------------------------------


async def test_a_range_is_a_part(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    response = await client.get(path, headers={"range": "bytes=100-199"})
    assert (response.status_code, response.content) == (206, SEGMENT[100:200])
    assert response.headers["content-range"] == f"bytes 100-199/{len(SEGMENT)}"
    assert response.headers["content-type"] == "video/mp4"
    assert "immutable" in response.headers["cache-control"]


async def test_several_ranges_are_several_parts(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    response = await client.get(path, headers={"range": "bytes=0-9, 100-199, -5"})
    assert response.status_code == 206
    assert "content-range" not in response.headers
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + response.content)
    parts = [(part["content-range"], part.get_payload(decode=True)) for part in message.iter_parts()]  # type: ignore[attr-defined]  # the policy makes an EmailMessage
    size = len(SEGMENT)
    assert parts == [
        (f"bytes 0-9/{size}", SEGMENT[:10]),
        (f"bytes 100-199/{size}", SEGMENT[100:200]),
        (f"bytes {size - 5}-{size - 1}/{size}", SEGMENT[-5:]),
    ]


async def test_a_range_outside_is_refused_with_the_size(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    response = await client.get(path, headers={"range": f"bytes={len(SEGMENT)}-"})
    assert_problem(response, 416, "range_not_satisfiable")
    assert response.headers["content-range"] == f"bytes */{len(SEGMENT)}"


async def test_a_range_counts_only_if_the_bytes_are_the_same(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    tag = (await client.get(path)).headers["etag"]
    asked = {"range": "bytes=0-9"}
    assert (await client.get(path, headers={**asked, "if-range": tag})).status_code == 206
    for other in ('"other"', f"W/{tag}", "Wed, 21 Oct 2026 07:28:00 GMT"):
        whole = await client.get(path, headers={**asked, "if-range": other})
        assert (whole.status_code, whole.content) == (200, SEGMENT)


async def test_a_range_of_a_manifest_is_of_its_plain_bytes(world: World, client: httpx.AsyncClient) -> None:
    body = GROWING * 20
    world.publish("720p/media.m3u8", body)
    response = await client.get(
        f"/v/{VIDEO}/720p/media.m3u8", headers={"range": "bytes=5-9", "accept-encoding": "gzip"}
    )
    assert (response.status_code, response.content) == (206, body[5:10])
    assert "content-encoding" not in response.headers


# --- what is not there -----------------------------------------------------------------------------------------------


async def test_everything_that_is_not_there_answers_alike(world: World, client: httpx.AsyncClient) -> None:
    world.blobs.put("sources/secret", b"not for the public")
    paths = [
        "/v/zzzzzzzzzzzzzzzz/master.m3u8",  # no such video
        f"/v/{VIDEO}/other.m3u8",  # no such name
        f"/v/{VIDEO}/720p/99-0123456789ab.m4s",  # no such object
        f"/v/{VIDEO}/%2e%2e/sources/secret",
        f"/v/{VIDEO}/..%2f..%2fetc/passwd.jpg",
        f"/v/{VIDEO}/720p/UPPER.m4s",
        f"/v/{VIDEO}/secret",
        f"/v/{VIDEO}/",
        f"/v/{VIDEO}",
        "/v/a'--/master.m3u8",
        "/elsewhere",
        "/",
    ]
    answers = [await client.get(path) for path in paths]
    for answer in answers:
        assert_problem(answer, 404, "not_found")
        assert max_age_s(answer) <= 1
    assert len({answer.content for answer in answers}) == 1


async def test_only_reading_is_answered(world: World, client: httpx.AsyncClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        response = await client.request(method, f"/v/{VIDEO}/master.m3u8")
        assert_problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_a_published_object_that_is_lost_is_not_found(world: World, client: httpx.AsyncClient) -> None:
    world.blobs.delete(world.publish("720p/media.m3u8", FINISHED))
    assert_problem(await client.get(f"/v/{VIDEO}/720p/media.m3u8"), 404, "not_found")


# --- load and trouble ------------------------------------------------------------------------------------------------


async def gather(count: int, ask: Callable[[], Awaitable[httpx.Response]]) -> list[httpx.Response]:
    return list(await asyncio.gather(*(ask() for _ in range(count))))


async def test_a_crowd_that_wants_one_segment_costs_one_read(world: World, client: httpx.AsyncClient) -> None:
    path = world.store_segment(SEGMENT)
    world.blobs.gate.clear()
    crowd = asyncio.create_task(gather(50, lambda: client.get(f"/v/{VIDEO}/{path}")))
    while not world.blobs.reads:
        await asyncio.sleep(0)
    world.blobs.gate.set()
    assert {response.content for response in await crowd} == {SEGMENT}
    await client.get(f"/v/{VIDEO}/{path}")
    assert world.blobs.reads == {f"{world.catalogue.asset}/{path}": 1}
    assert world.catalogue.asked.total() == 1


async def test_a_reader_that_leaves_does_not_spoil_it_for_the_others(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    world.blobs.gate.clear()
    first, second = (asyncio.create_task(client.get(path)) for _ in range(2))
    while not world.blobs.reads:
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    world.blobs.gate.set()
    assert (await second).content == SEGMENT


async def test_without_a_cache_every_request_reads(world: World) -> None:
    world.settings = replace(world.settings, cache_bytes=0)
    path = world.store_segment(SEGMENT)
    async with world.client() as client:
        for _ in range(3):
            assert (await client.get(f"/v/{VIDEO}/{path}")).content == SEGMENT
    assert world.blobs.reads.total() == 3


async def test_a_new_manifest_is_seen_after_the_lookup_is_forgotten(world: World) -> None:
    world.settings = replace(world.settings, lookup_ttl_s=0.0)
    world.publish("720p/media.m3u8", GROWING)
    async with world.client() as client:
        assert (await client.get(f"/v/{VIDEO}/720p/media.m3u8")).content == GROWING
        world.publish("720p/media.m3u8", FINISHED)
        assert (await client.get(f"/v/{VIDEO}/720p/media.m3u8")).content == FINISHED


async def test_what_grows_is_asked_for_each_time_and_what_is_finished_once_in_a_while(world: World) -> None:
    """shaka-player asks for the playlists of picture and sound at once, and must not get them of two moments."""
    world.settings = replace(world.settings, lookup_ttl_s=600.0)
    world.publish("720p/media.m3u8", GROWING)
    async with world.client() as client:
        for later in (GROWING + b"#EXTINF:4.0,\n9.m4s\n", FINISHED):
            await client.get(f"/v/{VIDEO}/720p/media.m3u8")
            world.publish("720p/media.m3u8", later)
            assert (await client.get(f"/v/{VIDEO}/720p/media.m3u8")).content == later
        world.publish("720p/media.m3u8", FINISHED + b"# edited\n")
        assert (await client.get(f"/v/{VIDEO}/720p/media.m3u8")).content == FINISHED


async def test_what_grew_plays_on_while_the_catalogue_is_away(world: World, client: httpx.AsyncClient) -> None:
    world.publish("720p/media.m3u8", GROWING)
    await client.get(f"/v/{VIDEO}/720p/media.m3u8")
    world.catalogue.failure = CatalogueUnavailable()
    assert (await client.get(f"/v/{VIDEO}/720p/media.m3u8")).content == GROWING


async def test_a_name_that_is_absent_is_asked_for_once_in_a_while(world: World, client: httpx.AsyncClient) -> None:
    for _ in range(5):
        await client.get(f"/v/{VIDEO}/absent.m3u8")
        await client.get(f"/v/{VIDEO}/720p/7-0123456789ab.m4s")
    assert world.catalogue.asked["absent.m3u8"] == 1
    assert world.blobs.reads.total() == 1


async def test_a_store_that_is_away_is_said_to_be_and_not_remembered(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    world.blobs.failure = StoreUnavailable(retry_after_s=2.5)
    response = await client.get(path)
    assert_problem(response, 503, "store_unavailable")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["retry-after"] == "3"
    world.blobs.failure = None
    assert (await client.get(path)).status_code == 200


async def test_what_was_known_plays_on_while_the_catalogue_is_away(world: World) -> None:
    world.settings = replace(world.settings, lookup_ttl_s=0.0)
    first, second = (world.store_segment(SEGMENT, number=number) for number in (0, 1))
    async with world.client() as client:
        assert (await client.get(f"/v/{VIDEO}/{first}")).status_code == 200
        world.catalogue.failure = CatalogueUnavailable()
        assert (await client.get(f"/v/{VIDEO}/{second}")).content == SEGMENT
        assert_problem(await client.get(f"/v/{VIDEO}/poster.jpg"), 503, "catalogue_unavailable")


async def test_a_video_that_was_deleted_is_gone_once_the_lookup_is_forgotten(world: World) -> None:
    world.settings = replace(world.settings, lookup_ttl_s=0.0)
    path = world.store_segment(SEGMENT)
    async with world.client() as client:
        assert (await client.get(f"/v/{VIDEO}/{path}")).status_code == 200
        world.catalogue.names.clear()
        assert_problem(await client.get(f"/v/{VIDEO}/{path}"), 404, "not_found")


async def test_a_bug_is_answered_and_says_nothing_of_itself(world: World, client: httpx.AsyncClient) -> None:
    world.catalogue.names["master.m3u8"] = "no published name"  # type: ignore[assignment]  # the bug
    response = await client.get(f"/v/{VIDEO}/master.m3u8")
    assert_problem(response, 500, "internal_error")
    assert "published" not in response.text


# --- operations ------------------------------------------------------------------------------------------------------


async def test_health_needs_nobody_and_readiness_both_parts(world: World, client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).json() == {"status": "ready", "catalogue": "ok", "store": "ok"}
    world.blobs.failure = StoreUnavailable()
    assert (await client.get("/healthz")).status_code == 200
    away = await client.get("/readyz")
    assert away.status_code == 503
    assert away.json() == {"status": "not ready", "catalogue": "ok", "store": "store_unavailable"}


async def test_metrics_count_requests_bytes_and_the_cache(world: World, client: httpx.AsyncClient) -> None:
    path = f"/v/{VIDEO}/{world.store_segment(SEGMENT)}"
    for _ in range(3):
        await client.get(path)
    await client.get(f"/v/{VIDEO}/absent.m3u8")
    text = (await client.get("/metrics")).text
    assert 'fishladder_origin_requests_total{kind="segment",status="200"} 3.0' in text
    assert 'fishladder_origin_requests_total{kind="none",status="404"} 1.0' in text
    assert f'fishladder_origin_sent_bytes_total{{kind="segment"}} {3 * len(SEGMENT):.1f}' in text
    assert "fishladder_origin_cache_hits_total 2.0" in text


async def test_the_server_may_start_and_stop_it(world: World) -> None:
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return next(incoming)

    async def send(message: object) -> None:
        sent.append(json.loads(json.dumps(message))["type"])

    await create_app(world.settings, world.ports())({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert world.closed == ["closed"]
