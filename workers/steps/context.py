"""What every step is given: its job, the facts, and the few powers it may use. Steps return an outcome; the runner
commits it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from storage.blobs import BlobStore
from storage.catalogue import Asset, Video
from storage.content_keys import ContentKey
from storage.jobs import Job, Outcome
from storage.media.encryption import Encryption
from workers.ffmpeg.process import Tools
from workers.kept import KeptReads
from workers.keys import KeyCabinet
from workers.planning.reads import Reads
from workers.sources import Fetched
from workers.streams import SourceStream


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """``source``: path of a local, read-only copy of the source, made on first call. ``scratch``: an empty directory of
    the job's own; the runner removes it. ``stop``: set when the lease is lost or the worker drains; tools then die and
    `Interrupted` is raised. ``part``: as `reading` says; None: sources are whole here. ``stream``: the source without a local
    copy, for a tool that reads it through us; None, and where it gives None: `reading` is better. ``rehearsal``: as
    `steps.rehearsing` says; the same.
    ``threads``: how many threads a tool should use. ``nice``: how far tools step back for others, 0 to 19. ``keys``: None
    where nothing is encrypted."""

    job: Job
    video: Video
    asset: Asset
    blobs: BlobStore
    source: Callable[[], Path]
    scratch: Path
    tools: Tools
    stop: threading.Event
    threads: int = 2
    nice: int = 0
    now_ms: int = 0
    part: Callable[[Reads], Fetched] | None = None
    stream: Callable[[Reads], SourceStream | None] | None = None
    rehearsal: Callable[[Reads, Fraction], KeptReads | None] | None = None
    keys: KeyCabinet | None = None

    def reading(self, reads: Reads) -> Fetched:
        """A local, read-only copy of the source for a tool that reads no more of it than ``reads`` says."""
        return self.part(reads) if self.part is not None else Fetched(path=self.source())

    def content_keys(self) -> tuple[ContentKey, ...]:
        """What samples of this asset are encrypted with while they are cut; none: they stay clear."""
        plan = self.asset.plan
        if plan is None or plan.encryption is not Encryption.CBCS:
            return ()
        if self.keys is None:
            raise ValueError("an encrypted asset is worked on where there are keys")
        return self.keys.open_all(self.asset.id)


Step = Callable[[StepContext], Outcome]
"""What a job of one kind does."""
