"""What is counted about work, and how it gets from the processes that do it to the one that is asked for it.

Pool children come and go, and may be killed at any moment. They write each measurement as one short line into a pipe
that was made before they were forked: writes of less than PIPE_BUF bytes are atomic, take no lock that a killed child
could keep, and leave no files behind. The process that answers ``/metrics`` reads the other end.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

log = structlog.get_logger(__name__)

DURATION_BUCKETS_S = (0.1, 0.3, 1, 3, 10, 20, 30, 60, 120, 300, 600, 1800)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMeasured:
    """One turn of a job. ``result``: ``done``, ``refused``, ``retried``, ``buried``, ``handed_back``, ``lease_lost``, ``moved_to_cpu`` …"""

    kind: str
    lane: str
    result: str
    wall_ms: int
    cpu_ms: int
    read_bytes: int = 0
    peak_bytes: int = 0  # the largest resident set that the process which worked had so far
    failure: str | None = None  # of graphics hardware


Measure = Callable[[JobMeasured], None]


def peak_bytes() -> int:
    """The largest resident set that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_nothing(measured: JobMeasured) -> None:
    """For processes that nobody asks."""


class JobMetrics:
    """The Prometheus side. No video or tenant labels: their number has no bound."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._turns = Counter(
            "fishladder_job_turns", "Turns of jobs by how they ended", ["kind", "lane", "result"], registry=registry
        )
        self._cpu = Counter("fishladder_job_cpu_seconds", "CPU time of tools", ["kind", "lane"], registry=registry)
        self._read = Counter(
            "fishladder_source_read_bytes", "Bytes of sources fetched from the store", ["kind"], registry=registry
        )
        self._duration = Histogram(
            "fishladder_job_duration_seconds",
            "Wall time of jobs that were done",
            ["kind", "lane"],
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self._hardware_failures = Counter(
            "fishladder_hardware_failures",
            "Renditions that moved from graphics hardware to the CPU, by why",
            ["failure"],
            registry=registry,
        )
        self._peak = Gauge(
            "fishladder_worker_peak_memory_bytes",
            "Largest resident set that any process had which worked on jobs here",
            registry=registry,
        )
        self._peak_bytes = 0
        self._leases_lost = Counter("fishladder_leases_lost", "Jobs that were lost while they ran", registry=registry)

    def count(self, measured: JobMeasured) -> None:
        self._turns.labels(measured.kind, measured.lane, measured.result).inc()
        self._cpu.labels(measured.kind, measured.lane).inc(measured.cpu_ms / 1000)
        self._read.labels(measured.kind).inc(measured.read_bytes)
        self._peak_bytes = max(self._peak_bytes, measured.peak_bytes)
        self._peak.set(self._peak_bytes)
        if measured.result == "done":
            self._duration.labels(measured.kind, measured.lane).observe(measured.wall_ms / 1000)
        if measured.failure is not None:
            self._hardware_failures.labels(measured.failure).inc()
        if measured.result == "lease_lost":
            self._leases_lost.inc()


class MeasurePipe:
    """Make it before forking; `send` in the children, `pump` where the metrics live."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def send(self, measured: JobMeasured) -> None:
        """Never blocks: when nobody reads any more, work goes on uncounted."""
        try:
            os.write(self._write_end, json.dumps(asdict(measured)).encode() + b"\n")
        except BlockingIOError:
            log.warning("measurement_dropped", job_kind=measured.kind)

    def pump(self, count: Measure) -> threading.Thread:
        """Hand every measurement to ``count``, in a thread of its own, as long as this process lives."""

        def read_lines() -> None:
            with os.fdopen(os.dup(self._read_end), "rb") as lines:
                for line in lines:
                    count(JobMeasured(**json.loads(line)))

        thread = threading.Thread(target=read_lines, name="measurements", daemon=True)
        thread.start()
        return thread
