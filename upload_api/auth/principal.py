"""Who asks: found once per request by the gate, carried in the ASGI scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope as AsgiScope

from storage.access import EVERYTHING, Keys, Scope, opened_by
from storage.errors import NotFound
from storage.ids import DEFAULT_TENANT, KeyId, TenantId, VideoId
from storage.upload_grants import UploadGrant
from upload_api.errors import MissingScope, NotSignedIn

CALLER = "fishladder.caller"
"""Where the scope has it: a `Principal`, or the error that there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """``scopes`` is what the caller may do, implied scopes included. ``key_id``: by which key, also behind a session or
    a grant. ``grant``: a caller that may do no more than this says."""

    tenant: TenantId
    scopes: frozenset[Scope]
    key_id: KeyId | None = None
    grant: UploadGrant | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises `MissingScope`."""
        if scope not in self.scopes:
            raise MissingScope(f"This needs a key with the scope «{scope}».", scope=str(scope))

    def owns(self, videos: Keys, video: VideoId) -> None:
        """Raises `NotFound` for another's video, in the words for one that is not there: nobody learns what others
        have. The gate has asked this of every path below ``/api/v1/videos/{id}``."""
        if videos.tenant_of(video) != self.tenant:
            raise NotFound("There is no such video.", video_id=video)


ANYBODY = Principal(tenant=DEFAULT_TENANT, scopes=EVERYTHING)
"""Whoever asks a server that needs no keys."""


def of_grant(grant: UploadGrant) -> Principal:
    return Principal(tenant=grant.tenant, scopes=opened_by((Scope.UPLOAD,)), key_id=grant.key, grant=grant)


def caller_of(scope: AsgiScope) -> Principal:
    """Raises the gate's finding, `NotSignedIn` above all, if nobody in particular asks."""
    found: Principal | Exception | None = scope.get(CALLER)
    if found is None:
        raise NotSignedIn
    if isinstance(found, Exception):
        raise found
    return found


def caller_or_none(scope: AsgiScope) -> Principal | None:
    """Who asks, on paths that are open to everybody."""
    found = scope.get(CALLER)
    return found if isinstance(found, Principal) else None


def check_finding(scope: AsgiScope) -> None:
    """Raises what the gate found against a request, if it left the answer to others."""
    found = scope.get(CALLER)
    if isinstance(found, Exception):
        raise found


def _caller(request: Request) -> Principal:
    return caller_of(request.scope)


Caller = Annotated[Principal, Depends(_caller)]
"""A route's parameter of this type is who asks."""
