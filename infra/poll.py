"""A worker without a broker: threads that look into the database. For one machine, and for a fleet that lost its broker."""

from __future__ import annotations

import signal
import threading

from infra.composition import runner_parts, slots
from infra.settings import Settings
from infra.telemetry import configure_logging
from workers.pool import WorkerPool


def work_without_broker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then drain."""
    configure_logging(settings.log_level, settings.log_format, service="worker")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parts = runner_parts(settings)
    with WorkerPool(parts, threads=slots(settings), lanes=settings.lanes):
        if settings.ready_file is not None:
            settings.ready_file.write_text("ready\n")
        while not stop.wait(3600):
            pass
    parts.catalogue.close()
