"""Upload grants: leave to upload, signed for somebody who has no key, such as a browser.

A server that has a key asks for one and hands it on. It is short-lived, says whose the uploads are and what they may be,
and is needed to begin them only: an upload's own URL carries it to its end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.access import check_tenant
from storage.errors import InvalidRequest, NotAllowed, TooLarge
from storage.grants import KeyRing
from storage.ids import KeyId, TenantId
from storage.jobs import GRANTED_LANES, Lane
from storage.signing import read_claims, sign_claims

PREFIX = "fl_grant_"
MAX_LIFETIME_S = 7 * 24 * 3600
MAX_METADATA = 16
MAX_METADATA_CHARACTERS = 200
_PURPOSE = "upload"
_TYPE = re.compile(r"[a-z0-9.+\-]{1,60}/(\*|[a-z0-9.+\-]{1,80})", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_\-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadGrant:
    """Leave to begin up to ``max_uploads`` uploads until ``expires_at_s`` (seconds since the epoch).

    ``max_bytes``: of each of them. ``types``: which content types it may be declared as, ``video/*`` being all of a kind;
    empty: any. ``lane``: in which its video is worked on, whatever the client asks for; None: as it asks.
    ``metadata``: facts that the grantor wants to find again; ``title`` among them is the video's. ``key``: who granted.
    Raises `InvalidRequest`.
    """

    id: str
    tenant: TenantId
    expires_at_s: int
    max_bytes: int | None = None
    max_uploads: int = 1
    types: tuple[str, ...] = ()
    lane: Lane | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    key: KeyId | None = None

    def __post_init__(self) -> None:
        check_tenant(self.tenant)
        if self.max_bytes is not None and self.max_bytes < 1:
            raise InvalidRequest("A grant is for at least one byte.")
        if not 1 <= self.max_uploads <= 1000:
            raise InvalidRequest("A grant is for 1 to 1000 uploads.")
        if not all(_TYPE.fullmatch(kind) for kind in self.types) or len(self.types) > 20:
            raise InvalidRequest("Types are written like video/mp4 or video/*, at most 20.")
        if self.lane is not None and self.lane not in GRANTED_LANES:
            raise InvalidRequest(f"The lane is one of {', '.join(GRANTED_LANES)}.")
        if len(self.metadata) > MAX_METADATA or not all(
            _NAME.fullmatch(name) and len(value) <= MAX_METADATA_CHARACTERS for name, value in self.metadata.items()
        ):
            raise InvalidRequest(
                f"Metadata is at most {MAX_METADATA} names of letters, digits, _ and -, with values of at most "
                f"{MAX_METADATA_CHARACTERS} characters."
            )


def sign_upload_grant(grant: UploadGrant, keys: KeyRing) -> str:
    """The token of ``grant``."""
    claims = {
        "i": grant.id,
        "t": grant.tenant,
        "e": grant.expires_at_s,
        "b": grant.max_bytes,
        "n": grant.max_uploads,
        "y": list(grant.types),
        "l": grant.lane,
        "m": dict(grant.metadata),
        "k": grant.key,
    }
    return PREFIX + sign_claims(
        _PURPOSE, {name: value for name, value in claims.items() if value not in (None, [], {})}, keys
    )


def read_upload_grant(token: str, keys: KeyRing) -> UploadGrant | None:
    """The grant that ``token`` proves, however old it is; None for what we never signed."""
    if not token.startswith(PREFIX):
        return None
    claims = read_claims(_PURPOSE, token.removeprefix(PREFIX), keys)
    if claims is None:
        return None
    return UploadGrant(
        id=claims["i"],
        tenant=TenantId(claims["t"]),
        expires_at_s=claims["e"],
        max_bytes=claims.get("b"),
        max_uploads=claims["n"],
        types=tuple(claims.get("y", ())),
        lane=Lane(claims["l"]) if "l" in claims else None,
        metadata=claims.get("m", {}),
        key=KeyId(claims["k"]) if "k" in claims else None,
    )


def admit_upload(grant: UploadGrant, *, length_bytes: int | None, filetype: str | None, lane: Lane | None) -> None:
    """Hold an upload that is to begin against its grant. ``lane``: the one that the client asks for, if it does.

    Raises `TooLarge` or `NotAllowed`. Length None: it is not known yet; then the limit holds as the bytes come.
    """
    if grant.max_bytes is not None and length_bytes is not None and length_bytes > grant.max_bytes:
        raise TooLarge("This file is larger than what was granted.", max_bytes=grant.max_bytes)
    if grant.types and not any(_is_kind(filetype, kind) for kind in grant.types):
        raise NotAllowed(
            f"What may be uploaded here is {', '.join(grant.types)}; the file's metadata has to say its filetype.",
            types=", ".join(grant.types),
        )
    if grant.lane is not None and lane not in (None, grant.lane):
        raise NotAllowed(f"This upload was granted for the lane {grant.lane}.", lane=grant.lane)


def _is_kind(filetype: str | None, kind: str) -> bool:
    told = (filetype or "").partition(";")[0].strip().lower()
    return told.startswith(kind[:-1]) if kind.endswith("/*") else told == kind
