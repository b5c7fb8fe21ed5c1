"""What the origin counts, and how Prometheus reads it. Counting is cheap: it is done for every byte that is watched."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from origin.policy import Kind
from origin.tally import Tally
from storage.plays import Heard

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_KINDS = (
    *Kind,
    *("preflight", "health", "metrics", "grant", "report", "plays", "steering", "key", "download", "none"),
)
_STATUSES = (200, 202, 204, 206, 304, 400, 403, 404, 405, 409, 413, 414, 416, 431, 500, 503)
_COUNTERS = {
    "cache_hits": "Objects answered from memory.",
    "cache_misses": "Objects that were not in memory.",
    "disk_hits": "Objects answered from the disk cache.",
    "store_reads": "Objects read from the store.",
    "store_bytes": "Bytes read from the store.",
    "cut_clients": "Clients that took too long to take their bytes.",
    "damaged_objects": "Objects whose bytes are not those that their name promises.",
    "reports": "CMCD reports taken in.",
    "dropped_reports": "CMCD reports dropped because too many waited.",
    "refused_reports": "CMCD reports of sessions beyond those that an address may begin.",
    "plays": "Plays that began.",
    "play_stalls": "Stalls that players reported.",
    "play_stalled_ms": "Milliseconds that players reported as stalled.",
    "play_media_ms": "Milliseconds of pictures that players asked for.",
    "play_kbits": "Kilobits of those pictures, by their bitrate.",
    "play_switches": "Changes of bitrate.",
    "play_failures": "Failures that players reported.",
}
_GAUGES = {
    "cache_bytes": "Memory that hot objects take.",
    "disk_bytes": "Disk that the disk cache takes.",
    "answers_under_way": "Requests that are being answered.",
}

_BUCKETS = len(_SECONDS) + 1
_PER_KIND = len(_STATUSES) + 1 + _BUCKETS + 2  # statuses and "other", buckets, nanoseconds, bytes
_STATUS_INDEX = {status: index for index, status in enumerate(_STATUSES)}
_BASE = {kind: index * _PER_KIND for index, kind in enumerate(_KINDS)}
_SINGLE = {name: len(_KINDS) * _PER_KIND + index for index, name in enumerate((*_COUNTERS, *_GAUGES))}
_STORE = len(_KINDS) * _PER_KIND + len(_SINGLE)  # buckets and nanoseconds of reads from the store
_STARTUP_S = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
_STARTUP = _STORE + _BUCKETS + 1  # buckets of start-up times, and their milliseconds
_SIZE = _STARTUP + len(_STARTUP_S) + 2
_OTHER = len(_STATUSES)
_BUCKETS_AT = _OTHER + 1
_NANOSECONDS_AT = _BUCKETS_AT + _BUCKETS
_BYTES_AT = _NANOSECONDS_AT + 1


def index_of(kind: str, status: int) -> int:
    """Where answers of this kind and status are counted; `OriginMetrics.count_at` takes it."""
    return _BASE[kind] + _STATUS_INDEX.get(status, _OTHER)


class OriginMetrics(Collector):
    """``folder`` is shared by the processes of one origin; None for one that is alone."""

    def __init__(self, folder: Path | None = None) -> None:
        self._tally = Tally(_SIZE, folder, gauges=[_SINGLE[name] for name in _GAUGES])
        self._counts = self._tally.counts
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def count_answer(self, kind: str, status: int, seconds: float, sent_bytes: int) -> None:
        base = _BASE[kind]
        counts = self._counts
        counts[base + _STATUS_INDEX.get(status, _OTHER)] += 1
        counts[base + _BUCKETS_AT + bisect_left(_SECONDS, seconds)] += 1
        counts[base + _NANOSECONDS_AT] += int(seconds * 1e9)
        counts[base + _BYTES_AT] += sent_bytes

    def count_hot(self, kind: str, status: int, sent_bytes: int) -> None:
        """An answer that was ready when it was asked for: its time is the shortest there is."""
        base = _BASE[kind]
        counts = self._counts
        counts[base + _STATUS_INDEX[status]] += 1
        counts[base + _BUCKETS_AT] += 1
        counts[base + _BYTES_AT] += sent_bytes
        counts[_SINGLE["cache_hits"]] += 1

    def count(self, name: str, number: int = 1) -> None:
        self._counts[_SINGLE[name]] += number

    def gauge(self, name: str, value: int) -> None:
        self._counts[_SINGLE[name]] = value

    def store_read(self, seconds: float, size_bytes: int) -> None:
        self._counts[_STORE + bisect_left(_SECONDS, seconds)] += 1
        self._counts[_STORE + _BUCKETS] += int(seconds * 1e9)
        self.count("store_reads")
        self.count("store_bytes", size_bytes)

    def count_heard(self, heard: Heard) -> None:
        """What a player reported."""
        self.count("play_stalls", heard.stalls)
        self.count("play_stalled_ms", heard.stalled_ms)
        self.count("play_media_ms", heard.media_ms)
        self.count("play_kbits", heard.weighted_kbps_ms // 1000)
        self.count("play_switches", heard.switches)
        self.count("play_failures", heard.failures)
        if heard.startup_ms is not None:
            self._counts[_STARTUP + bisect_left(_STARTUP_S, heard.startup_ms / 1000)] += 1
            self._counts[_STARTUP + len(_STARTUP_S) + 1] += heard.startup_ms

    def render(self) -> tuple[str, bytes]:
        """Content type and body of ``/metrics``."""
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry)

    def close(self) -> None:
        self._tally.close()

    def collect(self) -> Iterator[Metric]:
        totals = self._tally.totals()
        requests = CounterMetricFamily("fishladder_origin_requests", "Requests answered.", labels=("kind", "status"))
        sent = CounterMetricFamily("fishladder_origin_sent_bytes", "Bytes of bodies sent.", labels=("kind",))
        answers = HistogramMetricFamily(
            "fishladder_origin_answer_seconds", "Time until an answer was ready to be sent.", labels=("kind",)
        )
        for kind, base in _BASE.items():
            for status, index in (*_STATUS_INDEX.items(), ("other", _OTHER)):
                if number := totals[base + index]:
                    requests.add_metric((kind, str(status)), number)
            buckets = totals[base + _BUCKETS_AT : base + _BUCKETS_AT + _BUCKETS]
            if any(buckets):
                sent.add_metric((kind,), totals[base + _BYTES_AT])
                answers.add_metric((kind,), _cumulated(buckets), totals[base + _NANOSECONDS_AT] / 1e9)
        yield from (requests, sent, answers)
        store = HistogramMetricFamily("fishladder_origin_store_seconds", "Time to read an object from the store.")
        store.add_metric((), _cumulated(totals[_STORE : _STORE + _BUCKETS]), totals[_STORE + _BUCKETS] / 1e9)
        yield store
        startup = HistogramMetricFamily(
            "fishladder_origin_startup_seconds", "From the wish to play to the first picture, as players reported it."
        )
        of_startup = totals[_STARTUP : _STARTUP + len(_STARTUP_S) + 1]
        startup.add_metric((), _cumulated(of_startup, _STARTUP_S), totals[_STARTUP + len(_STARTUP_S) + 1] / 1000)
        yield startup
        for name, doc in _COUNTERS.items():
            yield CounterMetricFamily(f"fishladder_origin_{name}", doc, value=totals[_SINGLE[name]])
        for name, doc in _GAUGES.items():
            yield GaugeMetricFamily(f"fishladder_origin_{name}", doc, value=totals[_SINGLE[name]])


def _cumulated(buckets: list[int], upper_s: tuple[float, ...] = _SECONDS) -> list[tuple[str, float]]:
    """Buckets as Prometheus wants them: each with all that are smaller."""
    bounds = [*(str(seconds) for seconds in upper_s), "+Inf"]
    return [(bound, sum(buckets[: index + 1])) for index, bound in enumerate(bounds)]
