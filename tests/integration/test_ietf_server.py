"""Resumable Uploads for HTTP on a real server, with answers before the answer, broken connections and killed processes.
The client is ours (`tests.ietf_client`): the registries have none."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from storage.blobs.local import LocalBlobs
from storage.ids import VideoId
from storage.keys import source_key
from tests.ietf_client import IetfReply, IetfRequest, append, request, upload_carefully
from tests.upload_server import PART_BYTES, UploadServer, running

pytestmark = pytest.mark.integration

FILM = b"\x1a\x45\xdf\xa3" + random.Random(29).randbytes(4 * PART_BYTES + 12_345)  # what Matroska begins with
WHOLE = {"Upload-Complete": "?1", "Content-Length": str(len(FILM))}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[UploadServer]:
    with running(tmp_path) as server:
        yield server


def arrived(folder: Path, reply: IetfReply) -> bool:
    content = LocalBlobs(folder / "store").get(source_key(VideoId(json.loads(reply.content)["video_id"])))
    return hashlib.sha256(content).digest() == hashlib.sha256(FILM).digest()


def test_a_creation_is_told_where_to_go_on_before_its_body_is_sent(server: UploadServer, tmp_path: Path) -> None:
    with IetfRequest("POST", f"{server.url}/uploads", WHOLE) as asking:
        status, fields = asking.next_answer()
        assert status == 104
        assert fields["location"].startswith(f"{server.url}/uploads/")
        assert fields["upload-limit"].startswith("max-size=")
        assert fields["upload-draft-interop-version"] == "8"
        assert "upload-offset" not in fields
        asking.send(FILM)
        reply = asking.finish()
    assert (reply.status, reply.complete) == (201, True)
    assert arrived(tmp_path, reply)


def test_an_upload_whose_connection_breaks_is_resumed_by_what_104_told(server: UploadServer, tmp_path: Path) -> None:
    with IetfRequest("POST", f"{server.url}/uploads", WHOLE) as asking:
        url = asking.next_answer()[1]["location"]
        asking.send(FILM[: 2 * PART_BYTES + 77])
    # The request whose connection is gone may not have begun to write when we ask, and write after it: then the offset
    # that we were told is not the upload's any more, and the next one is.
    for _ in range(3):
        found = request("HEAD", url)
        assert (found.status, found.complete, found.fields["upload-length"]) == (204, False, str(len(FILM)))
        assert found.offset <= 2 * PART_BYTES + 77  # what was still on its way is let go
        reply = append(url, found.offset, FILM[found.offset :], complete=True)
        if reply.status != 409:
            break
    assert (reply.status, reply.complete) == (200, True)
    assert arrived(tmp_path, reply)


def test_a_careful_upload(server: UploadServer, tmp_path: Path) -> None:
    reply = upload_carefully(f"{server.url}/uploads", FILM, [1, PART_BYTES, 12_345])
    assert (reply.status, reply.complete) == (200, True)
    assert arrived(tmp_path, reply)


def test_a_sender_hears_how_much_is_safe(server: UploadServer, tmp_path: Path) -> None:
    """«These interim responses MUST NOT include the Location header field.»"""
    url = request("POST", f"{server.url}/uploads", b"", upload_complete="?0").fields["location"]
    told = {"Content-Type": "application/partial-upload", "Upload-Offset": "0"}
    with IetfRequest("PATCH", url, told | WHOLE) as asking:
        asking.send(FILM[: 2 * PART_BYTES])
        while (
            httpx.get(f"{server.url}/api/v1/uploads/{url.rpartition('/')[2]}").json()["offset_bytes"] < 2 * PART_BYTES
        ):
            time.sleep(0.05)
        time.sleep(1.1)  # at most once a second
        asking.send(FILM[2 * PART_BYTES : 4 * PART_BYTES])
        status, fields = asking.next_answer()
        assert (status, int(fields["upload-offset"]) in range(PART_BYTES, 4 * PART_BYTES + 1)) == (104, True)
        assert "location" not in fields
        asking.send(FILM[4 * PART_BYTES :])
        assert asking.finish().complete


def test_a_killed_server_loses_nothing_that_it_told_of(tmp_path: Path) -> None:
    with running(tmp_path) as server, IetfRequest("POST", f"{server.url}/uploads", WHOLE) as asking:
        url = asking.next_answer()[1]["location"]
        asking.send(FILM[: 3 * PART_BYTES])
        while httpx.get(f"{server.url}/api/v1/uploads/{url.rpartition('/')[2]}").json()["offset_bytes"] < PART_BYTES:
            time.sleep(0.05)
        server.kill()
    with running(tmp_path) as server:
        url = f"{server.url}/uploads/{url.rpartition('/')[2]}"
        found = request("HEAD", url)
        assert found.offset >= PART_BYTES
        reply = append(url, found.offset, FILM[found.offset :], complete=True)
        assert arrived(tmp_path, reply)


def test_other_clients_get_no_answer_before_the_answer(server: UploadServer, tmp_path: Path) -> None:
    reply = httpx.post(f"{server.url}/uploads?title=Plain", content=FILM, timeout=60)
    assert reply.status_code == 201
    assert reply.json()["video_id"] == reply.headers["fishladder-video"]


def test_continue_comes_after_the_address(server: UploadServer) -> None:
    """«the server MUST NOT omit the 100 (Continue) response because it has sent an interim response with the 104»"""
    with IetfRequest("POST", f"{server.url}/uploads", WHOLE | {"Expect": "100-continue"}) as asking:
        assert [asking.next_answer()[0] for _ in range(2)] == [104, 100]
        asking.send(FILM)
        assert asking.finish().complete
