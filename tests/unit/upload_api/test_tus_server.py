"""The tus server in process, request by request over raw ASGI."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from storage.blobs.memory import MemoryBlobs
from storage.errors import NotFound, StoreUnavailable
from storage.ids import UploadId, VideoId
from storage.jobs import JobKind, Lane
from storage.keys import source_key
from storage.lifecycle import VideoState
from tests.uploads import (
    BODY_TYPE,
    RecordingBell,
    Sending,
    ask,
    create,
    metadata,
    offset_of,
    patch,
    run,
    small_app,
)
from upload_api.app import Ports
from upload_api.tus.recovery import Janitor, finish_stranded

FILM = bytes(range(256)) * 2


def stored(ports: Ports, video: str) -> bytes:
    return ports.blobs.get(source_key(VideoId(video)))


def id_of(url: str) -> UploadId:
    return UploadId(url.rpartition("/")[2])


def test_01_every_answer_names_the_version(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5)).fields["location"]
        replies = [
            await ask(app, "POST", "/files"),
            await ask(app, "POST", "/files", tus=False),
            await ask(app, "PUT", "/files"),
            await ask(app, "GET", url),
            await ask(app, "HEAD", "/files/unknown"),
            await patch(app, url, 3, b"x"),
            await ask(app, "OPTIONS", "/files", tus=False),
        ]
        assert [reply.status for reply in replies] == [400, 412, 405, 405, 404, 409, 204]
        assert all(reply.fields["tus-resumable"] == "1.0.0" for reply in replies)

    run(test())


def test_02_a_wrong_version_stores_nothing(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5)).fields["location"]
        sending = Sending([b"hello"])
        fields = {"content-type": BODY_TYPE, "upload-offset": "0", "tus-resumable": "0.2.0"}
        reply = await ask(app, "PATCH", url, fields, sending)
        assert (reply.status, reply.fields["tus-version"]) == (412, "1.0.0")
        assert await offset_of(app, url) == 0

    run(test())


def test_a_whole_upload_becomes_a_source_with_one_job_and_one_bell(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, len(FILM), filename="sea.mp4", priority="interactive")
        assert created.status == 201
        url, video_id = created.fields["location"], created.fields["fishladder-video"]
        assert url.startswith("http://fish.test/files/")
        assert video_id not in url
        reply = await patch(app, url, 0, FILM)
        assert (reply.status, reply.fields["upload-offset"]) == (204, str(len(FILM)))
        assert "upload-expires" not in reply.fields
        assert stored(ports, video_id) == FILM
        video = ports.catalogue.video(VideoId(video_id))
        assert (video.state, video.title, video.lane) == (VideoState.INSPECTING, "sea", Lane.INTERACTIVE)
        (job,) = ports.catalogue.jobs(video=video.id)
        assert job.kind is JobKind.INSPECT
        assert isinstance(ports.bell, RecordingBell)
        assert ports.bell.rung == [job.lane]
        again = await patch(app, url, len(FILM), b"")
        assert again.status == 204
        assert len(ports.catalogue.jobs(video=video.id)) == 1

    run(test())


def test_05_post_with_an_override_is_a_patch(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5)).fields["location"]
        fields = {"x-http-method-override": "PATCH", "content-type": BODY_TYPE, "upload-offset": "0"}
        assert (await ask(app, "POST", url, fields, b"hello")).status == 204

    run(test())


def test_06_head_answers_without_a_body_and_is_never_cached(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5, filename="a.mp4")).fields["location"]
        reply = await ask(app, "HEAD", url, tus=False)
        assert (reply.status, reply.content) == (200, b"")
        assert reply.fields["cache-control"] == "no-store"
        assert reply.fields["upload-offset"] == "0"
        assert reply.fields["upload-metadata"] == metadata(filename="a.mp4")

    run(test())


def test_07_12_44_what_does_not_exist_is_not_found(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        head = await ask(app, "HEAD", "/files/nothing")
        assert head.status == 404
        assert "upload-offset" not in head.fields
        assert (await patch(app, "/files/nothing", 0, b"x")).status == 404
        assert (await ask(app, "DELETE", "/files/nothing")).status == 404

    run(test())


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"upload-offset": "1"}, 409),
        ({"upload-offset": "-1"}, 400),
        ({"upload-offset": "1e3"}, 400),
        ({"upload-length": "7"}, 400),
    ],
)
def test_08_to_10_a_request_that_is_refused_is_never_read(ports: Ports, fields: dict[str, str], status: int) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5)).fields["location"]
        sending = Sending([b"hel", b"lo"])
        told = {"content-type": BODY_TYPE, "upload-offset": "0", "expect": "100-continue"} | fields
        reply = await ask(app, "PATCH", url, told, sending)
        assert reply.status == status
        assert (sending.read, sending.started.is_set()) == (0, False)
        assert await offset_of(app, url) == 0

    run(test())


def test_a_refused_body_is_read_for_a_while_so_that_the_client_sees_the_answer(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5)).fields["location"]
        sending = Sending([b"hello"])
        reply = await patch(app, url, 4, sending)
        assert (reply.status, reply.fields["connection"], sending.read) == (409, "close", 5)
        assert await offset_of(app, url) == 0

    run(test())


@pytest.mark.parametrize("sent", [1, 15, 63, 64, 65, 127, 128, 200, 511])
def test_13_a_broken_connection_keeps_every_byte(ports: Ports, sent: int) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, len(FILM))
        url = created.fields["location"]
        broken = await patch(app, url, 0, Sending([FILM[:sent]], breaks=True))
        assert broken.status == 0
        assert await offset_of(app, url) == sent
        assert (await patch(app, url, sent, FILM[sent:])).status == 204
        assert stored(ports, created.fields["fishladder-video"]) == FILM

    run(test())


def test_14_more_than_the_length_is_refused_and_the_offset_stays_within(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, 100)
        url = created.fields["location"]
        known = await patch(app, url, 0, FILM[:101])
        assert known.status == 413
        assert known.problem["code"] == "too_large"
        assert await offset_of(app, url) == 0
        chunked = await patch(app, url, 0, Sending([FILM[:99], FILM[99:105]]))
        assert chunked.status == 413
        assert await offset_of(app, url) == 100
        assert stored(ports, created.fields["fishladder-video"]) == FILM[:100]

    run(test())


def test_15_17_empty_patches_are_fine_anywhere(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5)).fields["location"]
        for offset, body in ((0, b""), (0, b"hel"), (3, b""), (3, b"lo"), (5, b"")):
            reply = await patch(app, url, offset, body)
            assert (reply.status, reply.fields["upload-offset"]) == (204, str(offset + len(body)))
        assert (await patch(app, url, 5, b"x")).status == 413
        assert (await patch(app, url, 5, Sending([b"x"]))).status == 413

    run(test())


def test_18_a_silent_sender_is_let_go_and_its_bytes_are_kept(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, idle_timeout_s=0.05)
        url = (await create(app, 100)).fields["location"]
        reply = await patch(app, url, 0, Sending([FILM[:70]], hold=asyncio.Event()))
        assert reply.status == 503
        assert await offset_of(app, url) == 70

    run(test())


def test_18_a_silent_sender_to_a_complete_upload_is_let_go_too(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, idle_timeout_s=0.05)
        url = (await create(app, 5)).fields["location"]
        await patch(app, url, 0, b"hello")
        assert (await patch(app, url, 5, Sending(hold=asyncio.Event()))).status == 503

    run(test())


def test_22_an_empty_file_is_rejected_with_a_sentence(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, 0)
        assert (created.status, created.fields["upload-offset"]) == (201, "0")
        video = ports.catalogue.video(VideoId(created.fields["fishladder-video"]))
        assert (video.state, video.reason_code) == (VideoState.REJECTED, "empty")
        assert video.reason
        assert await offset_of(app, created.fields["location"]) == 0
        refused = await patch(app, created.fields["location"], 0, b"x")
        assert (refused.status, refused.problem["reason_code"]) == (422, "empty")

    run(test())


def test_26_to_29_a_deferred_length_may_come_with_an_empty_last_patch(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, None)
        url = created.fields["location"]
        assert (await patch(app, url, 0, Sending([FILM[:100]]))).status == 204
        head = await ask(app, "HEAD", url)
        assert head.fields["upload-defer-length"] == "1"
        assert "upload-length" not in head.fields
        assert (await patch(app, url, 100, b"", upload_length="99")).status == 400
        assert (await patch(app, url, 100, b"", upload_length="100")).status == 204
        assert stored(ports, created.fields["fishladder-video"]) == FILM[:100]
        assert (await patch(app, url, 100, b"", upload_length="101")).status == 400

    run(test())


def test_28_a_deferred_upload_stops_at_the_limit(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, max_upload_bytes=100)
        url = (await create(app, None)).fields["location"]
        assert (await patch(app, url, 0, Sending([FILM[:90], FILM[90:120]]))).status == 413
        assert await offset_of(app, url) == 100

    run(test())


def test_30_31_a_creation_may_bring_the_whole_file(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        reply = await ask(app, "POST", "/files", {"upload-length": "200", "content-type": BODY_TYPE}, FILM[:200])
        assert (reply.status, reply.fields["upload-offset"]) == (201, "200")
        assert stored(ports, reply.fields["fishladder-video"]) == FILM[:200]

    run(test())


def test_32_when_a_first_body_fails_the_upload_is_still_told(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, idle_timeout_s=0.05)
        sending = Sending([FILM[:30]], hold=asyncio.Event())
        reply = await ask(app, "POST", "/files", {"upload-length": "100", "content-type": BODY_TYPE}, sending)
        assert reply.status == 503
        assert await offset_of(app, reply.fields["location"]) == 30

    run(test())


def test_34_35_an_expired_upload_is_gone_and_its_bytes_are_freed(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, upload_lifetime_ms=0)
        created = await create(app, 100)
        assert "upload-expires" in created.fields
        assert (await ask(app, "HEAD", created.fields["location"])).status == 410
        assert (await patch(app, created.fields["location"], 0, b"x")).status == 410
        counted: Counter[str] = Counter()
        for _ in range(2):
            Janitor(ports, count=lambda rule, repairs: counted.update({rule: repairs})).tidy()
        assert +counted == Counter(expired=1)
        assert ports.catalogue.video(VideoId(created.fields["fishladder-video"])).state is VideoState.DELETED
        assert (await ask(app, "HEAD", created.fields["location"])).status == 410

    run(test())


def test_44_a_terminated_upload_is_gone_with_its_parts_and_tail(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, len(FILM))
        url = created.fields["location"]
        await patch(app, url, 0, FILM[:100])
        assert list(ports.blobs.list_multiparts(""))
        assert list(ports.blobs.list(""))
        assert (await ask(app, "DELETE", url)).status == 204
        assert not list(ports.blobs.list_multiparts(""))
        assert not list(ports.blobs.list(""))
        for method in ("HEAD", "DELETE"):
            assert (await ask(app, method, url)).status == 410
        assert (await patch(app, url, 100, b"x")).status == 410
        assert ports.catalogue.video(VideoId(created.fields["fishladder-video"])).state is VideoState.DELETED

    run(test())


def test_45_a_delete_stops_a_running_patch(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, len(FILM))).fields["location"]
        sending = Sending([FILM[:100]], hold=asyncio.Event())
        running = asyncio.create_task(patch(app, url, 0, sending))
        await sending.started.wait()
        assert (await ask(app, "DELETE", url)).status == 204
        assert (await running).status in (410, 423)
        assert not list(ports.blobs.list(""))
        assert not list(ports.blobs.list_multiparts(""))

    run(test())


def test_46_a_complete_upload_cannot_be_terminated(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 5)).fields["location"]
        await patch(app, url, 0, b"hello")
        reply = await ask(app, "DELETE", url)
        assert (reply.status, reply.problem["code"]) == (403, "not_allowed")

    run(test())


def test_55_a_second_patch_takes_over_and_the_first_keeps_its_bytes(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, len(FILM))
        url = created.fields["location"]
        stuck = Sending([FILM[:150]], hold=asyncio.Event())
        first = asyncio.create_task(patch(app, url, 0, stuck))
        await stuck.started.wait()
        offset = await offset_of(app, url)
        assert offset == 150
        assert (await first).status == 423
        assert (await patch(app, url, 150, FILM[150:])).status == 204
        assert stored(ports, created.fields["fishladder-video"]) == FILM

    run(test())


def test_55_writers_of_two_processes_take_turns_through_the_catalogue(ports: Ports) -> None:
    async def test() -> None:
        here, there = small_app(ports), small_app(ports)
        url = (await create(here, len(FILM))).fields["location"]
        stuck = Sending([FILM[:150]], hold=asyncio.Event())
        first = asyncio.create_task(patch(here, url, 0, stuck))
        await stuck.started.wait()
        assert await offset_of(there, url) == 150
        assert (await first).status == 423

    run(test())


def test_55_a_writer_that_never_lets_go_makes_others_wait_then_423(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, lease_wait_s=0.1)
        url = (await create(app, 100)).fields["location"]
        ports.catalogue.acquire_upload(id_of(url), "another process", 60_000)
        for reply in (await ask(app, "HEAD", url), await patch(app, url, 0, b"x")):
            assert (reply.status, reply.fields["retry-after"]) == (423, "1")

    run(test())


def test_55_the_lease_of_a_dead_writer_is_taken_over(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 100)).fields["location"]
        ports.catalogue.acquire_upload(id_of(url), "dead process", 100)
        assert await offset_of(app, url) == 0

    run(test())


def test_56_a_patch_at_the_offset_that_head_told_is_taken(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, len(FILM))).fields["location"]
        for piece in range(0, 500, 100):
            stuck = Sending([FILM[piece : piece + 100]], hold=asyncio.Event())
            running = asyncio.create_task(patch(app, url, piece, stuck))
            await stuck.started.wait()
            assert await offset_of(app, url) == piece + 100
            await running

    run(test())


def test_57_the_tail_outlives_its_replacement(ports: Ports) -> None:
    """The store refuses to keep the new tail: the old offset still stands, and its bytes are there."""

    async def test() -> None:
        app = small_app(ports)
        created = await create(app, len(FILM))
        url = created.fields["location"]
        await patch(app, url, 0, FILM[:40])
        blobs = ports.blobs
        assert isinstance(blobs, MemoryBlobs)
        blobs.put = refuse  # type: ignore[method-assign]
        assert (await patch(app, url, 40, FILM[40:50])).status == 503
        del blobs.put  # type: ignore[misc]
        assert await offset_of(app, url) == 40
        assert (await patch(app, url, 40, FILM[40:])).status == 204
        assert stored(ports, created.fields["fishladder-video"]) == FILM

    run(test())


def refuse(*_args: object, **_kwargs: object) -> None:
    raise StoreUnavailable


def test_no_tail_is_left_behind(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, len(FILM))).fields["location"]
        for start in range(0, 500, 50):
            await patch(app, url, start, FILM[start : start + 50])
            assert len(list(ports.blobs.list("tails/"))) <= 1
        await patch(app, url, 500, FILM[500:])
        assert [each.key.partition("/")[0] for each in ports.blobs.list("")] == ["sources"]

    run(test())


@pytest.mark.parametrize("step", ["put_part", "complete_multipart", "head"])
def test_an_upload_whose_completion_was_cut_off_is_finished_by_the_next_head(ports: Ports, step: str) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, 100)
        url, video = created.fields["location"], VideoId(created.fields["fishladder-video"])
        await patch(app, url, 0, FILM[:70])
        original = getattr(ports.blobs, step)
        setattr(ports.blobs, step, refuse)
        assert (await patch(app, url, 70, FILM[70:100])).status == 503
        head = await ask(app, "HEAD", url)
        # Never 503: tus-js-client would start a new upload.
        assert (head.status, head.fields.get("retry-after")) == ((200, None) if step == "put_part" else (423, "1"))
        setattr(ports.blobs, step, original)
        offset = await offset_of(app, url)
        if offset < 100:
            await patch(app, url, offset, FILM[offset:100])
        assert stored(ports, video) == FILM[:100]
        assert ports.catalogue.video(video).state is VideoState.INSPECTING

    run(test())


def test_an_upload_whose_client_left_before_the_completion_is_finished_by_the_janitor(ports: Ports) -> None:
    async def test() -> VideoId:
        app = small_app(ports)
        created = await create(app, 100)
        ports.blobs.complete_multipart = refuse  # type: ignore[method-assign]
        assert (await patch(app, created.fields["location"], 0, FILM[:100])).status == 503
        del ports.blobs.complete_multipart  # type: ignore[attr-defined]
        return VideoId(created.fields["fishladder-video"])

    video = run(test())
    assert finish_stranded(ports) == 1
    assert finish_stranded(ports) == 0
    assert ports.catalogue.video(video).state is VideoState.INSPECTING
    assert stored(ports, video) == FILM[:100]


def test_an_upload_whose_parts_vanished_ends_with_a_sentence(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, 100)
        url, video = created.fields["location"], VideoId(created.fields["fishladder-video"])
        await patch(app, url, 0, FILM[:99])
        for key, multipart_id in ports.blobs.list_multiparts(""):
            ports.blobs.abort_multipart(key, multipart_id)
        lost = await patch(app, url, 99, FILM[99:100])
        assert (lost.status, lost.problem["code"]) == (410, "source_lost")
        ended = ports.catalogue.video(video)
        assert (ended.state, ended.reason_code) == (VideoState.REJECTED, "source_lost")

    run(test())


def test_the_janitor_aborts_multiparts_that_nobody_knows_but_only_at_the_second_look(ports: Ports) -> None:
    async def test() -> str:
        app = small_app(ports)
        created = await create(app, 100)
        await patch(app, created.fields["location"], 0, FILM[:70])
        return created.fields["location"]

    run(test())
    ((_, known),) = ports.blobs.list_multiparts("")
    ports.blobs.begin_multipart("sources/0000000000000000")
    counted: Counter[str] = Counter()
    janitor = Janitor(ports, count=lambda rule, repairs: counted.update({rule: repairs}))
    janitor.tidy()
    assert len(list(ports.blobs.list_multiparts(""))) == 2
    janitor.tidy()
    assert +counted == Counter(multipart=1)
    assert [each for _, each in ports.blobs.list_multiparts("")] == [known]


def test_a_drain_stops_writers_with_their_bytes_kept_and_takes_nothing_new(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, len(FILM))).fields["location"]
        sending = Sending([FILM[:150]], hold=asyncio.Event())
        running = asyncio.create_task(patch(app, url, 0, sending))
        await sending.started.wait()
        app.state.drain.begin()  # type: ignore[attr-defined]
        stopped = await running
        assert (stopped.status, stopped.fields["connection"]) == (503, "close")
        assert (await create(app, 5)).status == 503
        assert (await patch(app, url, 150, b"x")).status == 503
        assert (await ask(app, "HEAD", url)).status == 423
        assert await offset_of(small_app(ports), url) == 150

    run(test())


def test_a_request_that_the_server_gives_up_keeps_its_bytes(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, len(FILM))).fields["location"]
        sending = Sending([FILM[:150]], hold=asyncio.Event())
        running = asyncio.create_task(patch(app, url, 0, sending))
        await sending.started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await offset_of(app, url) == 150

    run(test())


def test_memory_stays_bounded_while_the_store_is_slow(ports: Ports) -> None:
    """The client is not asked for more than the parts in flight and the one being filled."""

    async def test() -> None:
        app = small_app(ports, parts_in_flight=2)
        url = (await create(app, 64 * 100)).fields["location"]
        gate = asyncio.Event()
        loop = asyncio.get_running_loop()
        original = ports.blobs.put_part
        in_flight = asyncio.Event()

        def slow(*args: Any, **kwargs: Any) -> Any:
            loop.call_soon_threadsafe(in_flight.set)
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            return original(*args, **kwargs)

        ports.blobs.put_part = slow  # type: ignore[method-assign]
        sending = Sending([bytes([n]) * 32 for n in range(200)])
        running = asyncio.create_task(patch(app, url, 0, sending))
        await in_flight.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert sending.read <= 64 * 3 + 32
        gate.set()
        assert (await running).status == 204

    run(test())


def test_the_offset_counts_no_part_whose_forerunner_is_still_in_flight(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url = (await create(app, 200)).fields["location"]
        loop = asyncio.get_running_loop()
        gate, second_is_stored = asyncio.Event(), asyncio.Event()
        original = ports.blobs.put_part

        def first_is_slow(key: str, multipart_id: str, number: int, data: bytes) -> Any:
            if number == 1:
                asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            part = original(key, multipart_id, number, data)
            if number == 2:
                loop.call_soon_threadsafe(second_is_stored.set)
            return part

        ports.blobs.put_part = first_is_slow  # type: ignore[method-assign]
        running = asyncio.create_task(patch(app, url, 0, FILM[:128]))
        await second_is_stored.wait()
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert ports.catalogue.upload(id_of(url)).offset_bytes == 0
        gate.set()
        assert (await running).status == 204
        assert [part.number for part in ports.catalogue.upload(id_of(url)).parts] == [1, 2]

    run(test())


def test_a_writer_that_lost_its_lease_writes_nothing_more(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, lease_beat_s=10.0)
        created = await create(app, 200)
        url = created.fields["location"]
        sending = Sending([FILM[:100]], hold=asyncio.Event())
        zombie = asyncio.create_task(patch(app, url, 0, sending))
        while ports.catalogue.upload(id_of(url)).offset_bytes < 64:
            await asyncio.sleep(0.01)
        ports.catalogue.release_upload(id_of(url), 1)  # as if its time had run out
        other = small_app(ports)
        assert (await patch(other, url, 64, FILM[64:80])).status == 204
        sending.hold.set()  # type: ignore[union-attr]
        assert (await zombie).status == 409
        assert await offset_of(other, url) == 80
        assert (await patch(other, url, 80, FILM[80:200])).status == 204
        assert stored(ports, created.fields["fishladder-video"]) == FILM[:200]

    run(test())


def test_unknown_videos_have_no_source(ports: Ports) -> None:
    with pytest.raises(NotFound):
        stored(ports, "0000000000000000")
