"""Keys on a real server: what it says before, and what it writes down."""

from __future__ import annotations

import base64
import io
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tusclient.client import TusClient

from storage.access import NewKey, Scope, new_token
from storage.ids import DEFAULT_TENANT
from tests.upload_server import PART_BYTES, UploadServer, open_ports, running

pytestmark = pytest.mark.integration

FILM = b"\x1a\x45\xdf\xa3" + b"film" * (PART_BYTES // 2)


@dataclass(frozen=True)
class House:
    server: UploadServer
    folder: Path
    key: str

    def post(self, head: list[str], body: bytes = b"") -> socket.socket:
        """A connection with a creation and the beginning of its body sent."""
        host = self.server.url.removeprefix("http://")
        connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
        lines = [
            "POST /files HTTP/1.1",
            f"Host: {host}",
            "Tus-Resumable: 1.0.0",
            "Upload-Length: 3000000",
            *head,
            "",
            "",
        ]
        connection.sendall("\r\n".join(lines).encode() + body)
        return connection


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    ports, token = open_ports(tmp_path), new_token()
    ports.catalogue.create_key(NewKey(tenant=DEFAULT_TENANT, name="test", scopes=(Scope.ADMIN,)), token)
    ports.catalogue.close()
    with running(tmp_path, needs_key=True) as server:
        yield House(server, tmp_path, token.text)


def test_continue_is_not_said_to_who_has_no_key(house: House) -> None:
    expecting = ["Expect: 100-continue", "Content-Type: application/offset+octet-stream", "Content-Length: 3000000"]
    with house.post(expecting) as connection:
        assert connection.makefile("rb").readline().split()[1] == b"401"
    with house.post([*expecting, f"Authorization: Bearer {house.key}"]) as connection:
        assert connection.makefile("rb").readline().split()[1] == b"100"


def test_who_sends_without_a_key_can_still_read_why_not(house: House) -> None:
    head = ["Content-Type: application/offset+octet-stream", "Content-Length: 3000000"]
    with house.post(head, b"x" * 3_000_000) as connection, connection.makefile("rb") as answer:
        assert answer.readline().split()[1] == b"401"
        assert b"not_signed_in" in answer.read()
    json_head = {"Content-Type": "application/json"}
    refused = httpx.post(f"{house.server.url}/api/v1/keys", headers=json_head, content=b"{" * 500_000, timeout=60)
    assert refused.status_code == 401


def test_a_trailer_is_no_key(house: House) -> None:
    chunked = ["Content-Type: application/offset+octet-stream", "Transfer-Encoding: chunked", "Trailer: Authorization"]
    body = b"5\r\nhello\r\n0\r\nAuthorization: Bearer " + house.key.encode() + b"\r\n\r\n"
    with house.post(chunked, body) as connection:
        assert connection.makefile("rb").readline().split()[1] == b"401"


def test_nothing_secret_is_written_down(house: House) -> None:
    url, shown = house.server.url, {"Authorization": f"Bearer {house.key}"}
    uploader = TusClient(f"{url}/files", headers=shown).uploader(file_stream=io.BytesIO(FILM), chunk_size=PART_BYTES)
    uploader.upload()
    grant = httpx.post(f"{url}/api/v1/grants", headers=shown, json={}, timeout=60).json()["token"]
    begun = httpx.post(
        f"{url}/files",
        headers={"Authorization": f"Bearer {grant}", "Tus-Resumable": "1.0.0", "Upload-Length": "5"},
        timeout=60,
    )
    signed = httpx.post(f"{url}/api/v1/session", json={"key": house.key}, headers={"Origin": url}, timeout=60)
    wrong = new_token().text
    for token in (wrong, grant[:-2]):
        assert (
            httpx.get(f"{url}/api/v1/videos", headers={"Authorization": f"Bearer {token}"}, timeout=60).status_code
            == 401
        )
    upload_ids = [uploader.url.rpartition("/")[2], begun.headers["Location"].rpartition("/")[2]]
    secrets = [house.key, grant, wrong, signed.cookies["fishladder_session"], *upload_ids]
    assert house.server.terminate() in (0, -15)
    told = (house.folder / "server.log").read_text()
    assert "upload_completed" in told
    for secret in secrets:
        assert secret not in told
        assert base64.b64encode(secret.encode()).decode() not in told
    database = b"".join(file.read_bytes() for file in house.folder.glob("catalogue.db*"))
    assert house.key.rpartition("_")[2][:32].encode() not in database  # at rest there is a digest only
    assert json.dumps(grant).encode() not in database
