"""The process beside a worker's pool: it sweeps, answers probes and metrics, and rings for what it finds at the start.

It is a process of its own, forked before the pool, because a Celery main process forks pool children all its life, and
must therefore hold no database connection: SQLite forbids a connection across a fork (https://sqlite.org/howtocorrupt.html,
2.6), PostgreSQL drivers break in quieter ways, and a thread that held a lock at the moment of a fork holds it for ever in
the child. The main process itself opens nothing and runs no threads of ours but the one that restarts this process.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from storage.catalogue import Catalogue
from storage.errors import Unavailable
from storage.jobs import Bell, Lane
from workers.auditing import AuditMetrics
from workers.drain import Drain
from workers.health import JobGauges, RoomGauges, readiness, serve_health
from workers.measures import JobMetrics, MeasurePipe
from workers.parts import RunnerParts
from workers.scratch import clear_abandoned
from workers.settings import WorkerSettings
from workers.sweeper import SweeperMetrics

log = structlog.get_logger(__name__)

RESTART_PAUSE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Caretaking:
    """What the caretaker needs, all of it made before the fork. ``bell`` connects on first use."""

    compose: Callable[[], RunnerParts]
    bell: Bell
    drain: Drain
    measures: MeasurePipe
    settings: WorkerSettings
    lanes: tuple[Lane, ...]
    slots: int

    def __call__(self) -> None:
        """Run until terminated. Dies with the worker's main process."""
        _die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the main process
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        clear_abandoned(self.settings.jobs)
        registry = CollectorRegistry()
        self.measures.pump(JobMetrics(registry).count)
        parts = self.compose()
        if self.settings.http_port is not None:
            registry.register(JobGauges(parts.catalogue))
            registry.register(RoomGauges(self.settings))
            not_ready = readiness(parts.catalogue, parts.blobs, self.drain, self.settings)
            server = serve_health(
                self.settings.http_host, self.settings.http_port, registry=registry, not_ready=not_ready
            )
            log.info("health_serves", host=self.settings.http_host, port=server.server_address[1])
        ring_for_ready(parts.catalogue, self.bell, self.lanes, self.slots)
        repairs = SweeperMetrics(registry)
        parts.auditor(self.bell, repairs, AuditMetrics(registry)).start(stop)
        parts.sweeper(self.bell, repairs).run(stop)
        parts.catalogue.close()


def _die_with_parent() -> None:
    """A main process that was killed takes its pool with it (Celery sees to that), and then us."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def ring_for_ready(catalogue: Catalogue, bell: Bell, lanes: tuple[Lane, ...], slots: int) -> None:
    """Bells for rows that were ready before this worker was there, at most one for each of its slots."""
    try:
        ready = catalogue.ready_counts()
    except Unavailable as error:
        log.warning("ready_rows_unknown", error=error.sentence)
        return
    for lane in lanes:
        times = min(ready.get(lane, 0), slots)
        slots -= times
        if times:
            bell.ring(lane, times)


class Caretaker:
    """Keeps the caretaker process running as long as the worker does."""

    def __init__(self, caretaking: Caretaking) -> None:
        self._caretaking = caretaking
        self._stopping = threading.Event()
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        """Fork now, in the main thread, while no other thread could hold a lock."""
        self._fork()
        threading.Thread(target=self._keep_running, name="caretaker", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        if self._process is not None and self._process.is_alive():
            self._process.terminate()
            self._process.join(5)
            if self._process.is_alive():
                self._process.kill()

    def _fork(self) -> None:
        self._process = multiprocessing.get_context("fork").Process(
            target=self._caretaking, name=f"caretaker-of-{os.getpid()}", daemon=True
        )
        self._process.start()

    def _keep_running(self) -> None:
        while True:
            assert self._process is not None
            self._process.join()
            if self._stopping.wait(RESTART_PAUSE_S):
                return
            log.error("caretaker_died", exit_code=self._process.exitcode)
            self._fork()
