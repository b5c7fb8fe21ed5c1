"""Opening an address from some byte on, and its bytes as they come.

httpcore speaks HTTP, so that nothing is done behind our back: no redirect is followed, no proxy asked, no coding undone.
A connection is made to the address that the guard judged, while TLS still asks for the certificate of the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpcore

from storage.errors import Unavailable
from upload_api.errors import ImportRefused
from upload_api.imports.guard import Address, Network, Target, check_addresses, follow, parse_target

MAX_REDIRECTS = 5
OPEN_S = 15.0
"""Until the header of an answer is there, redirects and all."""
SILENCE_S = 30.0
USER_AGENT = b"Fishladder"
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_COUNT = re.compile(r"\d{1,18}", re.ASCII)

Resolve = Callable[[str, int], Awaitable[tuple[Address, ...]]]


async def resolve(host: str, port: int) -> tuple[Address, ...]:
    """All addresses of ``host``, each once. Raises `Unavailable`."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"No address of {host} is known.") from error
    return tuple(dict.fromkeys(ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found))


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects only where the guard lets it. What is resolved is judged, and what was judged is connected to."""

    def __init__(self, allowed: tuple[Network, ...], resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        check_addresses(addresses, self._allowed)
        failed: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("Nothing is imported from sockets.")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What an answer promises. ``start``: of its first byte; ``length_bytes``: of the whole file, None if untold.
    ``validator``: what tells this file from a later one at the same address."""

    start: int
    length_bytes: int | None
    validator: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The least that has to come: ``least_bytes`` in every ``window_s`` that we wait for it."""

    least_bytes: int
    window_s: float


class Arriving:
    """The body of an answer, as `upload_api.tus.body.Pieces`. One that comes slower than its pace is left."""

    def __init__(self, stream: AsyncIterator[bytes], pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._pace = pace
        self._clock = clock
        self._waited_s, self._came_bytes = 0.0, 0
        self._left_over = b""
        self.trickles = False
        self.ended = False
        self.disconnected = False
        self.why: str | None = None

    async def read(self) -> bytes:
        if self._left_over:
            piece, self._left_over = self._left_over, b""
            return piece
        begun = self._clock()
        try:
            piece = await anext(self._stream)
            self._check_pace(len(piece), self._clock() - begun)
            return piece
        except StopAsyncIteration:
            self.ended = True
        except httpcore.TimeoutException:
            self.why, self.disconnected = "fell silent", True
        except (httpcore.NetworkError, httpcore.ProtocolError):
            self.why, self.disconnected = "broke the connection", True
        return b""

    def _check_pace(self, size_bytes: int, waited_s: float) -> None:
        """Only waiting counts: that our store is slow is not the other side's fault."""
        self._waited_s += waited_s
        self._came_bytes += size_bytes
        if self._waited_s >= self._pace.window_s:
            if self._came_bytes < self._pace.least_bytes:
                self.why, self.trickles, self.disconnected = "sends too slowly", True, True
            self._waited_s, self._came_bytes = 0.0, 0

    def trailer(self, name: str) -> str | None:
        return None

    async def skip(self, size_bytes: int) -> None:
        """Read past the first ``size_bytes``: an address that knows no ranges sends what we have again."""
        left = size_bytes
        while left > 0 and not (self.ended or self.disconnected):
            piece = await self.read()
            self._left_over = piece[left:]
            left -= len(piece)


class Fetcher:
    def __init__(self, allowed: tuple[Network, ...], resolve: Resolve = resolve, *, pace: Pace) -> None:
        self._pace = pace
        self._network = GuardedNetwork(allowed, resolve)

    @asynccontextmanager
    async def open(self, url: str, *, start: int, validator: str | None) -> AsyncIterator[tuple[Opening, Arriving]]:
        """The file at ``url`` from ``start`` on, or from its beginning if the other side knows no ranges.

        Raises `ImportRefused` where trying again does not help, `Unavailable` where it may.
        """
        async with httpcore.AsyncConnectionPool(network_backend=self._network, http2=False, retries=0) as pool:
            target, left = parse_target(url), MAX_REDIRECTS
            while True:
                response = await self._ask(pool, target, start, validator)
                try:
                    location = _field(response, b"location")
                    if response.status in (301, 302, 303, 307, 308) and location is not None:
                        left -= 1
                        if left < 0:
                            raise ImportRefused("The address leads on and on.", reason_code="import_redirects")
                        target = follow(target, location)
                        continue
                    opening = read_opening(target, response.status, _fields(response), start=start)
                    if validator is not None and opening.validator not in (None, validator):
                        raise ImportRefused("The file changed while it was imported.", reason_code="import_changed")
                    yield opening, Arriving(response.aiter_stream(), self._pace)
                    return
                finally:
                    await response.aclose()

    async def _ask(
        self, pool: httpcore.AsyncConnectionPool, target: Target, start: int, validator: str | None
    ) -> httpcore.Response:
        fields = [(b"Host", target.authority.encode()), (b"User-Agent", USER_AGENT), (b"Accept", b"*/*")]
        fields.append((b"Accept-Encoding", b"identity"))
        if start:
            fields.append((b"Range", f"bytes={start}-".encode()))
            if validator is not None:
                fields.append((b"If-Range", validator.encode("latin-1")))
        request = httpcore.Request(
            "GET",
            httpcore.URL(
                scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
            ),
            headers=fields,
            extensions={"timeout": {"connect": OPEN_S, "read": SILENCE_S, "write": OPEN_S, "pool": OPEN_S}},
        )
        try:
            async with asyncio.timeout(OPEN_S):
                return await pool.handle_async_request(request)
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise Unavailable(f"{target.host} does not answer.") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise Unavailable(f"{target.host} cannot be reached.") from error


def read_opening(target: Target, status: int, fields: dict[str, str], *, start: int) -> Opening:
    """What an answer means to one who asked from byte ``start`` on. Pure. Raises `ImportRefused`, `Unavailable`."""
    host = target.host
    if status in (401, 403, 407):
        raise ImportRefused(f"{host} does not let us fetch this file ({status}).", reason_code="import_denied")
    if status in (404, 410):
        raise ImportRefused(f"{host} has no such file ({status}).", reason_code="import_missing")
    if status in (408, 425, 429) or status >= 500:
        raise Unavailable(f"{host} answered with {status}.", retry_after_s=_seconds(fields.get("retry-after")))
    if fields.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise ImportRefused(f"{host} sends the file encoded, though we asked it not to.", reason_code="import_answer")
    validator = _validator(fields)
    if status == 200:
        return Opening(start=0, length_bytes=_count(fields.get("content-length")), validator=validator)
    told = _CONTENT_RANGE.fullmatch(fields.get("content-range", ""))
    if status == 206 and told and (int(told[1]), int(told[2]) + 1) == (start, int(told[3])):
        return Opening(start=start, length_bytes=int(told[3]), validator=validator)
    if status == 416 and start and fields.get("content-range", "") == f"bytes */{start}":
        return Opening(start=start, length_bytes=start, validator=validator)  # there is no more than we have
    raise ImportRefused(f"{host} answered with {status}, which is not a file.", reason_code="import_answer")


def _validator(fields: dict[str, str]) -> str | None:
    """A strong entity tag, or the date of the last change: what If-Range may be asked with (RFC 9110 section 13.1.5)."""
    tag = fields.get("etag", "")
    if tag.startswith('"') and len(tag) <= 512:
        return tag
    return fields.get("last-modified")


def _fields(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, value in response.headers}


def _field(response: httpcore.Response, name: bytes) -> str | None:
    return _fields(response).get(name.decode())


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text) else None


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() and len(text) < 5 else None
