"""What a process that works on jobs is made of. `infra` fills it; nothing here knows which adapter stands behind a port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storage.blobs import BlobStore
from storage.catalogue import Catalogue
from storage.jobs import Bell, JobKind
from workers.auditing import AuditMetrics, Auditor
from workers.drain import Drain
from workers.ffmpeg.process import Tools
from workers.keys import KeyCabinet
from workers.measures import Measure, measure_nothing
from workers.runner import Runner, Sources
from workers.settings import WorkerSettings
from workers.steps.context import Step
from workers.sweeper import Sweeper, SweeperMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerParts:
    """Adapters and policy of one process. They belong to the process that made them: connections are not taken across
    a fork."""

    catalogue: Catalogue
    blobs: BlobStore
    tools: Tools
    settings: WorkerSettings
    sources: Sources
    steps: Mapping[JobKind, Step]
    keys: KeyCabinet | None = None  # None: nothing is encrypted here

    def runner(self, bell: Bell, drain: Drain, *, measure: Measure = measure_nothing) -> Runner:
        return Runner(
            self.catalogue,
            self.blobs,
            bell,
            self.tools,
            self.settings,
            steps=self.steps,
            sources=self.sources,
            drain=drain,
            measure=measure,
            keys=self.keys,
        )

    def sweeper(self, bell: Bell, metrics: SweeperMetrics | None = None) -> Sweeper:
        return Sweeper(self.catalogue, self.blobs, bell, self.settings, metrics=metrics)

    def auditor(
        self, bell: Bell, repairs: SweeperMetrics | None = None, metrics: AuditMetrics | None = None
    ) -> Auditor:
        return Auditor(self.catalogue, self.blobs, bell, self.settings, repairs=repairs, metrics=metrics)
