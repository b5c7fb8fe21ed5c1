"""`POST /api/v1/videos` with a form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from storage.ids import VideoId
from storage.keys import source_key
from storage.media.sniffing import HEAD_BYTES
from tests.uploads import Reply, Sending, ask, small_app
from tests.uploads import run_long as run
from upload_api.app import Ports

FILM = bytes(range(256)) * 3
FORM = {"content-type": "multipart/form-data; boundary=fish"}


def a_field(name: str, value: str) -> bytes:
    return f'--fish\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def a_file(content: bytes = FILM, filename: str = "My film.mp4", kind: str = "video/mp4") -> bytes:
    head = (
        f'--fish\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: {kind}\r\n\r\n'
    )
    return head.encode() + content + b"\r\n"


END = b"--fish--\r\n"


async def post(app: Any, body: bytes | Sending, **fields: str) -> Reply:
    return await ask(app, "POST", "/api/v1/videos", FORM | fields, body, tus=False)


def test_a_form_becomes_a_video(ports: Ports) -> None:
    async def test() -> None:
        form = a_field("title", "Mine — ünd") + a_field("priority", "bulk") + a_field("other", "x") + a_file() + END
        reply = await post(small_app(ports), form)
        assert reply.status == 201, reply
        video = json.loads(reply.content)
        assert (video["title"], video["filename"], video["lane"]) == ("Mine — ünd", "My film.mp4", "bulk")
        assert (video["state"], video["source_bytes"]) == ("inspecting", len(FILM))
        assert reply.fields["fishladder-video"] == video["id"]
        assert ports.blobs.get(source_key(VideoId(video["id"]))) == FILM

    run(test())


@pytest.mark.parametrize("size", [1, 7, 100, 1024])
def test_a_form_may_come_in_pieces_of_any_size(ports: Ports, size: int) -> None:
    async def test() -> None:
        form = a_field("title", "Mine") + a_file(FILM + b"\r\n--fis") + END + b"epilogue"
        pieces = [form[i : i + size] for i in range(0, len(form), size)]
        reply = await post(small_app(ports), Sending(pieces))
        assert reply.status == 201, reply
        assert ports.blobs.get(source_key(VideoId(json.loads(reply.content)["id"]))) == FILM + b"\r\n--fis"

    run(test())


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        (b"", 400, "invalid_request"),
        (END, 400, "invalid_request"),
        (a_field("title", "x") + END, 400, "invalid_request"),
        (b"not a form at all", 400, "invalid_request"),
        (a_file(), 400, "invalid_request"),
        (a_file() + a_field("title", "late") + END, 400, "invalid_request"),
        (a_file() + a_file() + END, 400, "invalid_request"),
        (a_field("title", "x" * 70_000) + a_file() + END, 400, "invalid_request"),
        (b"".join(a_field(f"f{i}", "") for i in range(30)) + a_file() + END, 400, "invalid_request"),
        (a_field("priority", "playable") + a_file() + END, 400, "invalid_request"),
        (a_file(bytes(3000)) + END, 413, "too_large"),
    ],
    ids=[
        "nothing", "only an end", "no file", "no form", "no end", "a late field", "two files", "long fields",
        "many fields", "a lane of ours", "too large",
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_taken_leaves_nothing(ports: Ports, form: bytes, status: int, code: str) -> None:
    async def test() -> None:
        app = small_app(ports, max_form_bytes=2000)
        reply = await post(app, Sending([form]))
        assert (reply.status, reply.problem["code"]) == (status, code)
        listed = json.loads((await ask(app, "GET", "/api/v1/videos", tus=False)).content)
        assert listed["videos"] == []
        assert list(ports.blobs.list("sources/")) == []
        assert list(ports.blobs.list("tails/")) == []
        assert list(ports.blobs.list_multiparts("sources/")) == []

    run(test())


def test_a_form_that_says_it_is_too_large_is_not_read(ports: Ports) -> None:
    async def test() -> None:
        sending = Sending([bytes(100)])
        reply = await post(small_app(ports), sending, **{"content-length": str(2 << 30)})
        assert (reply.status, reply.read_bytes) == (413, 0)

    run(test())


def test_a_form_whose_connection_breaks_leaves_nothing(ports: Ports) -> None:
    async def test() -> None:
        await post(small_app(ports), Sending([a_file()[:500]], breaks=True))
        assert list(ports.blobs.list("tails/")) == []
        assert list(ports.blobs.list_multiparts("sources/")) == []
        assert [event.data["state"] for event in ports.catalogue.events_after(0) if event.kind == "state"] == [
            "uploading",
            "deleted",
        ]

    run(test())


def test_what_is_no_video_is_refused_and_says_so_on_its_video(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, base_part_bytes=HEAD_BYTES)
        reply = await post(app, a_file(b"<!doctype html>" * 20_000, "page.html") + END)
        assert (reply.status, reply.problem["code"]) == (422, "upload_refused")
        (video,) = json.loads((await ask(app, "GET", "/api/v1/videos", tus=False)).content)["videos"]
        assert (video["state"], video["reason_code"]) == ("rejected", "not_media")

    run(test())


def test_other_kinds_of_body_are_refused(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        for kind in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded", ""):
            reply = await ask(app, "POST", "/api/v1/videos", {"content-type": kind}, b"x", tus=False)
            assert (reply.status, reply.problem["code"]) == (415, "wrong_content_type"), kind

    run(test())
