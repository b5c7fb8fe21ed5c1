"""The IETF's dialect over ASGI: the shell of ``/uploads`` and ``/uploads/{upload_id}``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from starlette.types import Receive, Scope, Send

from storage.catalogue import Upload
from storage.errors import FishladderError, InvalidRequest, OffsetMismatch, TooLarge
from storage.ids import UploadId
from upload_api.auth.principal import caller_of, check_finding
from upload_api.errors import UploadRefused
from upload_api.ietf.protocol import (
    COLLECTION_METHODS,
    NEWEST,
    PROBLEM_TYPES,
    RESUMPTION_SUPPORTED,
    UPLOAD_METHODS,
    VERSION_FIELD,
    check_length,
    check_version,
    complete_field,
    digest_fields,
    length_fields,
    limit_field,
    parse_append,
    parse_opening,
    standing_fields,
)
from upload_api.problems import CONTENT_TYPE, internal_problem, problem_of
from upload_api.requests import Interim, asked_by, interim_of, request_fields
from upload_api.settings import UploadApiSettings
from upload_api.tus.body import Body
from upload_api.tus.protocol import Append, Fields, check_method, video_fields
from upload_api.tus.receiving import Receipt
from upload_api.tus.routes import Answer, send_answer
from upload_api.tus.service import TusService
from upload_api.urls import Urls, plan_urls

log = structlog.get_logger(__name__)

TELL_EVERY_S = 1.0
"""How often a sender hears how much of its body is safe."""
STATUSES = {
    423: 503,  # of all 4xx clients try none again, but whoever finds the upload busy is to come back
    460: 400,  # a status of tus alone
}
NO_STORE = ("Cache-Control", "no-store")


class IetfApp:
    """The ASGI app behind ``/uploads``."""

    def __init__(self, settings: UploadApiSettings, service: TusService) -> None:
        self._settings = settings
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fields, version = request_fields(scope), NEWEST
        upload_id = scope.get("path_params", {}).get("upload_id")
        body = Body(receive)
        try:
            version = check_version(fields)
            check_finding(scope)
            call = _Call(self._service, plan_urls(asked_by(scope), self._settings), scope, body, version)
            answer = await (call.collection() if upload_id is None else call.upload(UploadId(upload_id)))
        except FishladderError as error:
            answer = _refusal(error)
        except Exception:
            log.exception("upload_request_broke", method=scope["method"])
            answer = Answer(status=500, fields=(("Content-Type", CONTENT_TYPE),), body=internal_problem().body())
        if not body.disconnected:
            await send_answer(send, answer, scope["method"], fields, body, ((VERSION_FIELD, version),))


class _Call:
    """One request."""

    def __init__(self, service: TusService, urls: Urls, scope: Scope, body: Body, version: str) -> None:
        self._service = service
        self._urls = urls
        self._scope = scope
        self._method: str = scope["method"]
        self._fields = request_fields(scope)
        self._body = body
        self._interim: Interim = interim_of(scope)
        self._version = (VERSION_FIELD, version)

    async def collection(self) -> Answer:
        check_method(self._method, COLLECTION_METHODS)
        if self._method == "OPTIONS":
            return Answer(status=204, fields=(limit_field(self._service.policy.max_bytes),))
        most = self._service.policy.max_bytes
        opening = parse_opening(self._fields, self._scope.get("query_string", b"").decode("latin-1"), most)
        upload = await self._service.create(opening.creation, self._urls, caller_of(self._scope))
        location = ("Location", self._urls.resumable(upload.id))
        limit = self._limit(upload)
        if "upload-complete" in self._fields:
            # To others it would be a surprise: not every client knows that there may be answers before the answer.
            self._interim(RESUMPTION_SUPPORTED, (location, limit, self._version))
        if opening.append is None:
            return Answer(status=201, fields=(location, limit, *standing_fields(upload), *video_fields(upload)))
        try:
            receipt = await self._take(upload, opening.append)
        except FishladderError as error:
            refusal = _refusal(error, await self._service.state_of(upload.id))
            return replace(refusal, fields=(*refusal.fields, location, limit))
        if receipt.upload.state == "open":
            told = standing_fields(receipt.upload)
            return Answer(status=201, fields=(location, limit, *told, *video_fields(upload)))
        return self._done(receipt.upload, 201)

    async def upload(self, upload_id: UploadId) -> Answer:
        check_method(self._method, UPLOAD_METHODS)
        match self._method:
            case "OPTIONS":
                return Answer(status=204, fields=(limit_field(self._service.policy.max_bytes),))
            case "HEAD" | "GET":
                upload = await self._service.standing(upload_id)
                told = (*standing_fields(upload), *length_fields(upload), self._limit(upload), NO_STORE)
                return Answer(status=204, fields=(*told, *video_fields(upload)))
            case "DELETE":
                await self._service.terminate(upload_id)
                return Answer(status=204)
        append = parse_append(self._fields)
        upload = await self._service.known(upload_id)
        try:
            check_length(append, upload)
            receipt = await self._take(upload, append)
        except FishladderError as error:
            return _refusal(error, await self._service.state_of(upload_id))
        if receipt.upload.state == "open":
            return Answer(status=204, fields=(*standing_fields(receipt.upload), self._limit(receipt.upload)))
        return self._done(receipt.upload, 200)

    async def _take(self, upload: Upload, append: Append) -> Receipt:
        """«If the length is known, the server MUST prevent the offset from exceeding the upload length by rejecting the
        request once the offset exceeds the length, marking the upload resource invalid»."""
        guarded = Bounded(self._body, self._room(upload, append))
        try:
            receipt = await self._service.take(upload.id, append, guarded, self._tell(append.offset_bytes))
            receipt.check()
        except TooLarge:
            if (await self._service.state_of(upload.id)) == "open":
                await self._service.terminate(upload.id)
            raise
        if receipt.upload.state == "refused":
            raise UploadRefused(receipt.upload.reason, reason_code=receipt.upload.reason_code)
        return receipt

    def _room(self, upload: Upload, append: Append) -> int | None:
        known = append.length_bytes if upload.length_bytes is None else upload.length_bytes
        limit = self._service.policy.max_bytes if known is None else known
        return None if limit is None else limit - append.offset_bytes

    def _tell(self, offset_bytes: int) -> Callable[[int], None]:
        """«The server SHOULD send interim responses […] to inform the client about the upload progress.»"""
        told_at = time.monotonic()

        def tell(durable_bytes: int) -> None:
            nonlocal told_at
            if durable_bytes > offset_bytes and time.monotonic() - told_at >= TELL_EVERY_S:
                told_at = time.monotonic()
                self._interim(RESUMPTION_SUPPORTED, (("Upload-Offset", str(durable_bytes)), self._version))

        return tell if "upload-complete" in self._fields else lambda _: None

    def _limit(self, upload: Upload) -> tuple[str, str]:
        left_ms = upload.expires_at_ms - round(time.time() * 1000) if upload.state == "open" else None
        known = [limit for limit in (self._service.policy.max_bytes, upload.max_bytes) if limit is not None]
        return limit_field(min(known, default=None), left_ms=left_ms)

    def _done(self, upload: Upload, status: int) -> Answer:
        """What the whole file was answered with if it came in one request."""
        at = f"{self._urls.public}/api/v1/videos/{upload.video}"
        content = json.dumps({"video_id": upload.video, "video_url": at, "watch_url": self._urls.watch(upload.video)})
        kind = ("Content-Type", "application/json")
        fields: Fields = (*standing_fields(upload), *digest_fields(upload), kind, *video_fields(upload))
        if status == 201:
            fields = (*fields, ("Location", at))
        return Answer(status=status, fields=fields, body=content.encode())


class Bounded:
    """A body that may not have more than ``room_bytes``, as `upload_api.tus.body.Pieces`."""

    def __init__(self, body: Body, room_bytes: int | None) -> None:
        self._body = body
        self._left = room_bytes

    @property
    def ended(self) -> bool:
        return self._body.ended

    @property
    def disconnected(self) -> bool:
        return self._body.disconnected

    async def read(self) -> bytes:
        piece = await self._body.read()
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise TooLarge("This request has more bytes than the upload has room for.")
        return piece

    def trailer(self, name: str) -> str | None:
        return None


def _refusal(error: FishladderError, state: str = "open") -> Answer:
    """Raised by the protocol, an error says that the upload is not complete; one that ended says that it is."""
    problem = problem_of(error)
    status, kind = STATUSES.get(problem.status, problem.status), PROBLEM_TYPES.get(error.code, problem.type)
    problem = replace(problem, status=status, type=kind)
    fields: Fields = (("Content-Type", CONTENT_TYPE), NO_STORE, *problem.fields)
    if isinstance(error, OffsetMismatch):
        problem = replace(
            problem,
            facts={
                "expected-offset": problem.facts["expected_offset"],
                "provided-offset": problem.facts["provided_offset"],
            },
        )
        fields = (*fields, ("Upload-Offset", str(problem.facts["expected-offset"])))
    over = state != "open" and not isinstance(error, (OffsetMismatch, InvalidRequest))
    return Answer(status=problem.status, fields=(*fields, complete_field(over)), body=problem.body())
