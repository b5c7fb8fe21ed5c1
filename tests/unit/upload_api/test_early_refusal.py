"""What is not video is stopped after its first part, with a reason, and HEAD goes on answering."""

from __future__ import annotations

import base64
import hashlib

import pytest

from storage.ids import VideoId
from storage.lifecycle import VideoState
from storage.media.sniffing import HEAD_BYTES
from tests.uploads import Sending, ask, create, offset_of, patch, run, small_app
from upload_api.app import Ports

PART = 2 * HEAD_BYTES
ARCHIVE = b"PK\x03\x04" + bytes(3 * PART)
FILM = b"\x1a\x45\xdf\xa3" + bytes(3 * PART)


def pieces(data: bytes, size: int = 50_000) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("sent_before", [0, 100, PART - 1])
def test_a_file_that_is_no_video_is_refused_at_its_first_part(ports: Ports, sent_before: int) -> None:
    async def test() -> None:
        app = small_app(ports, base_part_bytes=PART)
        created = await create(app, 100 * PART)
        url, video_id = created.fields["location"], VideoId(created.fields["fishladder-video"])
        if sent_before:
            await patch(app, url, 0, Sending([ARCHIVE[:sent_before]], breaks=True))
        body = Sending(pieces(ARCHIVE[sent_before:] + bytes(50 * PART)))
        reply = await patch(app, url, sent_before, body)
        assert (reply.status, reply.problem["code"]) == (422, "upload_refused")
        assert reply.problem["reason_code"] == "not_media"
        assert reply.problem["detail"] == "This is not a video: it looks like a ZIP archive or an office document."
        assert await offset_of(app, url) == sent_before, "HEAD still answers, with what is on record"
        assert (await patch(app, url, sent_before, b"more")).status == 422
        video = ports.catalogue.video(video_id)
        assert (video.state, video.reason_code, video.reason) == (
            VideoState.REJECTED,
            "not_media",
            reply.problem["detail"],
        )
        assert list(ports.blobs.list("")) == []
        assert list(ports.blobs.list_multiparts("")) == []

    run(test())


def test_video_is_let_through_and_so_is_what_fits_into_one_part(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, base_part_bytes=PART)
        for data in (FILM, ARCHIVE[:PART], ARCHIVE[: PART - 1], b"text"):
            url = (await create(app, len(data))).fields["location"]
            assert (await patch(app, url, 0, Sending(pieces(data)))).status == 204

    run(test())


def test_a_partial_upload_has_no_head_to_look_at(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, base_part_bytes=PART)
        fields = {"upload-length": str(len(ARCHIVE)), "upload-concat": "partial"}
        url = (await ask(app, "POST", "/files", fields)).fields["location"]
        assert (await patch(app, url, 0, ARCHIVE)).status == 204

    run(test())


def test_bytes_that_were_damaged_on_their_way_do_not_condemn_a_file(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports, base_part_bytes=PART)
        url = (await create(app, len(FILM))).fields["location"]
        damaged = b"\x00\x01" + FILM[2:]
        promise = f"sha256 {base64.b64encode(hashlib.sha256(FILM).digest()).decode()}"
        assert (await patch(app, url, 0, damaged, upload_checksum=promise)).status == 460
        assert (await patch(app, url, 0, FILM, upload_checksum=promise)).status == 204
        url = (await create(app, len(ARCHIVE) + 1)).fields["location"]
        promise = f"sha256 {base64.b64encode(hashlib.sha256(ARCHIVE).digest()).decode()}"
        assert (await patch(app, url, 0, ARCHIVE, upload_checksum=promise)).status == 422

    run(test())
