"""Concatenation: partial uploads become one file inside the store, behind the client's back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.blobs.memory import MemoryBlobs
from storage.catalogue import VideoFilter
from storage.catalogue.sql import SqlCatalogue
from storage.errors import InvalidRequest, NotFound, StoreUnavailable
from storage.ids import UploadId, VideoId
from storage.jobs import JobKind
from storage.keys import source_key
from storage.lifecycle import VideoState
from tests.uploads import (
    BODY_TYPE,
    RecordingBell,
    Reply,
    Sending,
    ask,
    metadata,
    offset_of,
    patch,
    run,
    small_app,
)
from upload_api.app import Ports
from upload_api.tus.concat import plan_join, upload_id_of
from upload_api.tus.recovery import Janitor

FILM = bytes(range(256)) * 3
SIZES = (100, 16, 5, 0, 3, 644)  # parts of at least 16 bytes: copied, copied, filled up, nothing, filled up, copied


def id_of(url: str) -> UploadId:
    return UploadId(url.rpartition("/")[2])


async def partial(app: Any, body: bytes, *, sent: int | None = None, length: int | None = None) -> str:
    """The URL of a partial upload with ``sent`` bytes of ``body`` (default: all)."""
    size = {"upload-length": str(len(body) if length is None else length)}
    reply = await ask(app, "POST", "/files", size | {"upload-concat": "partial"})
    assert reply.status == 201, reply
    assert "fishladder-video" not in reply.fields
    url = reply.fields["location"]
    start = body if sent is None else body[:sent]
    if start:
        assert (await patch(app, url, 0, start)).status == 204
    return url


async def final(app: Any, urls: Sequence[str], **values: str) -> Reply:
    told = {"upload-metadata": metadata(**values)} if values else {}
    return await ask(app, "POST", "/files", {"upload-concat": f"final;{' '.join(urls)}"} | told)


async def joined(app: Any, url: str) -> Reply:
    while True:
        reply = await ask(app, "HEAD", url)
        if "upload-offset" in reply.fields:
            return reply
        await asyncio.sleep(0.01)


async def parts_of_film(app: Any) -> list[str]:
    urls, start = [], 0
    for size in SIZES:
        urls.append(await partial(app, FILM[start : start + size]))
        start += size
    return urls


def test_47_a_partial_upload_is_an_upload_like_any_other(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = await partial(app, FILM[:100], sent=40)
        reply = await ask(app, "HEAD", url)
        assert reply.fields["upload-concat"] == "partial"
        assert (reply.fields["upload-offset"], reply.fields["upload-length"]) == ("40", "100")
        await patch(app, url, 40, Sending([FILM[40:50]], breaks=True))
        assert await offset_of(app, url) == 50
        assert (await patch(app, url, 50, FILM[50:100])).status == 204
        assert await offset_of(app, url) == 100

    run(test())


def test_48_50_partial_uploads_become_one_file(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        urls = await parts_of_film(app)
        reply = await final(app, urls, filename="fish.mp4")
        assert reply.status == 201
        assert "upload-offset" not in reply.fields
        url, video = reply.fields["location"], VideoId(reply.fields["fishladder-video"])
        told = (await joined(app, url)).fields
        assert told["upload-concat"] == f"final;{' '.join(urls)}"
        assert told["upload-offset"] == told["upload-length"] == str(len(FILM))
        assert told["upload-metadata"] == metadata(filename="fish.mp4")
        assert ports.blobs.get(source_key(video)) == FILM
        assert ports.catalogue.video(video).title == "fish"

    run(test())


def test_48_order_repetition_and_reuse_are_the_clients(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        a, b = await partial(app, FILM[:20]), await partial(app, FILM[20:50])
        for urls, content in (((b, a, b), FILM[20:50] + FILM[:20] + FILM[20:50]), ((a,), FILM[:20])):
            paths = [url.removeprefix("http://fish.test") for url in urls]
            reply = await final(app, paths)
            await joined(app, reply.fields["location"])
            assert ports.blobs.get(source_key(VideoId(reply.fields["fishladder-video"]))) == content

    run(test())


@pytest.mark.parametrize("extra", [{"upload-length": "20"}, {"upload-defer-length": "1"}, {"content-type": BODY_TYPE}])
def test_48_a_final_upload_brings_neither_length_nor_bytes(ports: Ports, extra: dict[str, str]) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = await partial(app, FILM[:20])
        body = b"x" if "content-type" in extra else b""
        assert (await ask(app, "POST", "/files", {"upload-concat": f"final;{url}"} | extra, body)).status == 400

    run(test())


def test_49_a_final_upload_takes_no_bytes(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        first = await partial(app, FILM[:40], sent=20)
        url = (await final(app, [first])).fields["location"]
        body = Sending([b"hello"])
        assert (await patch(app, url, 0, body)).status == 403
        assert not body.started.is_set() or body.read == 5  # at most read away after the answer
        await patch(app, first, 20, FILM[20:40])
        await joined(app, url)
        assert (await patch(app, url, 40, b"")).status == 403

    run(test())


def test_51_only_partial_uploads_of_this_server_and_tenant_are_joined(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        good = await partial(app, FILM[:20])
        whole = (await ask(app, "POST", "/files", {"upload-length": "5"})).fields["location"]
        ended = await partial(app, FILM[:20])
        assert (await ask(app, "DELETE", ended)).status == 204
        for url, status in (
            ("http://fish.test/files/0unknown0", 404),
            ("http://elsewhere.test/files/abc", 400),
            ("/api/v1/videos", 404),
            (whole, 400),
            (ended, 410),
        ):
            assert (await final(app, [good, url])).status == status, url
        catalogue = ports.catalogue
        assert isinstance(catalogue, SqlCatalogue)
        assert catalogue.videos(VideoFilter())[0][0].upload == id_of(whole), "nothing else became a video"

    run(test())


def test_52_unfinished_partial_uploads_are_joined_when_they_are_finished(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        a, b = await partial(app, FILM[:100]), await partial(app, FILM[100:], sent=0)
        reply = await final(app, [a, b])
        assert reply.status == 201
        url = reply.fields["location"]
        told = (await ask(app, "HEAD", url)).fields
        assert told["upload-length"] == str(len(FILM))
        assert "upload-offset" not in told
        assert (await patch(app, b, 0, FILM[100:])).status == 204
        await joined(app, url)
        assert ports.blobs.get(source_key(VideoId(reply.fields["fishladder-video"]))) == FILM

    run(test())


def test_52_the_length_of_a_deferred_partial_may_come_after_the_final_one(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        deferred = {"upload-defer-length": "1", "upload-concat": "partial"}
        part = (await ask(app, "POST", "/files", deferred)).fields["location"]
        url = (await final(app, [part])).fields["location"]
        assert "upload-length" not in (await ask(app, "HEAD", url)).fields
        assert (await patch(app, part, 0, FILM, upload_length=str(len(FILM)))).status == 204
        assert (await joined(app, url)).fields["upload-length"] == str(len(FILM))

    run(test())


def test_53_partial_uploads_are_no_videos_and_the_final_one_is_inspected_once(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        urls = await parts_of_film(app)
        assert ports.catalogue.videos(VideoFilter()) == ((), None)
        assert ports.catalogue.jobs() == ()
        assert ports.catalogue.last_event_id() == 0
        reply = await final(app, urls)
        await joined(app, reply.fields["location"])
        await uploads_of(app).joiner.settle()  # it rings after the commit that others see
        (job,) = ports.catalogue.jobs()
        assert (job.kind, job.video) == (JobKind.INSPECT, reply.fields["fishladder-video"])
        assert isinstance(ports.bell, RecordingBell)
        assert ports.bell.rung == [job.lane]

    run(test())


def test_54_the_limit_is_on_the_sum(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, max_upload_bytes=100)
        a, b = await partial(app, FILM[:60]), await partial(app, FILM[:60])
        assert (await final(app, [a, b])).status == 413
        assert (await final(app, [a])).status == 201

    run(test())


def test_44_ending_a_partial_upload_ends_the_final_one_with_a_sentence(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        a, b = await partial(app, FILM[:60]), await partial(app, FILM[60:90], sent=10)
        reply = await final(app, [a, b])
        assert (await ask(app, "DELETE", b)).status == 204
        assert (await ask(app, "HEAD", b)).status == 410
        again = await final(app, [a])
        await joined(app, again.fields["location"])
        await uploads_of(app).joiner.tidy()
        await uploads_of(app).joiner.settle()
        video = ports.catalogue.video(VideoId(reply.fields["fishladder-video"]))
        assert video.state is VideoState.REJECTED
        assert video.reason == "A partial upload of this file was ended before it was joined."
        assert (await ask(app, "DELETE", a)).status == 204, "a partial upload may end any time"
        keys = [info.key for info in ports.blobs.list("")]
        assert keys == [source_key(VideoId(again.fields["fishladder-video"]))]

    run(test())


def uploads_of(app: Any) -> Any:
    return app.state.uploads


@pytest.mark.parametrize("broken_call", range(8))
def test_57_a_join_that_was_cut_off_goes_on_where_it_stood(ports: Ports, broken_call: int) -> None:
    blobs = FailsOnce(broken_call)
    ports = Ports(catalogue=ports.catalogue, blobs=blobs, bell=ports.bell)

    async def test() -> None:
        app = small_app(ports)
        urls = await parts_of_film(app)
        blobs.armed = True
        reply = await final(app, urls)
        url, video = reply.fields["location"], VideoId(reply.fields["fishladder-video"])
        await uploads_of(app).joiner.settle()
        stood = ports.catalogue.upload(id_of(url)).offset_bytes
        await uploads_of(app).joiner.tidy()
        await joined(app, url)
        assert ports.catalogue.upload(id_of(url)).offset_bytes >= stood
        assert ports.blobs.get(source_key(video)) == FILM
        assert len(ports.catalogue.jobs(video=video)) == 1

    run(test())


class FailsOnce(MemoryBlobs):
    def __init__(self, call: int) -> None:
        super().__init__(min_part_bytes=16)
        self.armed = False
        self._left = call

    def _count(self) -> None:
        if self.armed:
            self._left -= 1
            if self._left == -1:
                raise StoreUnavailable

    def begin_multipart(self, key: str, **more: Any) -> str:
        self._count()
        return super().begin_multipart(key, **more)

    def copy_part(self, *args: Any) -> Any:
        self._count()
        return super().copy_part(*args)

    def put_part(self, *args: Any) -> Any:
        self._count()
        return super().put_part(*args)

    def complete_multipart(self, *args: Any) -> Any:
        self._count()
        return super().complete_multipart(*args)


def test_partial_uploads_expire_also_when_finished_but_not_while_they_are_waited_for(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, upload_lifetime_ms=1)
        long = small_app(ports)
        waited = await partial(long, FILM[:60])
        loose = (await ask(app, "POST", "/files", {"upload-length": "5", "upload-concat": "partial"})).fields[
            "location"
        ]
        missing = await partial(long, FILM[60:], sent=0)
        await final(long, [waited, missing])
        await asyncio.sleep(0.01)
        Janitor(ports).tidy()
        assert (await ask(app, "HEAD", loose)).status == 410
        assert await offset_of(long, waited) == 60

    run(test())


@given(
    sizes=st.lists(st.integers(0, 200), min_size=1, max_size=12),
    min_part=st.integers(1, 40),
    copy=st.integers(0, 100),
    start=st.floats(0, 1),
)
@settings(max_examples=300, deadline=None)
def test_a_plan_covers_every_byte_once_in_order(sizes: list[int], min_part: int, copy: int, start: float) -> None:
    content = bytes(index % 251 for index in range(sum(sizes)))
    pieces, at = [], 0
    for size in sizes:
        pieces.append(content[at : at + size])
        at += size
    begin = round(start * len(content))
    parts = list(plan_join(sizes, start=begin, min_part_bytes=min_part, copy_bytes=min_part + copy))
    assert b"".join(pieces[r.index][r.start : r.stop] for part in parts for r in part.ranges) == content[begin:]
    assert all(min_part <= part.size_bytes <= min_part + copy for part in parts[:-1])
    assert all(0 < part.size_bytes <= min_part + copy for part in parts)
    for part in parts:
        assert len(part.ranges) == 1 or part.size_bytes <= min_part, "only what is small is carried through us"


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("http://fish.test/files/abc", "http://fish.test"),
        ("/files/abc", "http://fish.test"),
        ("https://FISH.test/files/abc", "http://fish.test"),
        ("http://fish.test/videos/files/abc", "http://fish.test/videos"),
    ],
)
def test_a_url_of_ours_names_its_upload(url: str, public: str) -> None:
    assert upload_id_of(url, public) == "abc"


@pytest.mark.parametrize("url", ["http://fish.test:81/files/abc", "//evil.test/files/abc", "http://[/files/abc"])
def test_a_url_of_another_place_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        upload_id_of(url, "http://fish.test")


@pytest.mark.parametrize("url", ["/files/", "/files/a/b", "/files/../etc", "/files/A%2e"])
def test_a_url_of_no_upload_is_not_found(url: str) -> None:
    with pytest.raises(NotFound):
        upload_id_of(url, "http://fish.test")
