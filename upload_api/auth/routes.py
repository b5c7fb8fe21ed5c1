"""`/api/v1/session`, `/api/v1/keys`, `/api/v1/grants` and `/api/v1/usage`. What a caller needs for each is in `rules`."""

from __future__ import annotations

import time

import structlog
from fastapi import APIRouter, Request, Response

from storage.access import NewKey, new_token, opened_by
from storage.errors import InvalidRequest
from storage.grants import KeyRing
from storage.ids import KeyId, new_grant_id
from storage.upload_grants import UploadGrant, sign_upload_grant
from upload_api.auth.doorkeeper import COOKIE, Doorkeeper, check_origin
from upload_api.auth.models import (
    CreatedKeyModel,
    GrantModel,
    KeyList,
    KeyModel,
    NewGrantModel,
    NewKeyModel,
    SessionModel,
    SignIn,
    UsageModel,
)
from upload_api.auth.principal import Caller, Principal
from upload_api.errors import MissingScope
from upload_api.models import ProblemModel, moment
from upload_api.ports import Ports
from upload_api.requests import asked_by, request_fields
from upload_api.settings import UploadApiSettings
from upload_api.urls import plan_urls

log = structlog.get_logger(__name__)

NO_STORE = {"Cache-Control": "no-store"}
_PROBLEMS = {code: {"model": ProblemModel} for code in (400, 401, 403, 404, 422, 429, 503)}


def auth_routes(settings: UploadApiSettings, ports: Ports, doorkeeper: Doorkeeper, ring: KeyRing) -> APIRouter:
    router = APIRouter(prefix="/api/v1", responses=_PROBLEMS)  # type: ignore[arg-type]  # FastAPI's dict is invariant
    _add_session(router, settings, doorkeeper)
    _add_keys(router, ports)
    _add_grants(router, settings, ring)

    @router.get("/usage", summary="What you have of what you may have", tags=["keys"])
    def usage(who: Caller, response: Response) -> UsageModel:
        response.headers.update(NO_STORE)
        return UsageModel.of(who.tenant, ports.catalogue.usage(who.tenant), ports.catalogue.limits(who.tenant))

    return router


def _add_session(router: APIRouter, settings: UploadApiSettings, doorkeeper: Doorkeeper) -> None:
    def public(request: Request) -> str:
        return plan_urls(asked_by(request.scope), settings).public

    @router.post("/session", summary="Sign a browser in", tags=["session"])
    def sign_in(said: SignIn, request: Request, response: Response) -> SessionModel:
        """Trades a key for a cookie that scripts cannot read and that no other site can use."""
        check_origin(request_fields(request.scope), public(request))
        key = doorkeeper.good_key(said.key.strip())
        session, value = doorkeeper.begin_session(key)
        response.set_cookie(
            COOKIE,
            value,
            max_age=max(0, session.expires_at_s - int(time.time())),
            path="/",
            secure=public(request).startswith("https:"),
            httponly=True,
            samesite="strict",
        )
        response.headers.update(NO_STORE)
        log.info("signed_in", key_id=key.id, tenant=key.tenant)
        who = Principal(tenant=key.tenant, scopes=opened_by(key.scopes), key_id=key.id)
        return SessionModel.of(who, needs_key=not doorkeeper.open_house, expires_at_s=session.expires_at_s)

    @router.get("/session", summary="Who you are here", tags=["session"])
    def who_am_i(who: Caller, request: Request, response: Response) -> SessionModel:
        response.headers.update(NO_STORE)
        session = doorkeeper.session(request_fields(request.scope))
        expires_at_s = session.expires_at_s if session is not None and session.key == who.key_id else None
        return SessionModel.of(who, needs_key=not doorkeeper.open_house, expires_at_s=expires_at_s)

    @router.delete("/session", summary="Sign out", status_code=204, tags=["session"])
    def sign_out(request: Request, response: Response) -> None:
        check_origin(request_fields(request.scope), public(request))
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def _add_keys(router: APIRouter, ports: Ports) -> None:
    catalogue = ports.catalogue

    @router.get("/keys", summary="The keys of your tenant", tags=["keys"])
    def list_keys(who: Caller, response: Response) -> KeyList:
        response.headers.update(NO_STORE)
        return KeyList(keys=[KeyModel.of(key) for key in catalogue.keys(who.tenant)])

    @router.post("/keys", summary="Make a key of your tenant", status_code=201, tags=["keys"])
    def create_key(said: NewKeyModel, who: Caller, response: Response) -> CreatedKeyModel:
        response.headers.update(NO_STORE)
        days = said.expires_in_days
        token = new_token()
        key = catalogue.create_key(
            NewKey(
                tenant=who.tenant,
                name=said.name.strip(),
                scopes=tuple(sorted(set(said.scopes))),
                expires_at_ms=None if days is None else int((time.time() + days * 86_400) * 1000),
            ),
            token,
        )
        log.info("key_created", key_id=key.id, tenant=key.tenant, by=who.key_id)
        return CreatedKeyModel.with_token(key, token.text)

    @router.get("/keys/{key_id}", summary="One key", tags=["keys"])
    def get_key(key_id: str, who: Caller, response: Response) -> KeyModel:
        response.headers.update(NO_STORE)
        return KeyModel.of(catalogue.key(KeyId(key_id), tenant=who.tenant))

    @router.delete("/keys/{key_id}", summary="Revoke a key", tags=["keys"])
    def revoke_key(key_id: str, who: Caller, response: Response) -> KeyModel:
        """It opens nothing from now on, nor do its sessions and grants. Uploads that were begun with it go on: their
        own addresses carry them."""
        response.headers.update(NO_STORE)
        key = catalogue.revoke_key(KeyId(key_id), tenant=who.tenant)
        log.info("key_revoked", key_id=key.id, tenant=key.tenant, by=who.key_id)
        return KeyModel.of(key)


def _add_grants(router: APIRouter, settings: UploadApiSettings, ring: KeyRing) -> None:
    @router.post("/grants", summary="Let somebody without a key upload", status_code=201, tags=["uploads"])
    def grant_upload(said: NewGrantModel, who: Caller, request: Request, response: Response) -> GrantModel:
        """Signed, not kept: it ends by itself, or with the key that asked for it."""
        response.headers.update(NO_STORE)
        if who.grant is not None:
            raise MissingScope("A grant cannot grant more; that needs a key.")
        expires_at_s = int(time.time()) + said.expires_in_seconds
        grant = UploadGrant(
            id=new_grant_id(),
            tenant=who.tenant,
            expires_at_s=expires_at_s,
            max_bytes=said.max_bytes,
            max_uploads=said.max_uploads,
            types=tuple(kind.strip().lower() for kind in said.types),
            lane=said.lane,
            metadata=said.metadata,
            key=who.key_id,
        )
        token = sign_upload_grant(grant, ring)
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise InvalidRequest("This grant is too long for a header field: say less in its metadata.")
        log.info("upload_granted", tenant=who.tenant, grant_id=grant.id, by=who.key_id)
        urls = plan_urls(asked_by(request.scope), settings)
        return GrantModel(token=token, upload_url=f"{urls.public}/files", expires_at=moment(expires_at_s * 1000))


MAX_TOKEN_CHARACTERS = 4096
"""Of a header field that every proxy lets pass."""
