"""Celery as the doorbell: an app, its one task, and the bell that sends it.

A message names no job. It says "look into the catalogue", and the claim query decides what runs; so messages are
acknowledged early, may be lost or doubled, and need no results, no ETA, no chord and no priority: whichever message wakes a
worker, it claims the most urgent row of the lanes it serves. Queues are the lanes (behind a prefix for special pools), so
``celery -A infra.celery_app worker -Q playable,interactive`` serves those two.

The settings below are for Celery 5.7; each says which trap it avoids.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from celery import Celery, signals
from kombu import Connection, Producer, Queue

from storage.errors import Unavailable
from storage.jobs import LANES_BY_URGENCY, Lane
from workers.caretaker import Caretaker, Caretaking
from workers.drain import Drain
from workers.measures import MeasurePipe
from workers.parts import RunnerParts
from workers.runner import Runner
from workers.settings import WorkerSettings

log = structlog.get_logger(__name__)

RING = "fishladder.ring"
GPU_PREFIX = "gpu."
"""Of the queues that wake workers with graphics hardware. Which jobs those alone can do is in the rows."""
MAX_WAITING_BELLS = 1000
"""A queue with this many bells needs no more: each one that is answered rings again while rows are ready."""

_REDIS_SCHEMES = frozenset({"redis", "rediss", "redis+socket", "sentinel"})


def create_celery(broker_url: str, *, queue_prefix: str = "", gpu: bool = False) -> Celery:
    """An app that can ring, and whose queues are the lanes, behind ``queue_prefix``. ``gpu``: the fleet has workers with
    graphics hardware: there is a queue behind `GPU_PREFIX` for every lane too, and a bell rings in both."""
    prefixes = (queue_prefix, queue_prefix + GPU_PREFIX) if gpu else (queue_prefix,)
    app = Celery("fishladder", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_queues=[
            Queue(prefix + lane, routing_key=prefix + lane) for prefix in prefixes for lane in LANES_BY_URGENCY
        ],
        task_default_queue=queue_prefix + Lane.STANDARD,
        # Acknowledged on arrival: late acknowledgement and a visibility timeout run long work again while it runs.
        task_acks_late=False,
        # A bell that waits behind a running job wakes nobody.
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        worker_max_tasks_per_child=200,
        # Said explicitly because 6.0 turns it around: our lease decides who works on what, not the broker.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A broker that refuses for a while (Valkey out of memory says so on every write) must not end its workers.
        broker_channel_error_retry=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # The drain flag and the pipe of measurements are inherited.
        worker_pool_start_method="fork",
    )
    if urlsplit(broker_url).scheme in _REDIS_SCHEMES:
        app.conf.update(
            worker_disable_prefetch=True,  # only Redis and Valkey know it
            # Without timeouts a half-open connection is waited on for ever.
            broker_transport_options={"socket_timeout": 30, "socket_keepalive": True, "health_check_interval": 25},
        )
    return app


class CeleryBell:
    """Rings by sending `RING` to a lane's queue. Never raises and never holds its caller up for long."""

    def __init__(self, app: Celery, *, queue_prefix: str = "", timeout_s: float = 2.0) -> None:
        """Connects on first use, and again after a fork. ``timeout_s`` bounds connecting, each answer, and waiting for
        another thread that rings."""
        self._app = app
        self._prefix = queue_prefix
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._pid = os.getpid()

    def ring(self, lane: Lane, times: int = 1) -> None:
        if self._pid != os.getpid():
            # The parent's socket is not ours to speak on, nor its lock ours to wait for.
            self._lock, self._connection, self._pid = threading.Lock(), None, os.getpid()
        if not self._lock.acquire(timeout=self._timeout_s):
            log.warning("bell_lost", lane=str(lane), times=times, error="the broker is slow")
            return
        try:
            self._send(lane, times)
        except Exception as error:  # whatever the transport raises, the sweeper rings again
            log.warning("bell_lost", lane=str(lane), times=times, error=f"{type(error).__name__}: {error}")
            self._hang_up()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Hang up. Ringing again connects again."""
        with self._lock:
            self._hang_up()

    def _send(self, lane: Lane, times: int) -> None:
        if self._connection is None:
            self._connection = self._connect()
        channel = self._connection.default_channel
        for queue in (self._prefix + lane, self._prefix + GPU_PREFIX + lane):
            if queue in self._app.amqp.queues:
                self._send_to(queue, channel, lane, times)

    def _send_to(self, queue: str, channel: Any, lane: Lane, times: int) -> None:
        declared: Any = self._app.amqp.queues[queue](channel).queue_declare()
        producer = Producer(channel)
        for _ in range(min(times, MAX_WAITING_BELLS - declared.message_count)):
            self._app.send_task(
                RING, kwargs={"lane": str(lane)}, queue=queue, producer=producer, retry=False, ignore_result=True
            )

    def _connect(self) -> Connection:
        options: dict[str, Any] = {}
        if self._app.connection_for_write().transport.driver_type == "redis":
            options = {"socket_timeout": self._timeout_s, "socket_connect_timeout": self._timeout_s}
        connection = self._app.connection_for_write(transport_options=options, connect_timeout=self._timeout_s)
        connection.connect()
        return connection

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:  # it was broken already
                log.debug("bell_hang_up_failed", error=str(error))


def create_worker_app(
    compose: Callable[[], RunnerParts],
    *,
    broker_url: str,
    settings: WorkerSettings,
    queue_prefix: str = "",
    gpu: bool = False,
) -> Celery:
    """The app that ``celery -A … worker`` runs: `create_celery` with the task and the worker's life around it.

    ``compose`` makes the adapters: catalogue, store, tools, source cache, steps. It is called lazily and once in each
    process that needs them, after that process was forked: in every pool child when its first bell comes, and in the
    caretaker; never in the main process of a prefork pool. What it returns is never shared between processes. It must not
    depend on state that a fork breaks (threads, open connections). ``settings`` are the same that its parts carry.

    In `infra`::

        settings = …from the environment…
        app = create_worker_app(lambda: compose_runner(settings), broker_url=…, settings=worker_settings)

    Which lanes a worker serves is what ``-Q`` says (default: all). Stopping: TERM drains; a runner finishes within
    ``settings.drain_ms`` or hands its job back.
    """
    app = create_celery(broker_url, queue_prefix=queue_prefix, gpu=gpu)
    # Time for the drain also where a supervisor sends QUIT (Celery's cold shutdown).
    app.conf.worker_soft_shutdown_timeout = settings.drain_ms / 1000 + 5
    life = WorkerLife(app, compose, settings, queue_prefix)
    app.task(name=RING, ignore_result=True)(life.answer)
    life.connect()
    return app


class WorkerLife:
    """What happens when in a worker: forks, bells, the drain."""

    def __init__(
        self, app: Celery, compose: Callable[[], RunnerParts], settings: WorkerSettings, queue_prefix: str
    ) -> None:
        self._app = app
        self._compose = compose
        self._settings = settings
        self._prefix = queue_prefix
        self._drain = Drain()
        self._measures = MeasurePipe()
        self._bell = CeleryBell(app, queue_prefix=queue_prefix)
        self._caretaker: Caretaker | None = None
        self._lock = threading.Lock()
        self._composed: tuple[int, RunnerParts, Runner] | None = None

    def connect(self) -> None:
        """Signals belong to the process, not to an app: each handler sees to it that it is meant."""
        signals.worker_init.connect(self._on_init, weak=False)
        signals.worker_ready.connect(self._on_ready, weak=False)
        signals.worker_shutting_down.connect(self._on_shutting_down, weak=False)
        signals.worker_shutdown.connect(self._on_shutdown, weak=False)
        signals.worker_process_init.connect(self._on_process_init, weak=False)
        signals.worker_process_shutdown.connect(self._on_process_shutdown, weak=False)

    def answer(self, **_: object) -> None:
        """Somebody rang: one turn of work, and one more ring while there is more to do. Takes any keywords: a newer
        sender may say more than we know."""
        try:
            parts, runner = self._here()
            lanes = self.lanes()
            if runner.run_one(lanes) and not self._drain.began:
                self._ring_again(parts, lanes)
        except Unavailable as error:
            # The row is still there, and so is the sweeper.
            log.warning("bell_unanswered", error=error.sentence)

    def lanes(self) -> tuple[Lane, ...]:
        """The lanes whose queues this worker consumes, the most urgent first."""
        consumed = self._app.amqp.queues.consume_from
        prefixes = (self._prefix, self._prefix + GPU_PREFIX)
        return tuple(lane for lane in LANES_BY_URGENCY if any(prefix + lane in consumed for prefix in prefixes))

    def _ring_again(self, parts: RunnerParts, lanes: tuple[Lane, ...]) -> None:
        """One bell for one that was answered, so that their number does not grow with the backlog."""
        ready = parts.catalogue.ready_counts()
        for lane in lanes:
            if ready.get(lane):
                self._bell.ring(lane)
                return

    def _here(self) -> tuple[RunnerParts, Runner]:
        """The parts and the runner of this very process."""
        with self._lock:
            if self._composed is None or self._composed[0] != os.getpid():
                parts = self._compose()
                runner = parts.runner(self._bell, self._drain, measure=self._measures.send)
                self._composed = (os.getpid(), parts, runner)
            return self._composed[1:]

    # --- signals -----------------------------------------------------------------------------------------------------

    def _on_init(self, sender: Any = None, **_: object) -> None:
        if sender is None or sender.app is not self._app:
            return
        lanes = self.lanes()
        if not lanes:
            log.error("no_lanes_served", queues=sorted(self._app.amqp.queues.consume_from))
        self._caretaker = Caretaker(
            Caretaking(
                compose=self._compose,
                bell=self._bell,
                drain=self._drain,
                measures=self._measures,
                settings=self._settings,
                lanes=lanes,
                slots=sender.concurrency if isinstance(sender.concurrency, int) else os.cpu_count() or 1,
            )
        )
        self._caretaker.start()
        log.info("worker_starts", lanes=[str(lane) for lane in lanes], slots=sender.concurrency)

    def _on_ready(self, sender: Any = None, **_: object) -> None:
        if self._caretaker is not None and self._settings.ready_file is not None:
            self._settings.ready_file.write_text(f"{os.getpid()}\n")

    def _on_shutting_down(self, **_: object) -> None:
        # Runs inside the signal handler: nothing here may take a lock, a logger's neither.
        self._drain.begin()

    def _on_shutdown(self, **_: object) -> None:
        if self._caretaker is not None:
            self._caretaker.stop()
        if self._settings.ready_file is not None:
            self._settings.ready_file.unlink(missing_ok=True)

    def _on_process_init(self, **_: object) -> None:
        # A lock that a thread of the parent held at the fork would be held for ever here.
        self._lock = threading.Lock()
        self._composed = None
        # The first bell should find everything looked up: finding tools takes half a second that somebody waits for.
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()

    def _warm_up(self) -> None:
        try:
            self._here()
        except Exception as error:  # the first bell will say so again, to whoever can do something about it
            log.warning("warm_up_failed", error=str(error))

    def _on_process_shutdown(self, **_: object) -> None:
        if self._composed is not None and self._composed[0] == os.getpid():
            self._composed[1].catalogue.close()
