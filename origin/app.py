"""The origin as a raw ASGI application: routes, common headers, errors, life span.

No framework on purpose: this is the path of every byte that is watched, and per request there is little to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from origin.access import nothing_here
from origin.delivery import Delivery
from origin.lookup import NameLookup
from origin.messages import (
    ASGIApp,
    Headers,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    header,
    json_response,
    read_request,
    send_response,
)
from origin.metrics import OriginMetrics
from origin.objects import ObjectReader
from origin.ports import OriginPorts
from origin.problems import InternalError, MethodNotAllowed, RangeNotSatisfiable, problem
from origin.settings import OriginSettings
from storage.errors import FishladderError

log = structlog.get_logger(__name__)


def create_app(settings: OriginSettings, ports: OriginPorts) -> ASGIApp:
    """The application for one process and one event loop."""
    return _Origin(settings, ports)


class _Origin:
    def __init__(self, settings: OriginSettings, ports: OriginPorts):
        self._settings = settings
        self._ports = ports
        self._common = common_headers(settings)
        self._metrics = OriginMetrics()
        # Apart from each other, so that a store that hangs does not keep names from being looked up.
        self._store_threads = ThreadPoolExecutor(settings.store_threads, thread_name_prefix="origin-store")
        self._catalogue_threads = ThreadPoolExecutor(settings.catalogue_threads, thread_name_prefix="origin-catalogue")
        self._delivery = Delivery(
            NameLookup(ports.catalogue, self._catalogue_threads, settings),
            ObjectReader(ports.blobs, self._store_threads, settings.cache_bytes, self._metrics),
            self._common,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(read_request(scope), send)
        else:
            raise RuntimeError(f"the origin does not speak {scope['type']}")

    async def _serve(self, request: Request, send: Send) -> None:
        started = time.perf_counter()
        kind = "none"
        try:
            response, kind = await self._route(request)
        except FishladderError as error:
            response = self._problem(error)
        except Exception:
            log.exception("request_failed", method=request.method, path=request.path)
            response = self._problem(InternalError())
        seconds = time.perf_counter() - started
        sent_bytes = 0 if request.method == "HEAD" else len(response.body)
        self._metrics.requests.labels(kind, response.status).inc()
        self._metrics.sent_bytes.labels(kind).inc(sent_bytes)
        self._metrics.answer_seconds.labels(kind).observe(seconds)
        tell = log.warning if response.status >= 500 else log.debug
        tell(
            "request_answered",
            method=request.method,
            path=request.path,
            status=response.status,
            sent_bytes=sent_bytes,
            seconds=round(seconds, 6),
        )
        await send_response(send, request, response)

    async def _route(self, request: Request) -> tuple[Response, str]:
        """The answer and the kind that it is counted under."""
        if request.method == "OPTIONS":
            return self._preflight(), "preflight"
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed
        if request.path.startswith("/v/"):
            response, target = await self._delivery.answer(request)
            return response, target.kind.value
        match request.path:
            case "/healthz":
                return json_response(200, {"status": "ok"}, headers=[header("cache-control", "no-store")]), "health"
            case "/readyz":
                return await self._readiness(), "health"
            case "/metrics":
                content_type, body = self._metrics.render()
                headers = [header("content-type", content_type), header("content-length", len(body))]
                return Response(status=200, headers=headers, body=body), "metrics"
        raise nothing_here()

    def _problem(self, error: FishladderError) -> Response:
        headers = self._common
        if isinstance(error, RangeNotSatisfiable):
            headers = [*headers, header("content-range", f"bytes */{error.fields['size_bytes']}")]
        return problem(error, headers)

    def _preflight(self) -> Response:
        headers = [
            header("access-control-allow-methods", "GET, HEAD, OPTIONS"),
            header(
                "access-control-allow-headers",
                "Range, If-Range, If-None-Match, If-Modified-Since, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status",
            ),
            header("access-control-max-age", 86_400),
            header("allow", "GET, HEAD, OPTIONS"),
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
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self._store_threads.shutdown(wait=False, cancel_futures=True)
                self._catalogue_threads.shutdown(wait=False, cancel_futures=True)
                self._ports.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def common_headers(settings: OriginSettings) -> Headers:
    """What pages of other sites need to play from here, on every answer: a player has to see errors too."""
    return [
        header("access-control-allow-origin", settings.cors_origin),
        header("access-control-expose-headers", "Content-Length, Content-Range, ETag, Date"),
        header("timing-allow-origin", settings.cors_origin),
        # Pages that isolate themselves (COEP) load only what says that it may be loaded.
        header("cross-origin-resource-policy", "cross-origin"),
        header("x-content-type-options", "nosniff"),
    ]
