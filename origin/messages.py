"""Requests and responses as values, and the ASGI triple that they are read from and written to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from origin.access import split_token, token_of_query
from storage.errors import Rejected, TooLarge
from storage.grants import is_within

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]

WHOLE_BYTES = 1024 * 1024
"""Bodies up to this size are sent in one message, which is the fastest way."""
PIECE_BYTES = 256 * 1024

_WANTED = {
    b"range": "range",
    b"if-range": "if_range",
    b"if-none-match": "if_none_match",
    b"accept-encoding": "accept_encoding",
    b"fishladder-edge": "edge",
    b"x-forwarded-for": "forwarded_for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What delivery looks at. ``path`` is without a token; ``query`` is as it was sent; ``address``: who asks."""

    method: str
    path: str
    query: str = ""
    token: str | None = None
    token_in_path: bool = False
    can_send_files: bool = False
    address: str | None = None
    edge: str | None = None
    range: str | None = None
    if_range: str | None = None
    if_none_match: str | None = None
    accept_encoding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """``body`` is left out of the answer to HEAD, which has the headers of GET. Instead of it there may be ``pieces``, as
    they come, or ``path``: a file that the server sends by itself. ``length`` is that of any of them. ``ended`` is called
    once, when the answer has been sent or broken off."""

    status: int
    headers: Headers
    body: bytes = b""
    pieces: AsyncIterator[bytes] | None = None
    path: Path | None = None
    length: int | None = None
    ended: Callable[[], None] | None = None

    @property
    def sent_bytes(self) -> int:
        return len(self.body) if self.length is None else self.length


class BodyTooSlow(Rejected):
    """The body of this request did not come in time."""

    code = "request_timeout"


class ClientTooSlow(Exception):
    """A client did not take its bytes in time; its connection is cut."""


def read_request(scope: Scope, trusted_proxies: tuple[str, ...] = ()) -> Request:
    """``trusted_proxies``: addresses and networks whose X-Forwarded-For is believed."""
    wanted: dict[str, str] = {}
    for name, value in scope["headers"]:
        field = _WANTED.get(name)
        if field is not None:
            text = value.decode("latin-1")
            wanted[field] = f"{wanted[field]}, {text}" if field in wanted else text
    token, path = split_token(scope["path"])
    query = scope.get("query_string", b"").decode("latin-1")
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=path,
        query=query,
        token=token if token is not None else token_of_query(query) if "token=" in query else None,
        token_in_path=token is not None,
        can_send_files="http.response.pathsend" in scope.get("extensions", ()),
        address=_speaks_for(client[0] if client else None, wanted.pop("forwarded_for", None), trusted_proxies),
        **wanted,
    )


async def read_body(receive: Receive, most_bytes: int, client_timeout_s: float) -> bytes:
    """The body of a request. Raises `TooLarge`, and `BodyTooSlow` if it has not come whole within the time:
    who waits for one counts among those who are served."""
    body = b""
    try:
        async with asyncio.timeout(client_timeout_s):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return body
                body += bytes(message.get("body", b""))
                if len(body) > most_bytes:
                    raise TooLarge(most_bytes=most_bytes)
                if not message.get("more_body", False):
                    return body
    except TimeoutError as error:
        raise BodyTooSlow from error


def address_of(scope: Scope, trusted_proxies: tuple[str, ...]) -> str | None:
    """Who asks, as `read_request` says."""
    client = scope.get("client")
    said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return _speaks_for(client[0] if client else None, ", ".join(said) or None, trusted_proxies)


def _speaks_for(address: str | None, forwarded_for: str | None, trusted: tuple[str, ...]) -> str | None:
    """Who asks: the last address before proxies that we trust."""
    for earlier in reversed((forwarded_for or "").split(",")):
        if not earlier.strip() or not any(is_within(address, network) for network in trusted):
            break
        address = earlier.strip()
    return address


def header(name: str, value: str | int) -> tuple[bytes, bytes]:
    return name.encode("latin-1"), str(value).encode("latin-1")


def json_response(
    status: int, value: object, *, content_type: str = "application/json", headers: Headers | None = None
) -> Response:
    body = json.dumps(value).encode()
    own = [header("content-type", content_type), header("content-length", len(body))]
    return Response(status=status, headers=own + (headers or []), body=body)


async def send_response(send: Send, request: Request, response: Response, client_timeout_s: float) -> None:
    """Raises `ClientTooSlow`; what a body that comes in pieces raises, it raises too: the connection is cut then."""
    try:
        await _send(send, request, response, client_timeout_s)
    finally:
        if response.ended is not None:
            response.ended()


async def _send(send: Send, request: Request, response: Response, client_timeout_s: float) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    if request.method == "HEAD":
        await send({"type": "http.response.body", "body": b""})
    elif response.path is not None:
        await send({"type": "http.response.pathsend", "path": str(response.path)})
    elif response.pieces is not None:
        async for piece in response.pieces:
            await _send_in_time(send, piece, client_timeout_s)
        await send({"type": "http.response.body", "body": b""})
    elif len(response.body) > WHOLE_BYTES:
        await send_in_pieces(send, response.body, client_timeout_s)
    else:
        await send({"type": "http.response.body", "body": response.body})


async def send_in_pieces(send: Send, body: bytes, client_timeout_s: float) -> None:
    """The server copies what it is given and holds it until the client has taken it: in pieces, a slow client costs the
    memory of a few of them, however big the body, and can be noticed."""
    for start in range(0, len(body), PIECE_BYTES):
        await _send_in_time(send, body[start : start + PIECE_BYTES], client_timeout_s)
    await send({"type": "http.response.body", "body": b""})


async def _send_in_time(send: Send, piece: bytes, client_timeout_s: float) -> None:
    try:
        async with asyncio.timeout(client_timeout_s):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError as error:
        raise ClientTooSlow from error
