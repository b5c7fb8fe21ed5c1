"""Errors as answers: the one mapping from errors to statuses, and their body (RFC 9457)."""

from __future__ import annotations

import math
from http import HTTPStatus

from origin.messages import BodyTooSlow, Headers, Response, header, json_response
from origin.policy import error_cache_control
from storage.errors import (
    Conflict,
    FishladderError,
    InvalidRequest,
    NotAllowed,
    NotFoundOrConflict,
    Rejected,
    TooLarge,
    ToolFailed,
    Unavailable,
)


class InternalError(FishladderError):
    """Something went wrong on our side."""

    code = "internal_error"


class MethodNotAllowed(InvalidRequest):
    """Only GET, HEAD and OPTIONS are answered here."""

    code = "method_not_allowed"


class RangeNotSatisfiable(InvalidRequest):
    """None of the bytes you ask for are in this object."""

    code = "range_not_satisfiable"


class UrlTooLong(InvalidRequest):
    """This address is longer than any of ours."""

    code = "url_too_long"


class HeadersTooLarge(InvalidRequest):
    """There are more headers than are read here."""

    code = "headers_too_large"


STATUS: dict[type[FishladderError], int] = {
    Rejected: 400,
    InvalidRequest: 400,
    MethodNotAllowed: 405,
    BodyTooSlow: 408,
    TooLarge: 413,
    RangeNotSatisfiable: 416,
    NotAllowed: 403,
    UrlTooLong: 414,
    HeadersTooLarge: 431,
    NotFoundOrConflict: 404,
    Conflict: 409,
    Unavailable: 503,
    ToolFailed: 500,
    InternalError: 500,
    FishladderError: 500,  # of no family; no error of ours is that
}


def status_of(error: FishladderError) -> int:
    """The status of the nearest ancestor that has one. Every family has; a test walks them all."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(error: FishladderError, headers: Headers) -> Response:
    """The answer to ``error``, with ``headers`` besides its own."""
    status = status_of(error)
    own = [header("cache-control", error_cache_control(status))]
    if isinstance(error, Unavailable):
        own.append(header("retry-after", max(1, math.ceil(error.retry_after_s or 1))))
    if isinstance(error, MethodNotAllowed):
        own.append(header("allow", "GET, HEAD, OPTIONS"))
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.code,
        "detail": error.sentence,
    }
    return json_response(status, body, content_type="application/problem+json", headers=own + headers)
