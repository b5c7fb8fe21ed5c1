"""Checksums of bodies: all or nothing, in one piece with the bytes that were there before."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zlib
from typing import Any

import pytest

from storage.blobs.memory import MemoryBlobs
from storage.errors import InvalidRequest
from storage.ids import UploadId, VideoId
from storage.keys import source_key
from tests.uploads import BODY_TYPE, Reply, Sending, ask, create, offset_of, patch, run, small_app
from upload_api.app import Ports
from upload_api.tus.checksums import parse_checksum, parse_promise

FILM = bytes(range(256)) * 2
DIGESTS = {
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "md5": lambda data: hashlib.md5(data).digest(),
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
}


def checksum(data: bytes, algorithm: str = "sha1") -> str:
    return f"{algorithm} {base64.b64encode(DIGESTS[algorithm](data)).decode()}"


async def promised(app: Any, url: str, offset: int, body: bytes | Sending, promise: str, **fields: str) -> Reply:
    return await patch(app, url, offset, body, upload_checksum=promise, **fields)


def objects(ports: Ports) -> list[str]:
    return [info.key for info in ports.blobs.list("")]


def test_38_the_algorithms_are_announced_and_sha1_is_one(ports: Ports) -> None:
    async def test() -> None:
        reply = await ask(small_app(ports), "OPTIONS", "/files", tus=False)
        assert reply.fields["tus-checksum-algorithm"] == "sha1,sha256,md5,crc32"
        extensions = reply.fields["tus-extension"].split(",")
        assert "checksum" in extensions
        assert "checksum-trailer" not in extensions, "this server tells no trailers"

    run(test())


@pytest.mark.parametrize(
    "value",
    [
        "sha512 AAAA",
        "SHA1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        "sha1",
        "sha1 ",
        "sha1 ###",
        "sha1 AAAA",
        "crc32 AAAAAAA=",
        "",
    ],
)
def test_39_an_unknown_algorithm_or_a_malformed_value_is_refused_unread(ports: Ports, value: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_checksum(value)

    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5)).fields["location"]
        body = Sending([b"hello"])
        assert (await promised(app, url, 0, body, value)).status == 400
        assert await offset_of(app, url) == 0

    run(test())


@pytest.mark.parametrize("algorithm", sorted(DIGESTS))
@pytest.mark.parametrize("cut", [1, 63, 64, 200])
def test_40_bodies_that_keep_their_promise_become_the_file(ports: Ports, algorithm: str, cut: int) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, len(FILM))
        url, offset = created.fields["location"], 0
        while offset < len(FILM):
            piece = FILM[offset : offset + cut]
            reply = await promised(app, url, offset, piece, checksum(piece, algorithm))
            offset += len(piece)
            assert (reply.status, reply.fields["upload-offset"]) == (204, str(offset))
        assert ports.blobs.get(source_key(VideoId(created.fields["fishladder-video"]))) == FILM

    run(test())


@pytest.mark.parametrize("size", [10, 64, 70, 300, 512])
def test_39_a_mismatch_keeps_nothing_of_the_body_and_everything_before_it(ports: Ports, size: int) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, 40 + 512)
        url = created.fields["location"]
        assert (await patch(app, url, 0, FILM[:40])).status == 204
        before = ports.catalogue.upload(UploadId(url.rpartition("/")[2]))
        wrong = await promised(app, url, 40, b"x" * size, checksum(FILM))
        assert (wrong.status, wrong.problem["code"]) == (460, "checksum_mismatch")
        assert await offset_of(app, url) == 40
        after = ports.catalogue.upload(before.id)
        assert (after.parts, after.tail, after.length_bytes) == (before.parts, before.tail, before.length_bytes)
        assert objects(ports) == [after.tail.key if after.tail else None]
        assert (await promised(app, url, 40, FILM, checksum(FILM))).status == 204
        video = VideoId(created.fields["fishladder-video"])
        assert ports.blobs.get(source_key(video)) == FILM[:40] + FILM
        assert len(ports.catalogue.jobs(video=video)) == 1

    run(test())


def test_39_a_mismatch_does_not_fix_a_deferred_length_either(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, None)).fields["location"]
        assert (await promised(app, url, 0, b"hello", checksum(b"hullo"), upload_length="5")).status == 460
        assert "upload-length" not in (await ask(app, "HEAD", url)).fields
        assert (await promised(app, url, 0, b"hello", checksum(b"hello"), upload_length="5")).status == 204
        assert ports.catalogue.upload(UploadId(url.rpartition("/")[2])).state == "completed"

    run(test())


def test_39_an_empty_body_has_a_checksum_too(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5)).fields["location"]
        assert (await promised(app, url, 0, b"", checksum(b""))).status == 204
        assert (await promised(app, url, 0, b"", checksum(b"hello"))).status == 460

    run(test())


def test_41_a_first_body_that_breaks_its_promise_leaves_an_empty_upload(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        fields = {"upload-length": "5", "content-type": BODY_TYPE, "upload-checksum": checksum(b"hullo")}
        reply = await ask(app, "POST", "/files", fields, b"hello")
        assert reply.status == 460
        assert await offset_of(app, reply.fields["location"]) == 0
        good = fields | {"upload-checksum": checksum(b"hello", "crc32")}
        reply = await ask(app, "POST", "/files", good, b"hello")
        assert (reply.status, reply.fields["upload-offset"]) == (201, "5")

    run(test())


@pytest.mark.parametrize("sent", [1, 64, 300, 511])
def test_42_a_broken_connection_keeps_nothing_that_was_promised(ports: Ports, sent: int) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, len(FILM))).fields["location"]
        await promised(app, url, 0, Sending([FILM[:sent]], breaks=True), checksum(FILM))
        assert await offset_of(app, url) == 0
        assert objects(ports) == []
        assert (await promised(app, url, 0, FILM, checksum(FILM))).status == 204

    run(test())


def test_42_a_body_with_too_many_bytes_keeps_nothing_that_was_promised(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 100)).fields["location"]
        assert (await promised(app, url, 0, Sending([FILM]), checksum(FILM))).status == 413
        assert await offset_of(app, url) == 0

    run(test())


def test_42_a_writer_that_is_asked_to_let_go_keeps_nothing_and_says_so(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, len(FILM))).fields["location"]
        body = Sending([FILM[:300]], hold=asyncio.Event())
        writing = asyncio.create_task(promised(app, url, 0, body, checksum(FILM)))
        await body.started.wait()
        assert await offset_of(app, url) == 0
        reply = await writing
        assert reply.status == 423
        assert "nothing was kept" in reply.problem["detail"]

    run(test())


@pytest.mark.parametrize(
    ("fields", "trailers", "status", "offset"),
    [
        ({"trailer": "Upload-Checksum"}, [("upload-checksum", checksum(b"hello"))], 204, 5),
        ({"trailer": "X-Other, upload-checksum"}, [("upload-checksum", checksum(b"hello", "crc32"))], 204, 5),
        ({"trailer": "Upload-Checksum"}, [("upload-checksum", checksum(b"hullo"))], 460, 0),
        ({"trailer": "Upload-Checksum"}, [("upload-checksum", "sha512 AAAA")], 400, 0),
        ({"trailer": "Upload-Checksum"}, [], 400, 0),
        ({"trailer": "Upload-Checksum"}, None, 400, 0),
        ({"trailer": "Upload-Checksum", "upload-checksum": checksum(b"hello")}, [], 400, 0),
        ({}, [("upload-checksum", checksum(b"hello"))], 400, 5),
    ],
)
def test_43_a_checksum_in_the_trailer(
    ports: Ports, fields: dict[str, str], trailers: list[tuple[str, str]] | None, status: int, offset: int
) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 6)).fields["location"]
        told = {"content-type": BODY_TYPE, "upload-offset": "0"} | fields
        reply = await ask(app, "PATCH", url, told, Sending([b"hello"], trailers=trailers))
        assert reply.status == status
        assert await offset_of(app, url) == offset

    run(test())


def test_43_a_body_whose_end_is_known_has_no_trailer() -> None:
    with pytest.raises(InvalidRequest):
        parse_promise({"trailer": "upload-checksum", "content-length": "5"}, trailers=True)


def test_nothing_is_recorded_before_the_digest_matches(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, len(FILM))).fields["location"]
        body = Sending([FILM[:200], FILM[200:400]], hold=asyncio.Event())
        writing = asyncio.create_task(promised(app, url, 0, body, checksum(FILM[:400])))
        assert isinstance(ports.blobs, MemoryBlobs)
        while body.read < 400 or not any(each.parts for each in ports.blobs._multiparts.values()):
            await asyncio.sleep(0.01)
        assert ports.catalogue.upload(UploadId(url.rpartition("/")[2])).offset_bytes == 0
        assert body.hold is not None
        body.hold.set()
        assert (await writing).status == 204
        assert await offset_of(app, url) == 400

    run(test())
