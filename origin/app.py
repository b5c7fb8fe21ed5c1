"""The origin as a raw ASGI application: routes, common headers, errors, life span.

No framework on purpose: this is the path of every byte that is watched, and per request there is little to do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import structlog

from origin.access import Access, nothing_here, parse_target, split_token
from origin.content_keys import LICENCE_BYTES, KeyRequest, KeyShelf, key_response, parse_key_request
from origin.delivery import Delivery
from origin.disk import DiskCache
from origin.downloads import DownloadRequest, Downloads, parse_download_request
from origin.hot import HotAnswers
from origin.hotpath import HotPath
from origin.lookup import NameLookup
from origin.messages import (
    ASGIApp,
    ClientTooSlow,
    Headers,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    address_of,
    header,
    json_response,
    read_body,
    read_request,
    send_response,
)
from origin.metrics import OriginMetrics
from origin.objects import ObjectReader, Overloaded
from origin.plays_page import render_page
from origin.ports import OriginPorts
from origin.problems import (
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    RangeNotSatisfiable,
    UrlTooLong,
    problem,
)
from origin.reports import Reports
from origin.settings import OriginSettings
from storage.errors import Conflict, FishladderError, NotAllowed, NotFound
from storage.ids import VideoId
from storage.media.encryption import Encryption

log = structlog.get_logger(__name__)

_REPORT_BYTES = 64 * 1024
# The server opens a file that it is told to send when it gets to it. With much to do that may be late, and the file may have
# left the disk cache meanwhile: then we read it ourselves.
_CALM = 16


def create_app(settings: OriginSettings, ports: OriginPorts) -> ASGIApp:
    """The application for one process and one event loop."""
    return _Origin(settings, ports)


class _Origin:
    def __init__(self, settings: OriginSettings, ports: OriginPorts):
        self._settings = settings
        self._ports = ports
        self._common = common_headers(settings)
        self._metrics = OriginMetrics(settings.metrics_folder)
        self._under_way = 0
        # Apart from each other, so that a store that hangs does not keep names from being looked up.
        self._store_threads = ThreadPoolExecutor(settings.store_threads, thread_name_prefix="origin-store")
        self._catalogue_threads = ThreadPoolExecutor(settings.catalogue_threads, thread_name_prefix="origin-catalogue")
        self._access = Access(settings.playback_keys, settings.default_visibility)
        hot = HotAnswers()
        self._hot_path = HotPath(
            hot,
            self._access,
            self._metrics,
            report=self._take_report,
            behind_proxies=bool(settings.trusted_proxies),
            client_timeout_s=settings.client_timeout_s,
        )
        self._reports = Reports(
            ports.plays,
            self._catalogue_threads,
            self._metrics,
            queue=settings.report_queue,
            interval_s=settings.report_interval_s,
            days=settings.plays_days,
            sessions_per_address=settings.sessions_per_address,
        )
        disk = settings.disk_cache
        objects = ObjectReader(
            ports.blobs,
            self._store_threads,
            self._metrics,
            cache_bytes=settings.cache_bytes,
            queue=settings.store_queue,
            disk=DiskCache(disk, settings.disk_cache_bytes) if disk is not None else None,
            gone=hot.forget,
        )
        self._downloads = Downloads(
            ports.downloads, ports.blobs, self._store_threads, at_once=settings.downloads_at_once
        )
        self._shelf = KeyShelf(ports.keys, settings.sealing_ring, self._catalogue_threads)
        self._delivery = Delivery(
            NameLookup(ports.catalogue, self._catalogue_threads, settings),
            objects,
            self._access,
            hot,
            self._common,
            edge_secret=settings.edge_secret,
            edges=settings.edges,
            shelf=self._shelf,
            public_url=settings.public_url,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                if not await self._hot_path.answer(scope, send):
                    await self._serve(scope, receive, send)
            except ClientTooSlow:
                self._metrics.count("cut_clients")
                log.info("client_too_slow", path=split_token(scope["path"])[1])
            except FishladderError as error:
                log.warning("answer_broken_off", path=split_token(scope["path"])[1], reason=error.code)
            # An answer that is left half-way ends its connection: that it is shorter than promised tells the client.
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise RuntimeError(f"the origin does not speak {scope['type']}")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        self._under_way += 1
        self._metrics.gauge("answers_under_way", self._under_way)
        request = Request(method=scope["method"], path=split_token(scope["path"])[1])
        kind = "none"
        try:
            try:
                self._check_limits(scope)
                request = read_request(scope, self._settings.trusted_proxies)
                if self._under_way > _CALM:
                    request = replace(request, can_send_files=False)
                response, kind = await self._route(request, scope, receive)
            except FishladderError as error:
                response = self._problem(error)
            except Exception:
                log.exception("request_failed", method=request.method, path=request.path)
                response = self._problem(InternalError())
            self._tell(request, response, kind, time.perf_counter() - began)
            await send_response(send, request, response, self._settings.client_timeout_s)
        finally:
            self._under_way -= 1
            self._metrics.gauge("answers_under_way", self._under_way)

    def _check_limits(self, scope: Scope) -> None:
        """Before anything is done for a request."""
        if self._under_way > self._settings.concurrency:
            raise Overloaded(retry_after_s=1)
        if len(scope["path"]) + len(scope.get("query_string", b"")) > self._settings.url_bytes:
            raise UrlTooLong
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self._settings.header_bytes:
            raise HeadersTooLarge

    def _tell(self, request: Request, response: Response, kind: str, seconds: float) -> None:
        sent_bytes = 0 if request.method == "HEAD" else response.sent_bytes
        self._metrics.count_answer(kind, response.status, seconds, sent_bytes)
        if response.status < 500 and not _tells_all():
            return
        tell = log.warning if response.status >= 500 else log.debug
        tell(
            "request_answered",
            method=request.method,
            path=request.path,
            status=response.status,
            sent_bytes=sent_bytes,
            seconds=round(seconds, 6),
        )

    def _take_report(self, scope: Scope, video: str, sent_bytes: int) -> None:
        """What a request for media says of its player."""
        query: bytes = scope.get("query_string", b"")
        if b"CMCD=" in query:
            address = address_of(scope, self._settings.trusted_proxies)
            self._reports.take_query(query.decode("latin-1"), video, sent_bytes, address)
        elif any(name.startswith(b"cmcd-") for name, _ in scope["headers"]):
            address = address_of(scope, self._settings.trusted_proxies)
            self._reports.take_headers(scope["headers"], video, sent_bytes, address)

    async def _route(self, request: Request, scope: Scope, receive: Receive) -> tuple[Response, str]:
        """The answer and the kind that it is counted under."""
        if request.method == "OPTIONS":
            return self._preflight(request), "preflight"
        if request.method == "POST" and request.path.startswith("/v/") and request.path.endswith("/cmcd"):
            return await self._take_events(request, receive), "report"
        asks_for_key = parse_key_request(request.path)
        if asks_for_key is not None:
            return await self._deliver_key(asks_for_key, request, receive), "key"
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed
        asks_for_file = parse_download_request(request.path)
        if asks_for_file is not None:
            return await self._download(asks_for_file, request), "download"
        if request.path.startswith("/v/"):
            response, target = await self._delivery.answer(request)
            if response.status in (200, 206):
                self._take_report(scope, target.video, response.sent_bytes)
            return response, target.kind.value
        return await self._route_rest(request)

    async def _deliver_key(self, asked: KeyRequest, request: Request, receive: Receive) -> Response:
        """A licence is asked for with POST, a single key with GET."""
        if request.method not in (("POST",) if asked.kid is None else ("GET", "HEAD")):
            raise MethodNotAllowed
        licence_request = (
            await read_body(receive, LICENCE_BYTES, self._settings.client_timeout_s) if asked.kid is None else b""
        )
        published = await self._delivery.authorize(asked.target, request)
        keys = await self._shelf.of(published.asset)
        return key_response(asked, keys, licence_request, self._common)

    async def _download(self, asked: DownloadRequest, request: Request) -> Response:
        published = await self._delivery.authorize_download(asked.target, request, self._settings.downloads)
        if asked.rendition is not None and (await self._shelf.of(published.asset)).encryption is not Encryption.NONE:
            raise Conflict("An encrypted film is not put together as a file.")
        return await self._downloads.answer(asked, request, self._common)

    async def _route_rest(self, request: Request) -> tuple[Response, str]:
        match request.path:
            case "/healthz":
                return json_response(200, {"status": "ok"}, headers=[header("cache-control", "no-store")]), "health"
            case "/readyz":
                return await self._readiness(), "health"
            case "/metrics":
                content_type, body = self._metrics.render()
                headers = [header("content-type", content_type), header("content-length", len(body))]
                return Response(status=200, headers=headers, body=body), "metrics"
            case "/steering.json":
                return self._steering(request), "steering"
        if request.path.startswith("/authorize/"):
            return await self._authorize(request), "grant"
        if request.path.startswith("/plays/"):
            return await self._plays_page(request), "plays"
        raise nothing_here()

    async def _authorize(self, request: Request) -> Response:
        """For edges that check tokens: 204 or 403. What is not there may be asked for: the answer to that says so."""
        path = request.path.removeprefix("/authorize")
        asks_for_key = parse_key_request(path)
        with suppress(NotFound):
            target = asks_for_key.target if asks_for_key is not None else parse_target(path)
            await self._delivery.authorize(target, request)
        return Response(status=204, headers=[header("cache-control", "max-age=5"), *self._common])

    async def _take_events(self, request: Request, receive: Receive) -> Response:
        """Reports of event mode, of who may play the video. The answer is the same for every video and for everybody: it
        tells nothing of what is there."""
        body = await read_body(receive, _REPORT_BYTES, self._settings.client_timeout_s)
        with suppress(NotFound, NotAllowed):
            video = request.path.split("/")[2]
            await self._delivery.authorize(parse_target(f"/v/{video}/master.m3u8"), replace(request, edge=None))
            self._reports.take_events(body.decode("utf-8", "replace"), video, request.address)
        return Response(status=204, headers=[header("cache-control", "no-store"), *self._common])

    async def _plays_page(self, request: Request) -> Response:
        """For who holds a token of the scope ``plays``."""
        plays = self._ports.plays
        video = VideoId(request.path.removeprefix("/plays/"))
        self._access.check(request.token, video, request.address, scope="plays")
        if plays is None:
            raise nothing_here()
        since_ms = int(time.time() * 1000) - self._settings.plays_days * 24 * 3600 * 1000

        def read() -> str:
            return render_page(
                video, plays.views(video), plays.plays(video, since_ms=since_ms), self._settings.plays_days
            )

        body = (await asyncio.get_running_loop().run_in_executor(self._catalogue_threads, read)).encode()
        headers = [
            header("content-type", "text/html; charset=utf-8"),
            header("content-length", len(body)),
            header("cache-control", "no-store"),
            header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"),
            header("referrer-policy", "no-referrer"),
        ]
        return Response(status=200, headers=headers, body=body)

    def _steering(self, request: Request) -> Response:
        """Which edge to take (HLS content steering). The order is that of the settings; players leave an edge that
        fails by themselves, and ask again after a while."""
        if not self._settings.edges:
            raise nothing_here()
        body = {
            "VERSION": 1,
            "TTL": 30,
            "RELOAD-URI": "/steering.json",
            "PATHWAY-PRIORITY": [name for name, _ in self._settings.edges],
        }
        return json_response(200, body, headers=[header("cache-control", "public, max-age=10"), *self._common])

    def _problem(self, error: FishladderError) -> Response:
        headers = self._common
        if isinstance(error, RangeNotSatisfiable):
            headers = [*headers, header("content-range", f"bytes */{error.fields['size_bytes']}")]
        return problem(error, headers)

    def _preflight(self, request: Request) -> Response:
        takes_post = request.path.startswith("/v/") and request.path.endswith(("/cmcd", "/keys"))
        methods = "POST, OPTIONS" if takes_post else "GET, HEAD, OPTIONS"
        headers = [
            header("access-control-allow-methods", methods),
            header(
                "access-control-allow-headers",
                "Range, If-Range, If-None-Match, If-Modified-Since, Content-Type, "
                "CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status",
            ),
            header("access-control-max-age", 86_400),
            header("allow", methods),
        ]
        return Response(status=204, headers=[*headers, *self._common])

    async def _readiness(self) -> Response:
        catalogue, store = await asyncio.gather(
            self._ready(self._catalogue_threads, self._ports.catalogue.check),
            self._ready(self._store_threads, self._ports.blobs.check),
        )
        ready = catalogue == store == "ok"
        body = {"status": "ready" if ready else "not ready", "catalogue": catalogue, "store": store}
        return json_response(200 if ready else 503, body, headers=[header("cache-control", "no-store")])

    async def _ready(self, threads: ThreadPoolExecutor, check: Callable[[], None]) -> str:
        """``ok``, or the code of what is wrong."""
        asked = asyncio.get_running_loop().run_in_executor(threads, check)
        try:
            await asyncio.wait_for(asked, self._settings.ready_timeout_s)
        except FishladderError as error:
            return error.code
        except TimeoutError:
            return "timeout"
        return "ok"

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server says when it starts and, after its last answer, when it stops."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._reports.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._reports.stop()
                self._store_threads.shutdown(wait=False, cancel_futures=True)
                self._catalogue_threads.shutdown(wait=False, cancel_futures=True)
                self._ports.close()
                self._metrics.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def common_headers(settings: OriginSettings) -> Headers:
    """What pages of other sites need to play from here, on every answer: a player has to see errors too."""
    return [
        header("access-control-allow-origin", settings.cors_origin),
        header("access-control-expose-headers", "Content-Length, Content-Range, ETag, Date, Retry-After"),
        header("timing-allow-origin", settings.cors_origin),
        # Pages that isolate themselves (COEP) load only what says that it may be loaded.
        header("cross-origin-resource-policy", "cross-origin"),
        header("x-content-type-options", "nosniff"),
    ]


def _tells_all() -> bool:
    """Whether debug lines are written at all: building one costs more than answering."""
    return _tells_debug.isEnabledFor(logging.DEBUG)


_tells_debug = logging.getLogger(__name__)
