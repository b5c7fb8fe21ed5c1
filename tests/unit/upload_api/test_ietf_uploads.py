"""Resumable Uploads for HTTP, request by request in process. Sentences in «» are the draft's."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import Any

import pytest

from storage.ids import VideoId
from storage.keys import source_key
from tests.uploads import Reply, Sending, ask, offset_of, patch, small_app
from tests.uploads import run_long as run
from upload_api.app import Ports
from upload_api.ietf.protocol import filename_of, limit_field

FILM = bytes(range(256)) * 2


async def create(app: Any, body: bytes | Sending = b"", complete: str = "?0", **fields: str) -> Reply:
    told = {"upload-complete": complete} | {name.replace("_", "-"): value for name, value in fields.items()}
    return await ask(app, "POST", "/uploads", told, body, tus=False)


async def append(
    app: Any, url: str, offset: int, body: bytes | Sending = b"", complete: str = "?0", **fields: str
) -> Reply:
    told = {"content-type": "application/partial-upload", "upload-offset": str(offset), "upload-complete": complete}
    told |= {name.replace("_", "-"): value for name, value in fields.items()}
    return await ask(app, "PATCH", url, told, body, tus=False)


async def look(app: Any, url: str, method: str = "HEAD") -> tuple[str, str, str | None]:
    reply = await ask(app, method, url, tus=False)
    assert reply.status == 204, reply
    assert reply.fields["cache-control"] == "no-store"
    assert "upload-limit" in reply.fields
    return reply.fields["upload-offset"], reply.fields["upload-complete"], reply.fields.get("upload-length")


def stored(ports: Ports, video: str) -> bytes:
    return ports.blobs.get(source_key(VideoId(video)))


def test_a_whole_file_in_one_request(ports: Ports) -> None:
    async def test() -> None:
        disposition = "inline; filename=\"x.mp4\"; filename*=UTF-8''My%20f%C3%BClm.mp4"
        reply = await create(small_app(ports), FILM, "?1", content_disposition=disposition, content_type="video/mp4")
        assert (reply.status, reply.fields["upload-complete"]) == (201, "?1")
        assert reply.fields["upload-draft-interop-version"] == "8"
        told = json.loads(reply.content)
        assert told["video_id"] == reply.fields["fishladder-video"]
        assert stored(ports, told["video_id"]) == FILM
        video = ports.catalogue.video(told["video_id"])
        assert (video.state, video.filename, video.title) == ("inspecting", "My fülm.mp4", "My fülm")

    run(test())


def test_a_request_that_asks_for_nothing_is_an_upload_in_one_go(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        reply = await ask(
            app, "POST", "/uploads?title=Mine&priority=bulk", {}, Sending([FILM[:99], FILM[99:]]), tus=False
        )
        assert (reply.status, reply.fields["upload-complete"]) == (201, "?1")
        video = ports.catalogue.video(VideoId(json.loads(reply.content)["video_id"]))
        assert (video.title, video.lane, video.source_bytes) == ("Mine", "bulk", len(FILM))

    run(test())


@pytest.mark.parametrize("known", [True, False], ids=["length told", "length unknown"])
def test_a_file_in_several_requests(ports: Ports, known: bool) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, **({"upload_length": str(len(FILM))} if known else {}))
        url = created.fields["location"]
        assert (created.status, created.fields["upload-complete"], created.fields["upload-offset"]) == (201, "?0", "0")
        assert created.fields["upload-limit"].startswith("max-size=")
        assert "max-age=" in created.fields["upload-limit"]
        assert await look(app, url) == ("0", "?0", str(len(FILM)) if known else None)
        first = await append(app, url, 0, FILM[:200])
        assert (first.status, first.fields["upload-complete"], first.fields["upload-offset"]) == (204, "?0", "200")
        assert await look(app, url, "GET") == ("200", "?0", str(len(FILM)) if known else None)
        last = await append(app, url, 200, FILM[200:], "?1")
        assert (last.status, last.fields["upload-complete"]) == (200, "?1")
        assert stored(ports, json.loads(last.content)["video_id"]) == FILM
        assert await look(app, url) == (str(len(FILM)), "?1", str(len(FILM)))

    run(test())


def test_a_chunked_body_ends_the_upload_where_it_ends(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, FILM[:100])).fields["location"]
        last = await append(app, url, 100, Sending([FILM[100:300], FILM[300:]]), "?1")
        assert last.status == 200
        assert stored(ports, json.loads(last.content)["video_id"]) == FILM

    run(test())


def test_an_empty_request_completes(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, FILM)).fields["location"]
        last = await append(app, url, len(FILM), b"", "?1")
        assert (last.status, last.fields["upload-complete"]) == (200, "?1")
        again = await append(app, url, len(FILM), b"", "?1")  # its answer was lost
        assert (again.status, again.content) == (200, last.content)

    run(test())


@pytest.mark.parametrize("complete", ["?0", "?1"])
def test_a_body_that_breaks_off_is_kept_and_completes_nothing(ports: Ports, complete: str) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app)).fields["location"]
        await append(app, url, 0, Sending([FILM[:150]], breaks=True), complete)
        assert await look(app, url) == ("150", "?0", None)
        last = await append(app, url, 150, FILM[150:], "?1")
        assert stored(ports, json.loads(last.content)["video_id"]) == FILM

    run(test())


def test_another_offset_is_told_the_right_one(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, FILM[:100], upload_length=str(len(FILM)))).fields["location"]
        for offset in (0, 99, 101, 10**6):
            reply = await append(app, url, offset, b"x", "?1")
            assert (reply.status, reply.fields["upload-complete"], reply.fields["upload-offset"]) == (409, "?0", "100")
            assert reply.problem["type"] == "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
            assert (reply.problem["expected-offset"], reply.problem["provided-offset"]) == (100, offset)
        assert await look(app, url) == ("100", "?0", str(len(FILM)))

    run(test())


def test_lengths_that_contradict_each_other_are_refused(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, FILM[:100], upload_length=str(len(FILM)))).fields["location"]
        replies = [
            await create(app, FILM, "?1", upload_length="5"),
            await create(app, FILM, upload_length="5"),
            await append(app, url, 100, b"x", upload_length="5"),
            await append(app, url, 100, b"x", "?1"),
            await append(app, url, 100, b"", "?1"),
        ]
        for reply in replies:
            assert (reply.status, reply.problem["code"]) == (400, "inconsistent_upload_length")
            assert reply.problem["type"].endswith("#inconsistent-upload-length")
            assert reply.fields["upload-complete"] == "?0"
        assert await look(app, url) == ("100", "?0", str(len(FILM)))

    run(test())


@pytest.mark.parametrize("chunked", [False, True])
def test_more_bytes_than_the_length_end_the_upload(ports: Ports, chunked: bool) -> None:
    """«marking the upload resource invalid and rejecting any further interaction with it»"""

    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, upload_length="300")).fields["location"]
        reply = await append(app, url, 0, Sending([FILM[:250], FILM[250:]]) if chunked else FILM)
        assert (reply.status, reply.problem["code"]) == (413, "too_large")
        assert (await ask(app, "HEAD", url, tus=False)).status == 410
        assert list(ports.blobs.list_multiparts("sources/")) == []

    run(test())


def test_limits_are_told_and_held(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, max_upload_bytes=300)
        told = await ask(app, "OPTIONS", "/uploads", tus=False)
        assert (told.status, told.fields["upload-limit"]) == (204, "max-size=300")
        assert (await create(app, upload_length="301")).status == 413
        assert (await create(app, FILM, "?1")).status == 413
        url = (await create(app)).fields["location"]
        assert (await append(app, url, 0, Sending([FILM]))).status == 413

    run(test())
    assert limit_field(None) == ("Upload-Limit", "min-size=0")


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("creating", [True, False])
def test_a_content_digest_is_checked(ports: Ports, good: bool, creating: bool) -> None:
    async def test() -> None:
        app = small_app(ports)
        digest = base64.b64encode(hashlib.sha256(FILM if good else b"other").digest()).decode()
        fields = {"content_digest": f"sha-512=:AAAA:, sha-256=:{digest}:"}
        if creating:
            reply = await create(app, FILM, **fields)
            url = reply.fields["location"]
        else:
            url = (await create(app)).fields["location"]
            reply = await append(app, url, 0, FILM, **fields)
        if good:
            assert reply.status in (201, 204), reply
        else:
            assert (reply.status, reply.problem["code"]) == (400, "checksum_mismatch")
        assert await look(app, url) == (str(len(FILM)) if good else "0", "?0", None)

    run(test())


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"content-type": "application/offset+octet-stream"}, 415),
        ({"content-type": ""}, 415),
        ({"upload-offset": "-1"}, 400),
        ({"upload-offset": "1.0"}, 400),
        ({"upload-offset": '"1"'}, 400),
        ({"upload-complete": "1"}, 400),
        ({"upload-complete": "true"}, 400),
        ({"upload-draft-interop-version": "3"}, 412),
        ({"upload-offset": "0;a=b", "upload-complete": "?0;c"}, 204),
        ({"upload-length": "nonsense"}, 204),
        ({"upload-draft-interop-version": "6"}, 204),
    ],
)
def test_fields_are_read_as_the_draft_has_them(ports: Ports, fields: dict[str, str], status: int) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app)).fields["location"]
        told = {"content-type": "application/partial-upload", "upload-offset": "0", "upload-complete": "?0"} | fields
        reply = await ask(app, "PATCH", url, told, b"abc", tus=False)
        assert reply.status == status, reply
        version = fields.get("upload-draft-interop-version", "8") if status == 204 else "8"
        assert reply.fields["upload-draft-interop-version"] == version
        assert (await look(app, url))[0] == ("3" if status == 204 else "0")

    run(test())


def test_cancelling_ends_it(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, FILM)).fields["location"]
        assert (await ask(app, "DELETE", url, tus=False)).status == 204
        assert (await ask(app, "HEAD", url, tus=False)).status == 410
        assert (await append(app, url, len(FILM), b"x")).status == 410
        assert (await ask(app, "HEAD", "/uploads/unknown", tus=False)).status == 404
        assert (await ask(app, "PUT", url, tus=False)).status == 405

    run(test())


def test_a_newcomer_takes_over(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app)).fields["location"]
        holding = Sending([FILM[:200]], hold=asyncio.Event())
        first = asyncio.create_task(append(app, url, 0, holding))
        await holding.started.wait()
        while (await look(app, url))[0] != "200":
            await asyncio.sleep(0.01)
        assert (await first).status == 503
        assert (await append(app, url, 200, FILM[200:], "?1")).status == 200

    run(test())


def test_both_dialects_speak_of_the_same_upload(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, FILM[:100], upload_length=str(len(FILM)))).fields["location"]
        of_tus = url.replace("/uploads/", "/files/")
        assert await offset_of(app, of_tus) == 100
        assert (await patch(app, of_tus, 100, FILM[100:300])).status == 204
        assert (await append(app, url, 300, FILM[300:], "?1")).status == 200
        assert await offset_of(app, of_tus) == len(FILM)

    run(test())


def test_no_header_turns_one_method_into_another(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, FILM[:100])).fields["location"]
        reply = await ask(app, "POST", url, {"x-http-method-override": "DELETE"}, tus=False)
        assert reply.status == 405
        assert (await look(app, url))[0] == "100"

    run(test())


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('inline; filename="a b.mp4"', "a b.mp4"),
        ("inline; filename=a.mp4", "a.mp4"),
        ("attachment; filename*=UTF-8''%e2%82%ac.mp4", "€.mp4"),
        ("inline; filename*=nonsense''%e2%82%ac.mp4", ""),
        ("inline", ""),
        ("", ""),
    ],
)
def test_names_of_files(disposition: str, name: str) -> None:
    assert filename_of(disposition) == name or not name


@pytest.mark.parametrize("good", [True, False])
def test_a_file_is_the_one_that_was_announced(ports: Ports, good: bool) -> None:
    async def test() -> None:
        app = small_app(ports)
        digest = base64.b64encode(hashlib.sha256(FILM if good else b"other").digest()).decode()
        url = (await create(app, FILM[:100], repr_digest=f"sha-256=:{digest}:")).fields["location"]
        reply = await append(app, url, 100, FILM[100:], "?1")
        assert reply.fields["upload-complete"] == "?1"
        if good:
            assert (reply.status, reply.fields["repr-digest"]) == (200, f"sha-256=:{digest}:")
        else:
            assert (reply.status, reply.problem["reason_code"]) == (422, "digest_mismatch")
            assert list(ports.blobs.list("sources/")) == []

    run(test())


@pytest.mark.parametrize("good", [True, False])
def test_tus_announces_a_file_in_its_metadata(ports: Ports, good: bool) -> None:
    async def test() -> None:
        app = small_app(ports)
        digest = base64.b64encode(hashlib.sha256(FILM if good else b"other").digest()).decode()
        fields = {"upload-length": str(len(FILM)), "upload-metadata": f"repr-digest {digest}"}
        url = (await ask(app, "POST", "/files", fields)).fields["location"]
        reply = await patch(app, url, 0, FILM)
        assert reply.status == (204 if good else 422), reply

    run(test())
