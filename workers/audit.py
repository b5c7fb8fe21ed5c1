"""Auditing: the catalogue and the store looked at together, and what of it is put right. `storage.audit` judges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from storage.audit import GRACE_MS, Audit, Finding, FindingKind, Holdings, deletable, judge
from storage.blobs import BlobStore
from storage.catalogue import Catalogue
from storage.errors import Conflict, NotFoundOrConflict
from storage.grants import Visibility
from storage.ids import DEFAULT_TENANT, TenantId, VideoId
from storage.jobs import Bell, JobKind, Lane, NewJob
from storage.lifecycle import VideoState
from storage.media.ladder import RECIPE

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """``withheld``: strays that are too many to be deleted without a person's word, or belong to unknown assets."""

    deleted: int = 0
    adopted: int = 0
    set_going: int = 0
    withheld: int = 0


def audit(catalogue: Catalogue, blobs: BlobStore, *, grace_ms: int = GRACE_MS) -> Audit:
    """Compare everything. The rows first: an object is stored before its row is written, so what a row names is there."""
    found = judge(catalogue.holdings(), blobs.list(""), grace_ms=grace_ms)
    if found.clean:
        return found
    # Meanwhile a video may have been deleted, or moved on, or an object been named again: only what a second look at the
    # rows bears out is said.
    again = catalogue.holdings()
    named = {reference.key for reference in again.references}
    kept = tuple(finding for finding in found.findings if _is_so_still(finding, again, named))
    return replace(found, findings=kept)


def _is_so_still(finding: Finding, again: Holdings, named: set[str]) -> bool:
    match finding.kind:
        case FindingKind.LOST:
            return finding.key in named
        case FindingKind.STUCK:
            return finding.video in again.stuck
        case FindingKind.ADOPTABLE:
            return finding.video not in again.videos
        case FindingKind.DOUBLED | FindingKind.ORPHANED:
            return finding.key not in named


def repair(
    catalogue: Catalogue,
    blobs: BlobStore,
    bell: Bell,
    found: Audit,
    *,
    confirmed: bool = False,
    tenant: TenantId = DEFAULT_TENANT,
    visibility: Visibility = Visibility.UNLISTED,
) -> Repaired:
    """Put right what needs no judgement: strays past their grace are deleted, within the limit; stuck videos are inspected
    or published anew; with ``confirmed`` also strays beyond the limit, and unknown videos are adopted from their sources,
    for ``tenant`` and no more open than ``visibility``: nothing in the store says whose they were and who might see
    them. What is lost stays told: only a person can say whether the source is to be encoded again."""
    strays = found.of(FindingKind.DOUBLED, FindingKind.ORPHANED)
    going = deletable(found, confirmed=confirmed)
    for key in going:
        blobs.delete(key)
    set_going = 0
    for finding in found.of(FindingKind.STUCK):
        assert finding.video is not None
        set_going += _set_going(catalogue, finding.video)
    adopted = 0
    for finding in found.of(FindingKind.ADOPTABLE) if confirmed else ():
        assert finding.video is not None
        try:
            catalogue.adopt_source(
                finding.video,
                tenant=tenant,
                size_bytes=finding.size_bytes,
                title="Recovered video",
                recipe=RECIPE,
                visibility=visibility,
            )
        except Conflict:
            log.info("audit_known_meanwhile", video_id=finding.video)
        else:
            adopted += 1
    if set_going or adopted:
        bell.ring(Lane.PLAYABLE, set_going + adopted)
    done = Repaired(deleted=len(going), adopted=adopted, set_going=set_going, withheld=len(strays) - len(going))
    log.info("audit_repaired", deleted=done.deleted, adopted=adopted, set_going=set_going, withheld=done.withheld)
    return done


def _set_going(catalogue: Catalogue, video: VideoId) -> bool:
    """False if there is nothing to set going any more."""
    try:
        inspected = catalogue.video(video).state is not VideoState.INSPECTING
        kind = JobKind.PUBLISH if inspected else JobKind.INSPECT
        catalogue.add_job(video, NewJob(kind=kind, lane=Lane.PLAYABLE))
    except NotFoundOrConflict:
        log.info("audit_moved_on_meanwhile", video_id=video)
        return False
    return True
