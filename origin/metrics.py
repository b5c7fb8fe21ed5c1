"""What the origin counts. Each app has a registry of its own, so tests and processes do not mix."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class OriginMetrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "fishladder_origin_requests", "Requests answered.", ("kind", "status"), registry=self.registry
        )
        self.sent_bytes = Counter(
            "fishladder_origin_sent_bytes", "Bytes of bodies sent.", ("kind",), registry=self.registry
        )
        self.answer_seconds = Histogram(
            "fishladder_origin_answer_seconds",
            "Time until an answer was ready to be sent.",
            ("kind",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.cache_hits = Counter(
            "fishladder_origin_cache_hits", "Objects answered from memory.", registry=self.registry
        )
        self.cache_misses = Counter(
            "fishladder_origin_cache_misses", "Objects that were not in memory.", registry=self.registry
        )
        self.cache_bytes = Gauge(
            "fishladder_origin_cache_bytes", "Memory that hot objects take.", registry=self.registry
        )
        self.store_seconds = Histogram(
            "fishladder_origin_store_seconds",
            "Time to read an object from the store.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def render(self) -> tuple[str, bytes]:
        """Content type and body of ``/metrics``."""
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.registry)
