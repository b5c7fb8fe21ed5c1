"""Uploads into a real S3 store, with the part sizes that S3 insists on."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets

import pytest

from storage.blobs.s3 import S3Blobs, S3Settings
from storage.catalogue.sql import SqlCatalogue
from storage.ids import VideoId
from storage.keys import source_key
from storage.lifecycle import VideoState
from tests.services import S3Endpoint
from tests.uploads import RecordingBell, Sending, ask, create, offset_of, patch
from upload_api.app import Ports, UploadApiSettings, create_app

pytestmark = pytest.mark.integration

MIB = 1 << 20
FILM = b"\x1a\x45\xdf\xa3" + random.Random(3).randbytes(27 * MIB + 4321)  # what Matroska begins with


@pytest.fixture
def ports(seaweedfs_endpoint: S3Endpoint) -> Ports:
    endpoint = seaweedfs_endpoint
    blobs = S3Blobs(
        S3Settings(
            bucket=f"uploads-{secrets.token_hex(4)}",
            endpoint_url=endpoint.url,
            access_key=endpoint.access_key,
            secret_key=endpoint.secret_key,
        )
    )
    blobs.ensure_bucket()
    return Ports(catalogue=SqlCatalogue.in_memory(), blobs=blobs, bell=RecordingBell())


def test_a_film_arrives_whole_through_broken_connections(ports: Ports) -> None:
    async def upload() -> VideoId:
        app = create_app(UploadApiSettings(public_url="http://fish.test", janitor_interval_s=0), ports)
        created = await create(app, len(FILM))
        url, offset = created.fields["location"], 0
        for sent in (3 * MIB, 9 * MIB, 100, 8 * MIB):
            pieces = [FILM[start : start + 200_000] for start in range(offset, offset + sent, 200_000)]
            pieces[-1] = pieces[-1][: (offset + sent) - (offset + (len(pieces) - 1) * 200_000)]
            await patch(app, url, offset, Sending(pieces, breaks=True))
            offset += sent
            assert await offset_of(app, url) == offset
        assert (await patch(app, url, offset, FILM[offset:])).status == 204
        return VideoId(created.fields["fishladder-video"])

    video = asyncio.run(upload())
    assert ports.catalogue.video(video).state is VideoState.INSPECTING
    assert hashlib.sha256(ports.blobs.get(source_key(video))).digest() == hashlib.sha256(FILM).digest()
    assert [blob.key for blob in ports.blobs.list("")] == [source_key(video)]
    assert not list(ports.blobs.list_multiparts(""))


def test_a_terminated_upload_leaves_nothing(ports: Ports) -> None:
    async def upload() -> None:
        app = create_app(UploadApiSettings(public_url="http://fish.test", janitor_interval_s=0), ports)
        url = (await create(app, len(FILM))).fields["location"]
        await patch(app, url, 0, Sending([FILM[: 9 * MIB]], breaks=True))
        assert (await ask(app, "DELETE", url)).status == 204

    asyncio.run(upload())
    assert not list(ports.blobs.list(""))
    assert not list(ports.blobs.list_multiparts(""))


def test_partial_uploads_are_joined_inside_the_store(ports: Ports) -> None:
    sizes = (6 * MIB + 1, MIB, 5, 9 * MIB)  # copied, filled up from the next ones, and copied again

    async def upload() -> VideoId:
        app = create_app(UploadApiSettings(public_url="http://fish.test", janitor_interval_s=0), ports)
        urls, start = [], 0
        for size in sizes:
            fields = {"upload-length": str(size), "upload-concat": "partial"}
            urls.append((await ask(app, "POST", "/files", fields)).fields["location"])
            assert (await patch(app, urls[-1], 0, FILM[start : start + size])).status == 204
            start += size
        final = await ask(app, "POST", "/files", {"upload-concat": f"final;{' '.join(urls)}"})
        assert final.status == 201
        async with asyncio.timeout(60):
            while "upload-offset" not in (await ask(app, "HEAD", final.fields["location"])).fields:
                await asyncio.sleep(0.05)
        return VideoId(final.fields["fishladder-video"])

    video = asyncio.run(upload())
    expected = hashlib.sha256(FILM[: sum(sizes)]).digest()
    assert hashlib.sha256(ports.blobs.get(source_key(video))).digest() == expected
    assert ports.catalogue.video(video).state is VideoState.INSPECTING
