"""What an operator can count. One registry per app, so that several apps live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "fishladder_upload_api_requests",
            "Requests answered, by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "fishladder_upload_api_request_seconds",
            "Time until the answer was complete, by route. Uploads and event streams last as long as they last.",
            ("route",),
            registry=self.registry,
        )
        self.uploads = Counter(
            "fishladder_uploads", "Uploads created, completed, terminated, expired.", ("event",), registry=self.registry
        )
        self.repairs = Counter(
            "fishladder_upload_repairs", "Repairs of uploads by rule.", ("rule",), registry=self.registry
        )
        self.received_bytes = Counter(
            "fishladder_upload_received_bytes", "Bytes of uploads made durable.", registry=self.registry
        )
        self.writers = Gauge(
            "fishladder_upload_writers", "Requests that are sending bytes of an upload.", registry=self.registry
        )
        self.listeners = Gauge("fishladder_event_listeners", "Open event streams.", registry=self.registry)
