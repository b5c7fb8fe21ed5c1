"""The catalogue port: what is known of uploads, videos, assets and jobs, and the transactions that keep it true.

Every method is one transaction. Clocks: times are the database's own, in milliseconds since the epoch. Rows are never
the domain: methods take and return the values below. The adapter is `storage.catalogue.sql` (SQLite, PostgreSQL).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from storage.access import Keys
from storage.audit import Holdings
from storage.content_keys import ContentKeys
from storage.following import Followings
from storage.grants import Visibility
from storage.ids import AssetId, JobId, TenantId, UploadId, VideoId
from storage.imports import Imports
from storage.jobs import Job, JobState, Lane, NewJob, Outcome, PublishedName, Segment
from storage.lifecycle import VideoState
from storage.media.ladder import AudioRendition, EncodePlan, Rung
from storage.media.source import Note, Source
from storage.plays import Plays, Visibilities
from storage.quotas import Quotas
from storage.showing import Showings
from storage.subtitles import SubtitleRow, SubtitleTracks
from storage.uploads import Concat, NewUpload, Standing, Tail, Upload, Uploads

__all__ = [
    "Asset",
    "Audits",
    "Catalogue",
    "Committed",
    "Concat",
    "Doomed",
    "Event",
    "Jobs",
    "NewUpload",
    "RenditionRow",
    "Standing",
    "Swept",
    "Tail",
    "Upload",
    "Uploads",
    "Video",
    "VideoFilter",
    "VideoSort",
    "Videos",
]

# --- videos and assets -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A video as the outside sees it. ``progress`` 0..1 by encoded media time over all renditions."""

    id: VideoId
    tenant: TenantId
    title: str
    state: VideoState
    lane: Lane
    asset: AssetId
    upload: UploadId | None
    filename: str | None
    source_key: str
    source_bytes: int | None
    received_bytes: int  # while uploading
    progress: float
    reason_code: str | None = None
    reason: str | None = None
    notes: tuple[Note, ...] = ()
    duration_ms: int | None = None
    created_at_ms: int
    updated_at_ms: int
    uploaded_at_ms: int | None = None
    playable_at_ms: int | None = None
    ready_at_ms: int | None = None
    published: frozenset[str] = frozenset()  # public names that answer now


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionRow:
    """A rendition and what is stored of it. ``rung`` for video, ``audio`` for audio; segments in order of number,
    possibly with holes while encoding."""

    name: str
    rung: Rung | None
    audio: AudioRendition | None
    init_name: str | None
    codecs: str | None
    timescale: int | None
    fingerprint: str | None
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A video's encoded objects. ``revision`` grows with every commit that a manifest may show."""

    id: AssetId
    video: VideoId
    source: Source | None
    plan: EncodePlan | None
    recipe: str
    revision: int
    published_revision: int
    available_from_ms: int  # the database's clock when encoding began: DASH availabilityStartTime
    renditions: tuple[RenditionRow, ...] = ()
    storyboard: dict[str, Any] | None = None
    names: tuple[PublishedName, ...] = ()
    subtitles: tuple[SubtitleRow, ...] = ()


class VideoSort(StrEnum):
    """The order of a list of videos."""

    NEWEST = "newest"
    OLDEST = "oldest"
    TITLE = "title"
    LONGEST = "longest"
    LARGEST = "largest"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFilter:
    tenant: TenantId | None = None
    states: tuple[VideoState, ...] = ()
    text: str | None = None  # in the title
    include_deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to a video: what `/api/v1/events` sends. ``id`` grows; ``data`` is JSON-ready."""

    id: int
    tenant: TenantId
    video: VideoId
    kind: str  # ``state`` | ``progress`` | ``uploaded_bytes`` | ``title`` | ``showing``
    data: dict[str, Any]
    at_ms: int


class Videos(Protocol):
    def video(self, video: VideoId) -> Video:
        """Raises `NotFound`."""
        ...

    def videos(
        self, where: VideoFilter, *, limit: int = 50, after: str | None = None, sort: VideoSort = VideoSort.NEWEST
    ) -> tuple[tuple[Video, ...], str | None]:
        """The second value is the cursor of the next page, good for the same ``sort``."""
        ...

    def asset(self, asset: AssetId, *, with_segments: bool = True) -> Asset:
        """Raises `NotFound`."""
        ...

    def published(self, video: VideoId, name: str) -> tuple[AssetId, PublishedName | None]:
        """The asset of a video that may be played and the object behind one public name. Raises `NotFound` for a video
        that does not exist, is deleted, or has nothing published: they all answer alike."""
        ...

    def rename_video(self, video: VideoId, title: str) -> Video: ...

    def cancel_video(self, video: VideoId) -> Video:
        """→ ``failed`` with the code ``cancelled``; its jobs are cancelled (a running one loses its lease)."""
        ...

    def retry_video(self, video: VideoId, *, recipe: str) -> Job:
        """``failed`` → ``inspecting`` under a new asset; the old asset's id is left for `doomed_assets`."""
        ...

    def delete_video(self, video: VideoId) -> Video:
        """→ ``deleted``; jobs cancelled, public names gone. Its objects go with `doomed`."""
        ...

    def reject_video(self, video: VideoId, code: str, sentence: str) -> None: ...

    def fail_video(self, video: VideoId, code: str, sentence: str) -> None: ...

    def events_after(self, event_id: int, *, tenant: TenantId | None = None, limit: int = 500) -> tuple[Event, ...]: ...

    def last_event_id(self) -> int: ...


# --- jobs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a commit set in motion: the lanes to ring, with how many new ready jobs each has."""

    bells: dict[Lane, int] = field(default_factory=dict)
    video_state: VideoState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep repaired, by rule, and the lanes to ring."""

    repairs: dict[str, int]
    bells: dict[Lane, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """Objects that nothing points at any more: prefixes (``{asset}/``) and single keys, with an id to forget them by."""

    id: int
    prefix: str | None
    key: str | None


class Jobs(Protocol):
    def claim(
        self, worker: str, lanes: tuple[Lane, ...], lease_ms: int, *, recipes: tuple[str, ...] | None = None
    ) -> Job | None:
        """The ready job of ``lanes`` whose turn it is, leased to ``worker`` for ``lease_ms`` with a new token; None if there
        is none. The order is `storage.fairness`: lane, tenant, deadline. ``recipes``: only jobs of these (default: any);
        workers of two versions run side by side, each leaves what it does not know to the other."""
        ...

    def renew(self, job: JobId, token: int, lease_ms: int) -> None:
        """Raises `StaleLease` if the job is not ours any more (also when it was cancelled)."""
        ...

    def release(self, job: JobId, token: int) -> None:
        """Hand the lease back uncharged (a drain). A stale token is ignored."""
        ...

    def commit(self, job: JobId, token: int, outcome: Outcome) -> Committed:
        """Record ``outcome`` and the job as done, in one transaction that checks the token first (`StaleLease`).
        An init segment that differs from its rendition's raises `InitMismatch`; nothing is recorded then."""
        ...

    def retry_later(self, job: JobId, token: int, reason: str, delay_ms: int) -> None:
        """An error worth trying again: ready after ``delay_ms``, ``attempts`` + 1. Raises `StaleLease`."""
        ...

    def bury(self, job: JobId, token: int, reason: str) -> None:
        """A dead letter: job → ``dead``, its video → ``failed``. Raises `StaleLease`."""
        ...

    def retry_job(self, job: JobId, *, recipe: str) -> Job:
        """A dead letter once more, with fresh budgets: the job that is ready now. Where the job's death failed its video
        that is the inspection of a new asset under ``recipe``. Raises `NotFound`, `IllegalTransition`."""
        ...

    def discard_job(self, job: JobId) -> None:
        """A dead letter that nobody wants to see any more → ``cancelled``. Raises `NotFound`, `IllegalTransition`."""
        ...

    def refuse(self, job: JobId, token: int, code: str, sentence: str) -> None:
        """The source is at fault: the video → ``rejected``, its jobs → ``cancelled``. Raises `StaleLease`."""
        ...

    def job(self, job: JobId) -> Job:
        """Raises `NotFound`."""
        ...

    def jobs(
        self, *, video: VideoId | None = None, state: JobState | None = None, limit: int = 200
    ) -> tuple[Job, ...]: ...

    def ready_counts(self) -> dict[Lane, int]:
        """Claimable jobs by lane."""
        ...

    def job_counts(self) -> dict[tuple[JobState, Lane], int]: ...

    def oldest_ready_ms(self) -> dict[Lane, int]:
        """How long the oldest claimable job of each lane has been claimable."""
        ...

    def add_job(self, video: VideoId, new: NewJob) -> JobId: ...

    def sweep(self, *, max_kills: int, stale_bell_ms: int) -> Swept:
        """One pass of repair: expired leases → ready (``kills`` + 1) or dead; ready rows that nobody claims → ring;
        assets with unpublished revisions and no publish job → one; videos at work without any job → one. Idempotent."""
        ...

    def retire(self, *, keep_source_ms: int | None, keep_failed_ms: int | None, limit: int) -> dict[str, int]:
        """Apply retention rules to at most ``limit`` videos each, and count by rule: ``source`` (sources of videos that have
        been ready for longer), ``video`` (failed and rejected ones that nobody touched for longer). None: kept for good."""
        ...

    def lead(self, name: str, holder: str, ttl_ms: int) -> bool:
        """True if ``holder`` is, or just became, the leader for ``name``."""
        ...

    def doomed(self, limit: int) -> tuple[Doomed, ...]:
        """Objects whose grace has passed, and that no row names again."""
        ...

    def may_go(self, entry: Doomed) -> bool:
        """Whether that is so still: a row may have come to name ``entry`` since it was listed."""
        ...

    def forget_doomed(self, ids: tuple[int, ...]) -> None: ...


# --- audits ----------------------------------------------------------------------------------------------------------


class Audits(Protocol):
    def holdings(self) -> Holdings:
        """Everything that rows know of the store, in one snapshot."""
        ...

    def adopt_source(
        self,
        video: VideoId,
        *,
        tenant: TenantId,
        size_bytes: int,
        title: str,
        recipe: str,
        visibility: Visibility | None = None,
    ) -> Job:
        """A video that the database does not know (an older backup was restored) from its source in the store, under its
        old id and with ``visibility`` of its own: the job to ring for. Raises `Conflict` if it is known."""
        ...


class Catalogue(
    Uploads,
    Imports,
    Videos,
    Jobs,
    Plays,
    Visibilities,
    Showings,
    SubtitleTracks,
    Audits,
    Followings,
    Keys,
    Quotas,
    ContentKeys,
    Protocol,
):
    """All of it, as one adapter gives it."""

    def check(self) -> None:
        """Cheap proof that the database answers and its schema is at head; raises `CatalogueUnavailable`."""
        ...

    def now_ms(self) -> int:
        """The database's clock."""
        ...

    def close(self) -> None: ...
