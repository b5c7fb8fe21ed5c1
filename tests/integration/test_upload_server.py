"""The upload API on a real server, with real clients, broken connections and killed processes."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tusclient.client import TusClient

from storage.blobs.local import LocalBlobs
from storage.ids import VideoId
from storage.keys import source_key
from tests.upload_server import PART_BYTES, UploadServer, running

pytestmark = pytest.mark.integration

TUS = {"Tus-Resumable": "1.0.0"}
BODY = TUS | {"Content-Type": "application/offset+octet-stream"}
FILM = b"\x1a\x45\xdf\xa3" + random.Random(7).randbytes(6 * PART_BYTES + 12_345)  # what Matroska begins with


@pytest.fixture
def server(tmp_path: Path) -> Iterator[UploadServer]:
    with running(tmp_path) as server:
        yield server


def create(server: UploadServer, length: int = len(FILM)) -> tuple[str, str]:
    """(upload URL, video id) of a new upload."""
    reply = httpx.post(f"{server.url}/files", headers=TUS | {"Upload-Length": str(length)})
    assert reply.status_code == 201
    return reply.headers["Location"], reply.headers["Fishladder-Video"]


def offset_of(url: str) -> int:
    reply = httpx.head(url, headers=TUS, timeout=30)
    assert reply.status_code == 200, reply
    return int(reply.headers["Upload-Offset"])


def on(server: UploadServer, url: str) -> str:
    """The same upload on another server."""
    return f"{server.url}/files/{url.rpartition('/')[2]}"


def send_rest(url: str) -> httpx.Response:
    offset = offset_of(url)
    return httpx.patch(url, headers=BODY | {"Upload-Offset": str(offset)}, content=FILM[offset:], timeout=60)


def stored_digest(folder: Path, video: str) -> str:
    return hashlib.sha256(LocalBlobs(folder / "store").get(source_key(VideoId(video)))).hexdigest()


def eventually(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def begin_patch(
    url: str, offset: int, length: int, *, chunked: bool = False, expect: bool = False, more: tuple[str, ...] = ()
) -> socket.socket:
    """A connection with the head of a PATCH sent."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    connection = socket.create_connection((name, int(port)), timeout=30)
    size = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
    head = [
        f"PATCH /{path} HTTP/1.1",
        f"Host: {host}",
        "Tus-Resumable: 1.0.0",
        "Content-Type: application/offset+octet-stream",
        f"Upload-Offset: {offset}",
        size,
        *(["Expect: 100-continue"] if expect else []),
        *more,
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode())
    return connection


def status_of(connection: socket.socket) -> int:
    with connection.makefile("rb") as answer:
        return int(answer.readline().split()[1])


def durable(server: UploadServer, url: str) -> int:
    """The offset on record, without disturbing the writer as a HEAD would."""
    reply = httpx.get(f"{server.url}/api/v1/uploads/{url.rpartition('/')[2]}")
    return int(reply.json()["offset_bytes"])


@pytest.mark.parametrize("sent", [1, 70_000, PART_BYTES + 5, 3 * PART_BYTES + 777, len(FILM) - 1])
def test_13_bytes_before_a_broken_connection_are_all_kept(server: UploadServer, tmp_path: Path, sent: int) -> None:
    url, video = create(server)
    connection = begin_patch(url, 0, len(FILM))
    connection.sendall(FILM[:sent])
    connection.close()
    eventually(lambda: durable(server, url) == sent)
    assert offset_of(url) == sent
    assert send_rest(url).status_code == 204
    assert stored_digest(tmp_path, video) == hashlib.sha256(FILM).hexdigest()


def test_14_more_bytes_than_the_length_are_refused_before_they_are_read(server: UploadServer) -> None:
    url, _ = create(server, 100)
    connection = begin_patch(url, 0, 10 * PART_BYTES)
    assert status_of(connection) == 413
    connection.close()
    assert offset_of(url) == 0


def test_16_a_chunked_body_is_taken(server: UploadServer, tmp_path: Path) -> None:
    url, video = create(server)
    pieces = iter([FILM[:100], FILM[100 : 3 * PART_BYTES], FILM[3 * PART_BYTES :]])
    reply = httpx.patch(url, headers=BODY | {"Upload-Offset": "0"}, content=pieces, timeout=60)
    assert (reply.status_code, reply.headers["Upload-Offset"]) == (204, str(len(FILM)))
    assert stored_digest(tmp_path, video) == hashlib.sha256(FILM).hexdigest()


@pytest.mark.parametrize(("promised", "status", "kept"), [(b"hello fish", 204, 10), (b"hullo fish", 460, 0)])
def test_43_a_checksum_in_the_trailer_is_checked(server: UploadServer, promised: bytes, status: int, kept: int) -> None:
    announced = httpx.options(f"{server.url}/files").headers["Tus-Extension"].split(",")
    assert "checksum-trailer" in announced
    url, _ = create(server)
    connection = begin_patch(url, 0, 0, chunked=True, more=("Trailer: Upload-Checksum",))
    digest = base64.b64encode(hashlib.sha1(promised).digest()).decode()
    connection.sendall(b"a\r\nhello fish\r\n0\r\n" + f"Upload-Checksum: sha1 {digest}\r\n\r\n".encode())
    assert status_of(connection) == status
    connection.close()
    assert offset_of(url) == kept


def test_43_a_trailer_is_no_header(server: UploadServer) -> None:
    url, _ = create(server)
    connection = begin_patch(url, 0, 0, chunked=True)
    connection.sendall(b"5\r\nhello\r\n0\r\nX-HTTP-Method-Override: DELETE\r\nUpload-Length: 5\r\n\r\n")
    assert status_of(connection) == 204
    connection.close()
    assert offset_of(url) == 5


def test_33_continue_is_only_said_to_a_request_that_may_send(server: UploadServer) -> None:
    url, _ = create(server)
    refused = begin_patch(url, 5, 100, expect=True)
    assert status_of(refused) == 409
    refused.close()
    welcome = begin_patch(url, 0, 100, expect=True)
    assert status_of(welcome) == 100
    welcome.close()


def test_a_client_that_sends_against_a_refusal_still_reads_it(server: UploadServer) -> None:
    url, _ = create(server)
    connection = begin_patch(url, 5, len(FILM))
    connection.sendall(FILM[: 2 * PART_BYTES])
    assert status_of(connection) == 409
    connection.close()


def test_55_a_second_connection_takes_over_from_a_dead_one(server: UploadServer, tmp_path: Path) -> None:
    url, video = create(server)
    silent = begin_patch(url, 0, len(FILM))
    silent.sendall(FILM[: 2 * PART_BYTES + 100])
    eventually(lambda: durable(server, url) >= 2 * PART_BYTES)
    assert offset_of(url) >= 2 * PART_BYTES
    assert status_of(silent) == 423
    silent.close()
    assert send_rest(url).status_code == 204
    assert stored_digest(tmp_path, video) == hashlib.sha256(FILM).hexdigest()


def test_two_writers_at_once_never_mix_their_bytes(server: UploadServer, tmp_path: Path) -> None:
    url, video = create(server)

    def write() -> None:
        while True:
            try:
                if offset_of(url) == len(FILM):
                    return
                send_rest(url)
            except (httpx.TransportError, AssertionError):
                continue

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
        assert not writer.is_alive()
    assert stored_digest(tmp_path, video) == hashlib.sha256(FILM).hexdigest()
    assert httpx.get(f"{server.url}/api/v1/videos/{video}").json()["state"] == "inspecting"


def test_57_a_killed_server_is_resumed_by_the_next_one(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        url, video = create(first)
        connection = begin_patch(url, 0, len(FILM))
        connection.sendall(FILM[: 4 * PART_BYTES + 500])
        eventually(lambda: durable(first, url) >= 2 * PART_BYTES)
        promised = durable(first, url)
        first.kill()
        connection.close()
    with running(tmp_path) as second:
        url = on(second, url)
        assert offset_of(url) >= promised
        assert send_rest(url).status_code == 204
        assert stored_digest(tmp_path, video) == hashlib.sha256(FILM).hexdigest()
        told = httpx.get(f"{second.url}/api/v1/videos/{video}").json()
        assert (told["state"], told["source_bytes"]) == ("inspecting", len(FILM))


def test_sigterm_ends_uploads_and_event_streams_with_everything_kept(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        url, video = create(first)
        connection = begin_patch(url, 0, len(FILM))
        connection.sendall(FILM[: 2 * PART_BYTES])
        eventually(lambda: durable(first, url) == 2 * PART_BYTES)
        with httpx.stream("GET", f"{first.url}/api/v1/events", timeout=30) as events:
            lines = events.iter_lines()
            assert next(lines).startswith("retry:")
            assert first.terminate() in (0, -15)
        assert status_of(connection) == 503
        connection.close()
    with running(tmp_path) as second:
        assert offset_of(on(second, url)) == 2 * PART_BYTES
        assert send_rest(on(second, url)).status_code == 204
        assert stored_digest(tmp_path, video) == hashlib.sha256(FILM).hexdigest()


def test_what_is_no_video_is_stopped_with_a_reason_that_the_sender_can_read(server: UploadServer) -> None:
    url, video = create(server, 50_000 * PART_BYTES)
    connection = begin_patch(url, 0, 50_000 * PART_BYTES)
    connection.sendall(b"PK\x03\x04" + bytes(2 * PART_BYTES))
    assert status_of(connection) == 422
    connection.close()
    assert offset_of(url) < 2 * PART_BYTES, "HEAD still answers: a client would start anew on any error"
    again = httpx.patch(url, headers=BODY | {"Upload-Offset": str(offset_of(url))}, content=b"more")
    assert again.status_code == 422
    assert again.json()["detail"] == "This is not a video: it looks like a ZIP archive or an office document."
    told = httpx.get(f"{server.url}/api/v1/videos/{video}").json()
    assert (told["state"], told["reason_code"]) == ("rejected", "not_media")


def test_tuspy_uploads_in_chunks_and_resumes(server: UploadServer, tmp_path: Path) -> None:
    client = TusClient(f"{server.url}/files")
    half = client.uploader(
        file_stream=io.BytesIO(FILM), chunk_size=700_000, metadata={"filename": "fish.mp4", "priority": "bulk"}
    )
    half.upload(stop_at=3 * PART_BYTES)
    rest = client.uploader(file_stream=io.BytesIO(FILM), chunk_size=PART_BYTES, url=half.url)
    assert rest.offset == half.offset
    rest.upload()
    told = httpx.get(f"{server.url}/api/v1/uploads/{half.url.rpartition('/')[2]}").json()
    video = httpx.get(f"{server.url}/api/v1/videos/{told['video_id']}").json()
    assert (video["title"], video["lane"], video["state"]) == ("fish", "bulk", "inspecting")
    assert stored_digest(tmp_path, video["id"]) == hashlib.sha256(FILM).hexdigest()
