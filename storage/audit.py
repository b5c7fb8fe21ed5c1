"""Database against store, both ways: what an audit finds, and what of it may be deleted. Pure.

- **lost**: a row names an object that is not there, or not of its size. Players will miss it.
- **doubled**: a segment number is in the store twice: the other one came from a worker whose commit was refused.
- **orphaned**: nothing names the object.
- **stuck**: a video that is neither at rest nor has any job left that would move it on.
- **adoptable**: a source whose video the database does not know, as after restoring an older backup. Its video can be
  taken up again under its old id.

Objects are written before the rows that name them, so a young object without a row proves nothing: only what is older
than the grace time counts. And a database that was restored from a backup knows less than the store: sources and
parts of sources, and the assets of unknown videos, are never deleted without a person's word, and of all objects never more than a small share.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from storage.blobs import BlobInfo
from storage.ids import AssetId, VideoId

GRACE_MS = 7 * 24 * 3600 * 1000
MOST_DELETED = 0.01
"""Of all objects, in one run, without confirmation."""

_SEGMENT = re.compile(r"(?P<rendition>a-[^/]+/[^/]+)/(?P<number>\d+)-[0-9a-f]{12}\.m4s")


class FindingKind(StrEnum):
    LOST = "lost"
    DOUBLED = "doubled"
    ORPHANED = "orphaned"
    STUCK = "stuck"
    ADOPTABLE = "adoptable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    kind: FindingKind
    key: str | None = None
    video: VideoId | None = None
    size_bytes: int = 0
    unknown_owner: bool = False  # its asset or video is not in the database at all

    @property
    def sentence(self) -> str:
        match self.kind:
            case FindingKind.LOST:
                return f"{self.key} of video {self.video} is not in the store"
            case FindingKind.DOUBLED:
                return f"{self.key} is the second object of its segment, and no row names it"
            case FindingKind.ORPHANED:
                return f"{self.key} is named by no row"
            case FindingKind.STUCK:
                return f"video {self.video} is at work, but has no job left"
            case FindingKind.ADOPTABLE:
                return f"{self.key} is the source of video {self.video}, which the database does not know"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An object that a row names. ``size_bytes`` None: the row does not know."""

    key: str
    video: VideoId
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What the database knows, in one snapshot. ``doomed``: keys and prefixes (with their slash) that go anyway."""

    references: tuple[Reference, ...]
    videos: frozenset[VideoId]
    assets: frozenset[AssetId]
    doomed: frozenset[str]
    coming: frozenset[str]  # sources of uploads that are still open, and prefixes of their tails
    stuck: tuple[VideoId, ...]
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    findings: tuple[Finding, ...]
    objects: int
    referenced: int
    young: int  # without a row, but within the grace time

    @property
    def clean(self) -> bool:
        return not self.findings

    def of(self, *kinds: FindingKind) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.kind in kinds)

    def counts(self) -> Mapping[FindingKind, int]:
        counted = Counter(finding.kind for finding in self.findings)
        return {kind: counted[kind] for kind in FindingKind}


def judge(holdings: Holdings, objects: Iterable[BlobInfo], *, grace_ms: int = GRACE_MS) -> Audit:
    """What is wrong between ``holdings`` and the ``objects`` of the store."""
    wanted = {reference.key: reference for reference in holdings.references}
    missing = dict(wanted)
    findings: list[Finding] = []
    strays: list[BlobInfo] = []
    numbers: defaultdict[str, int] = defaultdict(int)
    total = 0
    for info in objects:
        total += 1
        if (segment := _SEGMENT.fullmatch(info.key)) is not None:
            numbers[f"{segment['rendition']}/{segment['number']}"] += 1
        reference = wanted.get(info.key)
        if reference is None:
            strays.append(info)
        elif reference.size_bytes in (None, info.size_bytes):
            missing.pop(info.key, None)
    findings += [Finding(kind=FindingKind.LOST, key=it.key, video=it.video) for it in missing.values()]
    young = 0
    for info in strays:
        if _goes_anyway(info.key, holdings):
            continue
        age_ms = holdings.now_ms - (info.modified_at_ms or 0)
        if (finding := _stray(info, holdings, numbers)).kind is not FindingKind.ADOPTABLE and age_ms < grace_ms:
            young += 1
            continue
        findings.append(finding)
    findings += [Finding(kind=FindingKind.STUCK, video=video) for video in holdings.stuck]
    return Audit(findings=tuple(findings), objects=total, referenced=len(wanted), young=young)


def _goes_anyway(key: str, holdings: Holdings) -> bool:
    """Doomed already, or of an upload that still comes in."""
    head, slash, rest = key.partition("/")
    second = rest.partition("/")[0]
    prefixes = {key, head + slash, f"{head}/{second}/"}
    return not prefixes.isdisjoint(holdings.doomed | holdings.coming)


def _stray(info: BlobInfo, holdings: Holdings, numbers: Mapping[str, int]) -> Finding:
    head, _, rest = info.key.partition("/")
    if head == "sources":
        video = VideoId(rest)
        kind = FindingKind.ORPHANED if video in holdings.videos else FindingKind.ADOPTABLE
        return Finding(kind=kind, key=info.key, video=video, size_bytes=info.size_bytes)
    kind = FindingKind.ORPHANED
    segment = _SEGMENT.fullmatch(info.key)
    if segment is not None and numbers[f"{segment['rendition']}/{segment['number']}"] > 1:
        kind = FindingKind.DOUBLED
    unknown = (head.startswith("a-") and AssetId(head) not in holdings.assets) or (
        head == "partials" and VideoId(rest) not in holdings.videos
    )
    return Finding(kind=kind, key=info.key, size_bytes=info.size_bytes, unknown_owner=unknown)


def deletable(audit: Audit, *, confirmed: bool = False, share: float = MOST_DELETED) -> tuple[str, ...]:
    """Keys of strays that may be deleted now: all, or none if they are more than ``share`` of the store and nobody
    confirmed. What belongs to an unknown asset goes only when confirmed."""
    strays = [it for it in audit.of(FindingKind.DOUBLED, FindingKind.ORPHANED) if confirmed or not it.unknown_owner]
    if not confirmed and len(strays) > share * audit.objects:
        return ()
    return tuple(finding.key for finding in strays if finding.key is not None)
