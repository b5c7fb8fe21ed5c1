"""Auditing: the catalogue and the store looked at together, and what of it is put right. `storage.audit` judges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from storage.audit import GRACE_MS, Audit, FindingKind, deletable, judge
from storage.blobs import BlobStore
from storage.catalogue import Catalogue
from storage.ids import DEFAULT_TENANT
from storage.jobs import Bell, JobKind, Lane, NewJob
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
    if not found.of(FindingKind.LOST, FindingKind.STUCK):
        return found
    # Meanwhile a video may have been deleted, or moved on: only what a second look at the rows bears out is said.
    again = catalogue.holdings()
    named = {reference.key for reference in again.references}
    kept = tuple(
        finding
        for finding in found.findings
        if not (finding.kind is FindingKind.LOST and finding.key not in named)
        and not (finding.kind is FindingKind.STUCK and finding.video not in again.stuck)
    )
    return replace(found, findings=kept)


def repair(catalogue: Catalogue, blobs: BlobStore, bell: Bell, found: Audit, *, confirmed: bool = False) -> Repaired:
    """Put right what needs no judgement: strays past their grace are deleted, within the limit; stuck videos are published
    anew; with ``confirmed`` also strays beyond the limit, and unknown videos are adopted from their sources. What is
    lost stays told: only a person can say whether the source is to be encoded again."""
    strays = found.of(FindingKind.DOUBLED, FindingKind.ORPHANED)
    going = deletable(found, confirmed=confirmed)
    for key in going:
        blobs.delete(key)
    set_going = 0
    for finding in found.of(FindingKind.STUCK):
        assert finding.video is not None
        catalogue.add_job(finding.video, NewJob(kind=JobKind.PUBLISH, lane=Lane.PLAYABLE))
        set_going += 1
    adopted = 0
    for finding in found.of(FindingKind.ADOPTABLE) if confirmed else ():
        assert finding.video is not None
        catalogue.adopt_source(
            finding.video, tenant=DEFAULT_TENANT, size_bytes=finding.size_bytes, title="Recovered video", recipe=RECIPE
        )
        adopted += 1
    if set_going or adopted:
        bell.ring(Lane.PLAYABLE, set_going + adopted)
    done = Repaired(deleted=len(going), adopted=adopted, set_going=set_going, withheld=len(strays) - len(going))
    log.info("audit_repaired", deleted=done.deleted, adopted=adopted, set_going=set_going, withheld=done.withheld)
    return done
