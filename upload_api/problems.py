"""Every error as `application/problem+json` (RFC 9457): the one place of this room that knows HTTP statuses.

`code` is stable, `detail` is a sentence that a person can act on; typed facts of the error stand beside them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from storage import errors
from storage.errors import FishladderError
from upload_api.errors import (
    ChecksumMismatch,
    ForeignHost,
    ForeignOrigin,
    ImportRefused,
    InconsistentLength,
    MethodNotAllowed,
    MissingScope,
    NotMedia,
    NotSignedIn,
    SourceLost,
    TooManyRequests,
    UnsupportedVersion,
    UploadClosed,
    UploadRefused,
    WrongContentType,
    WrongFile,
)

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"

STATUSES: dict[type[FishladderError], int] = {
    FishladderError: 500,
    errors.Rejected: 422,
    errors.InvalidRequest: 400,
    UnsupportedVersion: 412,
    WrongContentType: 415,
    ChecksumMismatch: 460,
    MethodNotAllowed: 405,
    InconsistentLength: 400,
    errors.TooLarge: 413,
    errors.NotAllowed: 403,
    errors.GrantExpired: 403,
    errors.OverQuota: 403,
    NotSignedIn: 401,
    MissingScope: 403,
    ForeignHost: 421,
    ForeignOrigin: 403,
    errors.UnsupportedSource: 422,
    errors.DamagedSource: 422,
    errors.UploadTerminated: 410,
    UploadRefused: 422,
    NotMedia: 422,
    WrongFile: 422,
    ImportRefused: 422,
    errors.NotFoundOrConflict: 409,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.OffsetMismatch: 409,
    errors.UploadBusy: 423,
    UploadClosed: 409,
    SourceLost: 410,
    errors.IllegalTransition: 409,
    errors.StaleLease: 409,
    errors.InitMismatch: 409,
    errors.Unavailable: 503,
    errors.StoreUnavailable: 503,
    errors.CatalogueUnavailable: 503,
    errors.NoRoom: 507,
    TooManyRequests: 429,
    errors.KeyUnavailable: 503,
    errors.ToolFailed: 500,
    errors.ToolCrashed: 500,
    errors.ToolTimedOut: 500,
    errors.WrongOutput: 500,
}

RETRY_SOON = frozenset({423, 429, 503, 507})


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as it is answered."""

    status: int
    code: str
    detail: str
    facts: dict[str, Any]
    fields: tuple[tuple[str, str], ...] = ()
    type: str = "about:blank"

    def body(self) -> bytes:
        return json.dumps(
            {
                **self.facts,
                "type": self.type,
                "title": phrase(self.status),
                "status": self.status,
                "code": self.code,
                "detail": self.detail,
            },
            ensure_ascii=False,
        ).encode()

    def response(self) -> Response:
        return Response(self.body(), self.status, headers=dict(self.fields), media_type=CONTENT_TYPE)


def phrase(status: int) -> str:
    if status == 460:  # of tus alone
        return "Checksum Mismatch"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def problem_of(error: FishladderError) -> Problem:
    """Total: an error of a class that other rooms added is answered like its nearest ancestor."""
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    facts = {key: value for key, value in error.fields.items() if isinstance(value, str | int | float | bool)}
    fields: list[tuple[str, str]] = []
    if status in RETRY_SOON:
        wait_s = getattr(error, "retry_after_s", None) or 1
        fields.append(("Retry-After", str(max(1, math.ceil(wait_s)))))
    if status == 401:  # RFC 9110 section 15.5.2: «MUST send a WWW-Authenticate header field»
        fields.append(("WWW-Authenticate", 'Bearer realm="fishladder"'))
    if isinstance(error, MethodNotAllowed):
        fields.append(("Allow", str(facts.pop("allow", ""))))
    return Problem(status=status, code=error.code, detail=error.sentence, facts=facts, fields=tuple(fields))


def internal_problem() -> Problem:
    """Of a bug: its text stays in the log."""
    return Problem(status=500, code="internal", detail="Something went wrong on our side.", facts={})


def http_problem(error: HTTPException) -> Problem:
    """Of what the framework refused: no such route, no such method."""
    name = phrase(error.status_code)
    detail = f"{name}." if error.detail in ("", name) else error.detail
    fields = tuple((key, value) for key, value in (error.headers or {}).items())
    return Problem(
        status=error.status_code, code=name.lower().replace(" ", "_"), detail=detail, facts={}, fields=fields
    )


def validation_problem(error: RequestValidationError) -> Problem:
    """Of a request whose query or body has the wrong shape. ``errors`` names each place."""
    places = [{"at": ".".join(str(step) for step in each["loc"]), "what": str(each["msg"])} for each in error.errors()]
    detail = "; ".join(f"{place['at']}: {place['what']}" for place in places) or "The request is not valid."
    return Problem(status=422, code="invalid_request", detail=detail, facts={"errors": places})


def install_problems(app: FastAPI) -> None:
    """Answer every error of ``app`` as a problem."""

    async def known(_request: Request, error: Exception) -> Response:
        assert isinstance(error, FishladderError)
        problem = problem_of(error)
        if problem.status >= 500:
            log.warning("request_failed", code=error.code, sentence=error.sentence)
        return problem.response()

    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return http_problem(error).response()

    async def malformed(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return validation_problem(error).response()

    async def bug(_request: Request, _error: Exception) -> Response:
        return internal_problem().response()  # the server logs the traceback

    app.add_exception_handler(FishladderError, known)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(Exception, bug)
