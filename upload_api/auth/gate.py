"""The gate: every request is judged here, by its head alone, before anything reads its body.

Requests of uploads are only marked: `TusApp` and `IetfApp` answer them in their own way, after they have checked the version. All others are
answered here if they may not pass.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from storage.access import Keys
from storage.errors import FishladderError, TooLarge
from upload_api.auth.doorkeeper import Doorkeeper
from upload_api.auth.guests import SAFE, check_guest
from upload_api.auth.principal import CALLER, Principal
from upload_api.auth.rates import Kind, RateLimiter
from upload_api.auth.rules import CAPABILITY, OPEN, UPLOAD_PLACES, Door, Need, needed, video_of
from upload_api.errors import ForeignHost, NotSignedIn
from upload_api.problems import problem_of
from upload_api.requests import asked_by, request_fields
from upload_api.settings import UploadApiSettings
from upload_api.threads import Threads
from upload_api.tus.body import Body
from upload_api.tus.protocol import effective_method
from upload_api.urls import client_address, plan_urls

OPEN_BODY_BYTES = 16 * 1024
BODY_BYTES = 1 << 20
PUT_BODY_BYTES = 16 << 20
"""What is read of a body that is kept in memory, by who sends it."""


class Gate:
    """ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        settings: UploadApiSettings,
        *,
        doorkeeper: Doorkeeper,
        videos: Keys,
        limiter: RateLimiter,
        threads: Threads,
    ) -> None:
        self._app = app
        self._settings = settings
        self._doorkeeper = doorkeeper
        self._videos = videos
        self._limiter = limiter
        self._threads = threads

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fields, path = request_fields(scope), scope["path"]
        place = path.strip("/").split("/")[0]
        of_tus, of_uploads = place == "files", place in UPLOAD_PLACES
        method = effective_method(scope["method"], fields) if of_tus else scope["method"]
        need = needed(method, path)
        try:
            scope[CALLER] = await self._admitted(scope, fields, method, need)
            if not of_uploads:
                receive = _limited(receive, fields, _body_limit(method, path, need))
        except FishladderError as error:
            if not of_uploads:
                await _refuse(scope, receive, send, fields, need, error)
                return
            scope[CALLER] = error
        await self._app(scope, receive, send)

    async def _admitted(self, scope: AsgiScope, fields: dict[str, str], method: str, need: Need) -> Principal | None:
        """Who asks, if that matters. Raises `TooManyRequests`, `NotSignedIn`, `MissingScope`, `ForeignOrigin`,
        `ForeignHost`."""
        asked = asked_by(scope)
        address = client_address(asked, self._settings.trusted_proxies)
        if scope["path"] not in ("/healthz", "/readyz"):
            self._limiter.check(Kind.ADDRESS, address)
        if self._doorkeeper.open_house:
            try:
                check_guest(method, asked, self._settings)
            except ForeignHost:
                if need is OPEN and method in SAFE:
                    return None  # what strangers may see: probes and share pages
                raise
        if need is CAPABILITY:
            return None
        public = plan_urls(asked, self._settings).public
        try:
            caller = await self._threads.catalogue(self._doorkeeper.caller, method, fields, public)
        except NotSignedIn:
            if need is OPEN:
                return None
            self._limiter.check(Kind.REFUSED, address)
            raise
        if caller is not None:
            if caller.key_id is not None:
                self._limiter.check(Kind.KEY, caller.key_id)
                self._limiter.check(Kind.TENANT, caller.tenant)
            if need.door in (Door.KEY, Door.PAGE):
                caller.require(need.scope)
                video = video_of(scope["path"])
                if video is not None:
                    await self._threads.catalogue(caller.owns, self._videos, video)
        elif need.door in (Door.KEY, Door.PAGE):
            raise NotSignedIn
        return caller


def _body_limit(method: str, path: str, need: Need) -> int | None:
    """None: the route reads it piece by piece and judges by itself."""
    if need is OPEN:
        return OPEN_BODY_BYTES
    if method == "POST" and path.rstrip("/") == "/api/v1/videos":
        return None
    return PUT_BODY_BYTES if method == "PUT" else BODY_BYTES


def _limited(receive: Receive, fields: dict[str, str], limit: int | None) -> Receive:
    if limit is None:
        return receive
    told = fields.get("content-length", "0")
    if not told.isdecimal() or len(told) > 18 or int(told) > limit:
        raise TooLarge("This request is larger than any that is understood here.", max_bytes=limit)
    left = limit

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise TooLarge("This request is larger than any that is understood here.", max_bytes=limit)
        return message

    return counted


def sign_in_first(request: Request) -> Response:
    """To the page that asks for a key, and from there back to where ``request`` wanted to go."""
    query = request.scope.get("query_string", b"").decode("latin-1")
    back = request.scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"/signin?next={quote(back, safe='')}", 303, headers={"Cache-Control": "no-store"})


async def _refuse(
    scope: AsgiScope, receive: Receive, send: Send, fields: dict[str, str], need: Need, error: FishladderError
) -> None:
    """Answer, and let the rest of a body that nobody read run out for a moment, so that the client can read why."""
    response: Response
    if need.door is Door.PAGE and isinstance(error, NotSignedIn) and scope["method"] in ("GET", "HEAD"):
        response = sign_in_first(Request(scope))
    else:
        response = problem_of(error).response()
        response.headers["Cache-Control"] = "no-store"
    has_body = "transfer-encoding" in fields or fields.get("content-length", "0") != "0"
    if not has_body or "expect" in fields:
        await response(scope, receive, send)
        return
    response.headers["Connection"] = "close"

    async def slowly(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send({**message, "more_body": True})
            await Body(receive).linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    await response(scope, receive, slowly)
