"""Regular audits: what `fishladder audit --repair` does when nobody confirms anything, done by one worker of all."""

from __future__ import annotations

import threading

import structlog
from prometheus_client import CollectorRegistry, Gauge

from storage.blobs import BlobStore
from storage.catalogue import Catalogue
from storage.errors import FishladderError
from storage.jobs import Bell
from workers.audit import audit, repair
from workers.runner import worker_name
from workers.settings import WorkerSettings
from workers.sweeper import SweeperMetrics

log = structlog.get_logger(__name__)

OFFICE = "audit"
LOOK_S = 60.0


class AuditMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.findings = Gauge("fishladder_audit_findings", "Of the last audit, by kind", ["kind"], registry=registry)
        self.last = Gauge("fishladder_audit_timestamp_seconds", "End of the last audit", registry=registry)


class Auditor:
    """Audits every ``settings.audit_interval_s``. Whoever audits holds the office for as long, so that others do not."""

    def __init__(
        self,
        catalogue: Catalogue,
        blobs: BlobStore,
        bell: Bell,
        settings: WorkerSettings,
        *,
        holder: str | None = None,
        repairs: SweeperMetrics | None = None,
        metrics: AuditMetrics | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._bell = bell
        self._interval_s = settings.audit_interval_s
        self._holder = holder or f"{worker_name()}:auditor"
        self._repairs = repairs or SweeperMetrics(CollectorRegistry())
        self._metrics = metrics or AuditMetrics(CollectorRegistry())

    def start(self, stop: threading.Event) -> None:
        """In a thread of its own until ``stop``: a big store takes minutes, in which leases have to be swept."""
        if self._interval_s is not None:
            threading.Thread(target=self._run, args=(stop, self._interval_s), name="auditor", daemon=True).start()

    def _run(self, stop: threading.Event, interval_s: float) -> None:
        pause_s = min(LOOK_S, interval_s)
        while not stop.wait(pause_s):
            try:
                pause_s = interval_s if self.audit_once() else min(LOOK_S, interval_s)
            except Exception:
                log.exception("audit_failed")

    def audit_once(self) -> bool:
        """False if another one did it within the interval, or the catalogue or the store does not answer."""
        ttl_ms = round((self._interval_s or 0) * 1000)
        try:
            if not self._catalogue.lead(OFFICE, self._holder, ttl_ms):
                return False
            found = audit(self._catalogue, self._blobs)
            done = repair(self._catalogue, self._blobs, self._bell, found)
        except FishladderError as error:
            log.warning("audit_put_off", error=error.sentence)
            return False
        for kind, count in found.counts().items():
            self._metrics.findings.labels(kind).set(count)
        for rule, count in (("orphan", done.deleted), ("stuck", done.set_going)):
            self._repairs.repairs.labels(rule).inc(count)
        self._metrics.last.set_to_current_time()
        told = {str(kind): count for kind, count in found.counts().items() if count}
        log.info("audited", objects=found.objects, withheld=done.withheld, **told)
        return True
