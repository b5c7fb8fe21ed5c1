"""The words of work: kinds, lanes, leases and what a finished job hands back. Pure values.

The database row is the job; a Celery message (a *bell*) is only its doorbell: it names no job, and a lost or doubled
one costs latency or a no-op.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from storage.content_keys import SealedKey
from storage.ids import AssetId, JobId, TenantId, VideoId
from storage.media.ladder import AudioRendition, EncodePlan, Rung
from storage.media.source import Note, Source


class Lane(StrEnum):
    """A priority class. ``playable`` is internal; the others are granted to uploads."""

    PLAYABLE = "playable"
    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BULK = "bulk"


LANES_BY_URGENCY: tuple[Lane, ...] = (Lane.PLAYABLE, Lane.INTERACTIVE, Lane.STANDARD, Lane.BULK)
GRANTED_LANES: tuple[Lane, ...] = LANES_BY_URGENCY[1:]


class JobKind(StrEnum):
    INSPECT = "inspect"
    ENCODE = "encode"  # payload: {"chunk": index, "rungs": [names]}
    AUDIO = "audio"  # payload: {"rendition": name, "piece": index}
    THUMBNAILS = "thumbnails"  # payload: {}, or of a part {"tiles": [first sprite, behind the last one]}
    SUBTITLES = "subtitles"  # payload: {"tracks": [names]}, and of uploaded ones {"whole": name of the file}
    PUBLISH = "publish"  # payload: {}; at most one ready per video


class JobState(StrEnum):
    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be recorded. ``order``: of jobs of a video that are due at the same time, smaller is claimed first."""

    kind: JobKind
    lane: Lane
    payload: dict[str, Any] = field(default_factory=dict)
    order: int = 0
    cost_cpu_ms: int = 1000  # estimated CPU time, for fairness and for waking the right number of workers
    needs: str | None = None  # hardware of a family, see `recipe_needing`


def recipe_needing(recipe: str, needs: str | None) -> str:
    """The recipe of a job that only workers with hardware of the family ``needs`` can do: workers claim jobs of the recipes
    that they know, and who has a graphics card knows one more."""
    return recipe if needs is None else f"{recipe}+{needs}"


def plain_recipe(recipe: str) -> str:
    """The recipe of what any worker can do for the same asset."""
    return recipe.partition("+")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands. ``token`` is the fencing token: it grows with every claim and is checked at every commit."""

    id: JobId
    video: VideoId
    asset: AssetId
    tenant: TenantId
    kind: JobKind
    lane: Lane
    state: JobState
    payload: dict[str, Any]
    recipe: str
    token: int = 0
    attempts: int = 0  # errors so far
    kills: int = 0  # leases that ran out so far
    worker: str | None = None
    reason: str | None = None
    created_at_ms: int = 0
    run_after_ms: int = 0
    lease_until_ms: int | None = None
    cost_cpu_ms: int = 1000  # estimated
    due_at_ms: int = 0  # its deadline, see `storage.fairness`

    def log_context(self) -> dict[str, object]:
        """The fields that every log line about this job carries."""
        return {
            "video_id": self.video,
            "job_id": self.id,
            "kind": str(self.kind),
            "lane": str(self.lane),
            "attempt": self.token,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class IFrame:
    """Where one intra picture lies inside its segment: bytes ``[offset, offset + size)`` hold its moof and mdat."""

    offset: int
    size: int
    duration_ticks: int  # until the next I-frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stored unit of delivery. Ticks are of the rendition's timescale, from time zero of the presentation."""

    number: int
    name: str  # ``{n}-{hash12}.m4s``
    start_ticks: int
    duration_ticks: int
    size_bytes: int
    iframes: tuple[IFrame, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionSegments:
    """What a chunk or piece adds to one rendition."""

    rendition: str
    init_name: str
    init_size_bytes: int
    codecs: str  # RFC 6381, read from the init segment's own boxes
    timescale: int
    fingerprint: str  # encoder, preset, build, parameters: equal for all chunks of a rendition
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleSegments:
    """The stored files of one rendition of subtitles: the whole text, and its segments."""

    rendition: str
    whole_name: str  # ``whole-{hash12}.vtt``
    whole_size_bytes: int
    timescale: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedName:
    """A public name under ``/v/{id}/`` and the object that answers for it."""

    name: str  # ``master.m3u8``, ``720p/media.m3u8``, ``poster.jpg`` …
    key: str
    content_type: str
    size_bytes: int
    immutable: bool = False


# What a finished job hands back to be committed, with its fencing token, in one transaction.


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    source: Source
    plan: EncodePlan
    video_renditions: tuple[Rung, ...]
    audio_renditions: tuple[AudioRendition, ...]
    notes: tuple[Note, ...]
    jobs: tuple[NewJob, ...]
    keys: tuple[SealedKey, ...] = ()  # of the asset, where it is encrypted


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Segments of a chunk (video) or piece (audio). Committing adds a `PUBLISH` job unless one is ready."""

    outputs: tuple[RenditionSegments, ...]
    cpu_ms: int = 0
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnailed:
    """Poster and storyboard, or some sprites of it. Committing them all adds a `PUBLISH` job unless one is ready."""

    names: tuple[PublishedName, ...]
    storyboard: dict[str, Any]
    """What manifests need of the tiles: ``tiles`` (list of names), ``columns``, ``rows``, ``interval`` ("n/d" seconds),
    ``tile_width``, ``tile_height``, ``count``. Empty: there will be none."""
    part: bool = False
    """Other jobs make the other ``tiles``: the storyboard is there once the last of them is."""
    cpu_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtitled:
    """Subtitles of the job's tracks; one that is not among them cannot be had, and is not waited for any more. Committing
    adds a `PUBLISH` job unless one is ready."""

    tracks: tuple[SubtitleSegments, ...]
    cpu_ms: int = 0
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Manifests that are in the store. ``revision``: the asset revision they were made from; an older one never
    replaces a newer one. ``playable``/``final`` move the video on."""

    revision: int
    names: tuple[PublishedName, ...]
    playable: bool
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replanned:
    """A job's renditions cannot be made as planned (``reason``: a graphics card that failed): other ones take their place.
    What there is of ``dropped`` goes, with all jobs that need the hardware, and ``jobs`` make ``added`` from the start."""

    plan: EncodePlan
    dropped: tuple[str, ...]
    added: tuple[Rung, ...]
    jobs: tuple[NewJob, ...]
    reason: str
    cpu_ms: int = 0


Outcome = Inspected | Encoded | Thumbnailed | Subtitled | Replanned | Published


class Bell(Protocol):
    """Wakes workers of a lane. Best effort: the sweeper rings again for rows that nobody claims."""

    def ring(self, lane: Lane, times: int = 1) -> None:
        """Wake up to ``times`` workers that serve ``lane``. Never raises: a lost bell only costs latency."""
        ...


class SilentBell:
    """Rings nothing: for processes whose workers poll, and for tests."""

    def ring(self, lane: Lane, times: int = 1) -> None:
        return None
