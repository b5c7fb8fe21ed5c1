"""Requests and responses as values, and the ASGI triple that they are read from and written to."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]

_WANTED = {
    b"range": "range",
    b"if-range": "if_range",
    b"if-none-match": "if_none_match",
    b"accept-encoding": "accept_encoding",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What delivery looks at. The query is not here: nothing depends on it, and it may carry what players report."""

    method: str
    path: str
    range: str | None = None
    if_range: str | None = None
    if_none_match: str | None = None
    accept_encoding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """``body`` is left out of the answer to HEAD, which has the headers of GET."""

    status: int
    headers: Headers
    body: bytes = b""


def read_request(scope: Scope) -> Request:
    wanted: dict[str, str] = {}
    for name, value in scope["headers"]:
        field = _WANTED.get(name)
        if field is not None:
            text = value.decode("latin-1")
            wanted[field] = f"{wanted[field]}, {text}" if field in wanted else text
    return Request(method=scope["method"], path=scope["path"], **wanted)


def header(name: str, value: str | int) -> tuple[bytes, bytes]:
    return name.encode("latin-1"), str(value).encode("latin-1")


def json_response(
    status: int, value: object, *, content_type: str = "application/json", headers: Headers | None = None
) -> Response:
    body = json.dumps(value).encode()
    own = [header("content-type", content_type), header("content-length", len(body))]
    return Response(status=status, headers=own + (headers or []), body=body)


async def send_response(send: Send, request: Request, response: Response) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    body = b"" if request.method == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})
