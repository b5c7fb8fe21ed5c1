"""How a worker is asked how it is: ``/healthz``, ``/readyz`` and ``/metrics`` on a small HTTP server.

Liveness says only that the process is there: neither the broker nor the database belongs in it, or one blip would restart
the fleet. Readiness asks the database and the store, and is false while draining.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from storage.blobs import BlobStore
from storage.catalogue import Catalogue
from storage.errors import Unavailable
from storage.jobs import Lane
from workers.drain import Drain
from workers.room import room_at, shortage
from workers.settings import WorkerSettings

log = structlog.get_logger(__name__)

OLDEST_SAMPLE = 1000


class JobGauges(Collector):
    """The queue as the catalogue has it, read when asked. Every worker tells the same: take one of them, not the sum."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("fishladder_jobs", "Jobs by state and lane", labels=["state", "lane"])
        oldest = GaugeMetricFamily(
            "fishladder_oldest_ready_seconds", "How long the oldest claimable job has waited", labels=["lane"]
        )
        lags = GaugeMetricFamily(
            "fishladder_outbox_lag_seconds",
            "How long the oldest event has waited for who acts on it",
            labels=["follower"],
        )
        answers = GaugeMetricFamily("fishladder_catalogue_answers", "1 if the database answered this scrape")
        try:
            counts = self._catalogue.job_counts()
            ages_ms = self._catalogue.oldest_ready_ms()
            lags_ms = self._catalogue.follower_lags_ms()
        except Unavailable as error:
            log.warning("job_gauges_failed", error=error.sentence)
            answers.add_metric([], 0)
        else:
            answers.add_metric([], 1)
            for (state, lane), count in counts.items():
                jobs.add_metric([str(state), str(lane)], count)
            for lane in Lane:
                oldest.add_metric([str(lane)], ages_ms.get(lane, 0) / 1000)
            for follower, lag_ms in lags_ms.items():
                lags.add_metric([follower], lag_ms / 1000)
        yield from (jobs, oldest, lags, answers)


class RoomGauges(Collector):
    """What is free on this machine, where jobs work."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        room = room_at(self._settings.scratch)
        yield GaugeMetricFamily("fishladder_scratch_free_bytes", "Free disk for work files", value=room.disk_bytes or 0)
        yield GaugeMetricFamily("fishladder_memory_free_bytes", "Free memory", value=room.memory_bytes or 0)
        paused = GaugeMetricFamily("fishladder_claiming_paused", "1 while this machine is short of disk or memory")
        paused.add_metric([], 0 if _short(self._settings) is None else 1)
        yield paused


def _short(settings: WorkerSettings) -> str | None:
    return shortage(
        room_at(settings.scratch),
        min_disk_bytes=settings.min_free_disk_bytes,
        min_memory_bytes=settings.min_free_memory_bytes,
    )


def readiness(
    catalogue: Catalogue, blobs: BlobStore, drain: Drain, settings: WorkerSettings | None = None
) -> Callable[[], str | None]:
    """Why this worker is not ready; None if it is."""

    def reason() -> str | None:
        if drain.began:
            return "draining"
        if settings is not None and (short := _short(settings)) is not None:
            return short
        try:
            catalogue.check()
            blobs.check()
        except Unavailable as error:
            return error.sentence
        return None

    return reason


def serve_health(
    host: str, port: int, *, registry: CollectorRegistry, not_ready: Callable[[], str | None]
) -> ThreadingHTTPServer:
    """Answer in a daemon thread; ``server_address`` of what it returns tells the port, ``shutdown()`` ends it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/healthz":
                    self._answer(200, b"ok\n")
                case "/readyz":
                    reason = not_ready()
                    self._answer(200 if reason is None else 503, f"{reason or 'ready'}\n".encode())
                case "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                case _:
                    self._answer(404, b"not here\n")

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Probes come every few seconds and say nothing new."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
