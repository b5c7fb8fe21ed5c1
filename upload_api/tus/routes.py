"""tus over ASGI: the shell. Raw, so that nothing between the server and us reads a body before all checks passed."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from starlette.types import Receive, Scope, Send

from storage.catalogue import Upload
from storage.errors import FishladderError
from storage.ids import UploadId
from upload_api.auth.principal import caller_of, check_finding
from upload_api.problems import CONTENT_TYPE, Problem, internal_problem, problem_of
from upload_api.requests import asked_by, request_fields, request_trailers
from upload_api.settings import UploadApiSettings
from upload_api.tus.body import Body
from upload_api.tus.protocol import (
    COLLECTION_METHODS,
    UPLOAD_METHODS,
    VERSION,
    Fields,
    RequestFields,
    appended_fields,
    check_method,
    check_version,
    created_fields,
    effective_method,
    options_fields,
    parse_creation,
    standing_fields,
    video_fields,
)
from upload_api.tus.service import TusService
from upload_api.urls import plan_urls

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    fields: Fields = ()
    body: bytes = b""


class TusApp:
    """The ASGI app behind ``/files`` and ``/files/{upload_id}``."""

    def __init__(self, settings: UploadApiSettings, service: TusService) -> None:
        self._settings = settings
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fields = request_fields(scope)
        method = effective_method(scope["method"], fields)
        upload_id = scope.get("path_params", {}).get("upload_id")
        body = Body(receive, request_trailers(scope))
        try:
            check_version(method, fields)
            check_finding(scope)
            if upload_id is None:
                answer = await self._collection(scope, method, fields, body)
            else:
                answer = await self._upload(method, UploadId(upload_id), fields, body)
        except FishladderError as error:
            answer = _refusal(method, problem_of(error))
        except Exception:
            log.exception("tus_request_broke", method=method)
            answer = _refusal(method, internal_problem())
        if not body.disconnected:
            await send_answer(send, answer, scope["method"], fields, body, (("Tus-Resumable", VERSION),))

    async def _collection(self, scope: Scope, method: str, fields: RequestFields, body: Body) -> Answer:
        check_method(method, COLLECTION_METHODS)
        if method == "OPTIONS":
            return Answer(status=204, fields=options_fields(self._service.policy, trailers=body.tells_trailers))
        creation = parse_creation(fields, self._service.policy, trailers=body.tells_trailers)
        urls = plan_urls(asked_by(scope), self._settings)
        upload = await self._service.create(creation, urls, caller_of(scope))
        location = urls.upload(upload.id)
        try:
            receipt = await self._service.first_bytes(upload, creation, body)
            receipt.check()
        except FishladderError as error:
            # The upload exists: whatever became of the bytes that came along, the client may go on with it.
            refusal = _refusal(method, problem_of(error))
            told = (("Location", location), *video_fields(upload))
            return Answer(status=refusal.status, fields=(*refusal.fields, *told), body=refusal.body)
        return Answer(status=201, fields=created_fields(receipt.upload, location))

    async def _upload(self, method: str, upload_id: UploadId, fields: RequestFields, body: Body) -> Answer:
        check_method(method, UPLOAD_METHODS)
        match method:
            case "OPTIONS":
                return Answer(status=204, fields=options_fields(self._service.policy, trailers=body.tells_trailers))
            case "HEAD":
                return Answer(status=200, fields=_fresh(await self._service.standing(upload_id)))
            case "DELETE":
                await self._service.terminate(upload_id)
                return Answer(status=204)
            case _:
                receipt = await self._service.append(upload_id, fields, body)
                receipt.check()
                return Answer(status=204, fields=appended_fields(receipt.upload))


def _fresh(upload: Upload) -> Fields:
    """«The Server MUST prevent the client and/or proxies from caching the response»."""
    return (*standing_fields(upload), ("Cache-Control", "no-store"))


def _refusal(method: str, problem: Problem) -> Answer:
    status = problem.status
    fields: Fields = (("Content-Type", CONTENT_TYPE), ("Cache-Control", "no-store"), *problem.fields)
    if status == 412:
        fields = (*fields, ("Tus-Version", VERSION))
    if method == "HEAD" and status in HEAD_TRY_AGAIN:
        # On any other HEAD error than 423 tus-js-client starts a new upload from byte zero.
        status = 423
        if "Retry-After" not in dict(fields):
            fields = (*fields, ("Retry-After", "1"))
    return Answer(status=status, fields=fields, body=b"" if method == "HEAD" else problem.body())


HEAD_TRY_AGAIN = frozenset({409, 429, 500, 503, 507})


async def send_answer(
    send: Send, answer: Answer, actual_method: str, fields: RequestFields, body: Body, always: Fields
) -> None:
    """``answer``, with the fields that its dialect ``always`` sends, and the end of a body that was not read: the connection closes after it, but not before the client
    could read why."""
    unread = not body.ended and _has_body(fields)
    content = b"" if actual_method == "HEAD" else answer.body
    headers = [*answer.fields, *always]
    if answer.status != 204:
        headers.append(("Content-Length", str(len(content))))
    if unread:
        headers.append(("Connection", "close"))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        }
    )
    # Whoever was sending already tries again on a broken connection; whoever waits for «continue» sends nothing.
    # But a sender that is refused for good is to learn why, and not to try again.
    if unread and (not body.started or answer.status == 422) and "expect" not in fields:
        await send({"type": "http.response.body", "body": content, "more_body": True})
        await body.linger()
        content = b""
    await send({"type": "http.response.body", "body": content, "more_body": False})


def _has_body(fields: RequestFields) -> bool:
    return "transfer-encoding" in fields or fields.get("content-length", "0") != "0"
