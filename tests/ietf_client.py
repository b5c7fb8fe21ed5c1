"""A client of Resumable Uploads for HTTP (the IETF's draft, interop version 8). It is ours, for lack of another: no package
registry has one. It speaks over a bare socket, as what it is about are answers before the answer, which HTTP libraries
throw away."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import urlsplit

SILENCE_S = 90


@dataclass(frozen=True)
class IetfReply:
    """``interim``: the 1xx answers that came before, each its status and fields."""

    status: int
    fields: dict[str, str]
    content: bytes
    interim: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    @property
    def offset(self) -> int:
        return int(self.fields["upload-offset"])

    @property
    def complete(self) -> bool:
        return self.fields["upload-complete"] == "?1"


class IetfRequest:
    """One request on a connection of its own, whose body may be sent bit by bit."""

    def __init__(self, method: str, url: str, fields: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=SILENCE_S)
        self._answer: BinaryIO = self._socket.makefile("rb")
        self._method = method
        told = {"Host": parts.netloc, "Upload-Draft-Interop-Version": "8", "Connection": "close"} | fields
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answer.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def next_answer(self) -> tuple[int, dict[str, str]]:
        """Status and fields of the next answer, which may be one before the answer."""
        status = int(self._answer.readline().split()[1])
        fields: dict[str, str] = {}
        while line := self._answer.readline().rstrip(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(": ")
            assert name.lower() not in fields, f"{name} came twice"
            fields[name.lower()] = value
        return status, fields

    def finish(self) -> IetfReply:
        interim = []
        while (answer := self.next_answer())[0] < 200:
            interim.append(answer)
        status, fields = answer
        bodiless = status == 204 or self._method == "HEAD"
        content = b"" if bodiless else self._answer.read(int(fields.get("content-length", "0")))
        return IetfReply(status, fields, content, interim)


def request(method: str, url: str, body: bytes | None = None, **fields: str) -> IetfReply:
    """A whole request. Fields in Python's spelling: ``upload_complete="?1"``."""
    told = {name.replace("_", "-"): value for name, value in fields.items()}
    if body is not None:
        told["Content-Length"] = str(len(body))
    with IetfRequest(method, url, told) as asking:
        if body:
            asking.send(body)
        return asking.finish()


def append(url: str, offset: int, body: bytes, *, complete: bool, **fields: str) -> IetfReply:
    told = {"content_type": "application/partial-upload", "upload_offset": str(offset)}
    return request("PATCH", url, body, **told, upload_complete="?1" if complete else "?0", **fields)


def upload_carefully(endpoint: str, content: bytes, steps: Iterable[int], **fields: str) -> IetfReply:
    """«Careful upload creation», then appends of ``steps`` bytes each, the last one with the rest."""
    created = request("POST", endpoint, b"", upload_complete="?0", upload_length=str(len(content)), **fields)
    assert created.status == 201, created
    url, at = created.fields["location"], 0
    for step in steps:
        replied = append(url, at, content[at : at + step], complete=False)
        assert replied.status == 204, replied
        at += step
    return append(url, at, content[at:], complete=True)
