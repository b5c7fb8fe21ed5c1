"""The upload API as an ASGI app: tus, REST, events, the web page and what operators ask.

`create_app` plugs; it decides nothing. `serving` runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Annotated

import structlog
from fastapi import FastAPI, Header, Query, Response
from fastapi.responses import StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from storage.errors import FishladderError, Unavailable
from storage.grants import KeyRing
from storage.ids import VideoId
from upload_api.auth.doorkeeper import Doorkeeper
from upload_api.auth.gate import Gate
from upload_api.auth.principal import Caller
from upload_api.auth.rates import RateLimiter, parse_rates
from upload_api.auth.routes import auth_routes
from upload_api.bringing import Bringer, bringing_routes
from upload_api.counting import CountRequests
from upload_api.describing import describe
from upload_api.drain import Drain
from upload_api.events import LISTENING_S, EventFeed, event_stream
from upload_api.ietf import protocol as ietf_protocol
from upload_api.ietf.routes import IetfApp
from upload_api.imports.fetching import Fetcher, Pace
from upload_api.imports.guard import parse_networks
from upload_api.imports.importer import Importer, import_policy
from upload_api.metrics import Metrics
from upload_api.models import Health
from upload_api.ports import Ports
from upload_api.problems import install_problems
from upload_api.settings import UploadApiSettings
from upload_api.threads import Threads
from upload_api.tus.digesting import Digester
from upload_api.tus.joining import Joiner
from upload_api.tus.protocol import REQUEST_FIELDS, RESPONSE_FIELDS
from upload_api.tus.recovery import Janitor
from upload_api.tus.routes import TusApp
from upload_api.tus.service import TusService
from upload_api.videos import video_routes
from upload_api.web.routes import web_routes

__all__ = ["Ports", "UploadApiSettings", "create_app"]

log = structlog.get_logger(__name__)

ABOUT = """Upload a video with any [tus 1.0](https://tus.io) client at `/files`, follow it here, play it from the origin.

`POST /files` answers with `Fishladder-Video`: the id below `/api/v1/videos`. Errors are `application/problem+json`
with a stable `code` and a sentence in `detail`."""


def create_app(settings: UploadApiSettings, ports: Ports) -> FastAPI:
    """The app over ``ports``. ``app.state.drain.begin()`` ends its service; `serving.serve` calls it on SIGTERM."""
    drain, threads, metrics = Drain(), Threads(settings.part_threads), Metrics()
    feed = EventFeed(
        ports.catalogue,
        threads,
        drain,
        metrics,
        poll_s=settings.events_poll_s,
        heartbeat_s=settings.events_heartbeat_s,
    )
    ring = settings.signing_keys or KeyRing(keys={"own": secrets.token_bytes(32)})
    doorkeeper = Doorkeeper(
        ports.catalogue, ring, open_house=not settings.needs_key, session_s=settings.session_lifetime_s
    )
    uploads = TusService(settings, ports, threads, drain, metrics)
    tus = TusApp(settings, uploads)
    ietf = IetfApp(settings, uploads)
    networks = parse_networks(settings.import_networks)
    pace = Pace(least_bytes=settings.import_least_bytes, window_s=settings.import_window_s)
    importer = Importer(uploads, ports, threads, drain, Fetcher(networks, pace=pace), import_policy(settings))

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        rounds = {
            asyncio.create_task(_tidy(settings, ports, threads, uploads.joiner, metrics)),
            asyncio.create_task(_digest(settings, ports, threads, Digester(ports, threads, drain))),
            asyncio.create_task(importer.rounds()),
        }
        yield
        drain.begin()
        for each in rounds:
            each.cancel()
        await asyncio.wait(rounds)
        await importer.settle()
        await uploads.joiner.settle()
        await feed.close()

    app = FastAPI(title="Fishladder", version="1", description=ABOUT, lifespan=lifespan, redoc_url=None)
    app.state.drain = drain
    app.state.uploads = uploads
    app.state.importer = importer
    limiter = RateLimiter(parse_rates(settings.rate_limits))
    app.add_middleware(
        Gate, settings=settings, doorkeeper=doorkeeper, videos=ports.catalogue, limiter=limiter, threads=threads
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.allowed_origins),
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=[*REQUEST_FIELDS, *ietf_protocol.REQUEST_FIELDS],
        expose_headers=[*RESPONSE_FIELDS, *ietf_protocol.RESPONSE_FIELDS],
        max_age=86400,
    )
    app.add_middleware(CountRequests, metrics=metrics)
    install_problems(app)
    for path in ("/files", "/files/", "/files/{upload_id}"):
        app.router.routes.append(Route(path, tus, name="tus", include_in_schema=False))
    for path in ("/uploads", "/uploads/{upload_id}"):
        app.router.routes.append(Route(path, ietf, name="uploads", include_in_schema=False))
    app.include_router(video_routes(settings, ports))
    bringer = Bringer(settings, uploads, importer, networks)
    app.include_router(bringing_routes(settings, ports, threads, bringer))
    app.include_router(auth_routes(settings, ports, doorkeeper, ring))
    _add_events(app, feed, settings)
    _add_operations(app, ports, drain, metrics)
    app.router.routes.extend(web_routes(settings, ports))
    describe(app)
    return app


def _add_events(app: FastAPI, feed: EventFeed, settings: UploadApiSettings) -> None:
    @app.get(
        "/api/v1/events",
        summary="Everything that happens to videos, as server-sent events",
        tags=["events"],
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(
        who: Caller,
        last_event_id: Annotated[str | None, Header()] = None,
        video: Annotated[str | None, Query(description="only of this one")] = None,
    ) -> StreamingResponse:
        """Kinds: `state`, `progress`, `uploaded_bytes`, `title`; each with `video_id`. Send `Last-Event-ID` to catch
        up; browsers do it by themselves."""
        # Who is let in by a key is asked for it again now and then: keys are revoked.
        lifetime_s = LISTENING_S if settings.needs_key else None
        only = None if video is None else VideoId(video)
        return event_stream(feed, last_event_id, who.tenant, video=only, lifetime_s=lifetime_s)


def _add_operations(app: FastAPI, ports: Ports, drain: Drain, metrics: Metrics) -> None:
    @app.get("/healthz", summary="This process lives", tags=["operations"])
    async def healthz() -> Health:
        return Health(status="ok")

    @app.get("/readyz", summary="This process can do its work", tags=["operations"])
    def readyz() -> Health:
        """The database answers and its schema is at head, the store answers, and no drain has begun."""
        if drain.begun:
            raise Unavailable("This server is about to stop.")
        ports.catalogue.check()
        ports.blobs.check()
        return Health(status="ready")

    @app.get("/metrics", include_in_schema=False)
    def show_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _digest(settings: UploadApiSettings, ports: Ports, threads: Threads, digester: Digester) -> None:
    """The digests that nobody took in passing, on one process of all that share the catalogue."""
    if settings.janitor_interval_s <= 0:
        return
    holder, ttl_ms = f"upload-api-{secrets.token_hex(8)}", round(settings.janitor_interval_s * 10_000)
    while True:
        try:
            while await threads.catalogue(ports.catalogue.lead, "upload-digests", holder, ttl_ms):
                if not await digester.round():
                    break
        except FishladderError as error:
            log.warning("sources_not_digested", code=error.code, sentence=error.sentence)
        await asyncio.sleep(settings.janitor_interval_s)


async def _tidy(settings: UploadApiSettings, ports: Ports, threads: Threads, joiner: Joiner, metrics: Metrics) -> None:
    """The janitor's rounds, on one process of all that share the catalogue."""
    if settings.janitor_interval_s <= 0:
        return
    janitor = Janitor(ports, count=lambda rule, repairs: metrics.repairs.labels(rule).inc(repairs))
    holder = f"upload-api-{secrets.token_hex(8)}"
    ttl_ms = round(settings.janitor_interval_s * 3000)
    while True:
        try:
            if await threads.catalogue(ports.catalogue.lead, "upload-janitor", holder, ttl_ms):
                await threads.store(janitor.tidy)
                await joiner.tidy()
        except FishladderError as error:
            log.warning("uploads_not_tidied", code=error.code, sentence=error.sentence)
        await asyncio.sleep(settings.janitor_interval_s)
