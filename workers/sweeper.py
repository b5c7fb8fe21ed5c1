"""The sweeper: what was dropped is picked up. Leases that ran out, bells that were lost, objects and uploads that
nobody wants any more.

Every worker has one; one of them leads at a time. Each rule may run twice without harm.
"""

from __future__ import annotations

import threading

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from storage.blobs import BlobStore, MultipartStore
from storage.catalogue import Catalogue, Doomed, Upload
from storage.crashpoints import CrashPoint, crashpoint
from storage.errors import FishladderError, IllegalTransition
from storage.jobs import Bell
from storage.keys import tails_prefix
from workers.runner import worker_name
from workers.settings import WorkerSettings

log = structlog.get_logger(__name__)

LEADERSHIP = "sweeper"


class SweeperMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.repairs = Counter("fishladder_sweeper_repairs", "Repairs by rule", ["rule"], registry=registry)
        self.deleted = Counter(
            "fishladder_sweeper_deleted", "Unreferenced prefixes and objects deleted", registry=registry
        )
        self.expired = Counter("fishladder_sweeper_expired_uploads", "Uploads that expired", registry=registry)
        self.failures = Counter("fishladder_sweeper_failures", "Passes that ended in an error", registry=registry)
        self.last_pass = Gauge(
            "fishladder_sweeper_last_pass_timestamp_seconds", "End of the last pass", registry=registry
        )


class Sweeper:
    """Repairs what crashes leave behind."""

    def __init__(
        self,
        catalogue: Catalogue,
        blobs: BlobStore,
        bell: Bell,
        settings: WorkerSettings,
        *,
        holder: str | None = None,
        metrics: SweeperMetrics | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._bell = bell
        self._settings = settings
        self._holder = holder or f"{worker_name()}:sweeper"
        self._metrics = metrics or SweeperMetrics(CollectorRegistry())

    def run(self, stop: threading.Event) -> None:
        """A pass every `sweep_interval_s` until ``stop``. Errors are logged and the next pass tries again: a sweeper
        that ends would be missed only when something is lost."""
        while True:
            try:
                self.sweep_once()
            except Exception:
                self._metrics.failures.inc()
                log.exception("sweep_failed")
            if stop.wait(self._settings.sweep_interval_s):
                break
        self._step_down()

    def sweep_once(self) -> bool:
        """One pass; False if another sweeper leads."""
        # Long enough to miss one pass: a leader that died is missed for two.
        ttl_ms = round(self._settings.sweep_interval_s * 2000)
        if not self._catalogue.lead(LEADERSHIP, self._holder, ttl_ms):
            return False
        self._repair_jobs()
        self._expire_uploads()
        self._retire()
        self._delete_doomed()
        self._metrics.last_pass.set_to_current_time()
        return True

    def _step_down(self) -> None:
        """Let another lead at once instead of after our term."""
        try:
            self._catalogue.lead(LEADERSHIP, self._holder, 0)
        except FishladderError as error:
            log.warning("step_down_failed", error=error.sentence)

    def _repair_jobs(self) -> None:
        swept = self._catalogue.sweep(max_kills=self._settings.max_kills, stale_bell_ms=self._settings.stale_bell_ms)
        crashpoint(CrashPoint.SWEPT)
        repairs = {rule: count for rule, count in swept.repairs.items() if count}
        for rule, count in repairs.items():
            self._metrics.repairs.labels(rule).inc(count)
        if repairs:
            log.info("swept", **repairs)
        for lane, times in swept.bells.items():
            self._bell.ring(lane, times)

    def _retire(self) -> None:
        keep = {"keep_source_ms": self._settings.keep_source_ms, "keep_failed_ms": self._settings.keep_failed_ms}
        if any(ms is not None for ms in keep.values()):
            retired = self._catalogue.retire(**keep, limit=self._settings.sweep_batch)
            for rule, count in retired.items():
                self._metrics.repairs.labels(f"retired_{rule}").inc(count)
            if retired:
                log.info("retired", **retired)

    def _expire_uploads(self) -> None:
        for expired in self._catalogue.expired_uploads(self._settings.sweep_batch):
            try:
                # The row first: once it is terminated nobody writes there any more.
                ended = self._catalogue.terminate_upload(expired.id, only_expired=True)
                crashpoint(CrashPoint.UPLOAD_EXPIRED)
                self._drop_bytes(ended)
            except IllegalTransition:
                continue  # completed, or taken up again, in this very moment
            except FishladderError as error:
                log.warning("expiry_failed", video_id=expired.video, error=error.sentence)
                continue
            self._metrics.expired.inc()
            log.info("upload_expired", video_id=expired.video, offset_bytes=expired.offset_bytes)

    def _drop_bytes(self, upload: Upload) -> None:
        if upload.multipart_id is not None and isinstance(self._blobs, MultipartStore):
            self._blobs.abort_multipart(upload.source_key, upload.multipart_id)
        self._blobs.delete_prefix(tails_prefix(upload.video))

    def _delete_doomed(self) -> None:
        gone: list[int] = []
        for doomed in self._catalogue.doomed(self._settings.sweep_batch):
            try:
                if not self._catalogue.may_go(doomed):
                    continue
                self._delete(doomed)
                crashpoint(CrashPoint.OBJECT_DELETED)
            except FishladderError as error:
                log.warning("deletion_failed", prefix=doomed.prefix, key=doomed.key, error=error.sentence)
            else:
                gone.append(doomed.id)
        if gone:
            self._catalogue.forget_doomed(tuple(gone))
            self._metrics.deleted.inc(len(gone))
            log.info("unreferenced_deleted", count=len(gone))

    def _delete(self, doomed: Doomed) -> None:
        if doomed.prefix is not None:
            self._blobs.delete_prefix(doomed.prefix)
        if doomed.key is not None:
            self._abort_multiparts(doomed.key)
            self._blobs.delete(doomed.key)

    def _abort_multiparts(self, key: str) -> None:
        """A source that was given up while its bytes came in is no object yet, but parts that cost room all the same."""
        if isinstance(self._blobs, MultipartStore):
            for its, multipart_id in list(self._blobs.list_multiparts(key)):
                if its == key:
                    self._blobs.abort_multipart(key, multipart_id)
