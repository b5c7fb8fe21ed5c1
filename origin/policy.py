"""What may be kept, for how long, in which encoding: pure rules over names, headers and bytes.

Segments and init segments carry the hash of their bytes in their name, and storyboard tiles one version that all of them
share, so they never change. Manifests keep their name while they grow: half a target duration is the longest that a cache
may hold them back then.
"""

from __future__ import annotations

import re
from enum import StrEnum

_YEAR_S = 31_536_000


class Kind(StrEnum):
    """What is served, as far as caches and metrics care."""

    SEGMENT = "segment"
    INIT = "init"
    TILE = "tile"
    SUBTITLES = "subtitles"  # a segment of them, or all of them
    MANIFEST = "manifest"
    PICTURE = "picture"  # poster, storyboard list


IMMUTABLE_KINDS = frozenset({Kind.SEGMENT, Kind.INIT, Kind.TILE, Kind.SUBTITLES})

IMMUTABLE = f"public, max-age={_YEAR_S}, immutable"
# A player that follows the growth reloads about once a segment, 4 s; one second is below half of that.
GROWING = "public, max-age=1"
# The multivariant playlist does not say whether it will list more; an old one plays on, so it may be served stale.
MULTIVARIANT = "public, max-age=2, stale-while-revalidate=10, stale-if-error=86400"
FINISHED = "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400"
# Compressed forms of text, by their names in Content-Encoding.
CODINGS = ("br", "zstd", "gzip")
_ALIASES = {"x-gzip": "gzip"}
# Long enough to take the load of a crowd that waits, short enough not to keep a video back once it is there.
NOT_FOUND = "public, max-age=1"
NOT_KEPT = "no-store"


def cache_control(kind: Kind, *, immutable: bool, body: bytes) -> str:
    """The Cache-Control value of an object. ``body`` is looked at for manifests only."""
    if immutable or kind in IMMUTABLE_KINDS:
        return IMMUTABLE
    return _manifest_cache_control(body) if kind is Kind.MANIFEST else FINISHED


def for_one_viewer(cache_control: str) -> str:
    """The same for a video that needs a token: caches that do not check tokens must not keep it."""
    return cache_control.replace("public", "private", 1)


def error_cache_control(status: int) -> str:
    return NOT_FOUND if status in (404, 410) else NOT_KEPT


_MPD_TYPE = re.compile(rb"<MPD\b[^>]*\btype\s*=\s*[\"']dynamic[\"']")


def _manifest_cache_control(body: bytes) -> str:
    """Manifests say themselves whether they are finished."""
    if body.startswith(b"#EXTM3U"):
        if b"\n#EXT-X-STREAM-INF:" in body:
            return MULTIVARIANT
        return FINISHED if b"\n#EXT-X-ENDLIST" in body else GROWING
    # An MPD is static unless it says otherwise (ISO/IEC 23009-1, 5.3.1.2).
    return GROWING if _MPD_TYPE.search(body[:4096]) else FINISHED


def accepted_codings(header: str | None) -> frozenset[str]:
    """Which of `CODINGS` an Accept-Encoding header likes best (RFC 9110, 12.5.3); what it likes less is not among them. No
    header: we send it plain."""
    weights: dict[str, float] = {}
    for item in (header or "").lower().split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        weights[_ALIASES.get(coding, coding)] = _weight(parameters)
    of_ours = {coding: weights.get(coding, weights.get("*", 0.0)) for coding in CODINGS}
    best = max(of_ours.values())
    if best <= 0 or best < weights.get("identity", 0.0):
        return frozenset()
    return frozenset(coding for coding, weight in of_ours.items() if weight == best)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def is_unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has these bytes already. "A recipient MUST use the weak comparison function" (13.1.2), so a
    cache that weakened our tag is understood."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == etag for tag in if_none_match.split(","))
