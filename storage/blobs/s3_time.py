"""Requests to S3 are signed with the time of day, and refused where it is off by a quarter of an hour. A machine whose
clock is wrong goes by the server's: else its worker would take job after job and fail at each.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import structlog
from botocore.auth import AUTH_TYPE_MAPS, SIGV4_TIMESTAMP, S3SigV4Auth
from botocore.compat import get_current_datetime

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger(__name__)

NEAR = timedelta(minutes=1)
"""Servers take much more, and `Date` tells whole seconds."""
_ahead = timedelta()
"""Of this process's clock: what has to be added to it. A clock belongs to a machine, not to a client."""


class _Signer(S3SigV4Auth):
    def _modify_request_before_signing(self, request: Any) -> None:
        ours = datetime.strptime(request.context["timestamp"], SIGV4_TIMESTAMP).replace(tzinfo=UTC)
        request.context["timestamp"] = (ours + _ahead).strftime(SIGV4_TIMESTAMP)
        super()._modify_request_before_signing(request)  # type: ignore[misc]  # the stubs leave it out


AUTH_TYPE_MAPS["s3v4"] = _Signer  # botocore has no word for another signer of one client


def go_by_their_clock(client: S3Client) -> None:
    """Sign what ``client`` sends with the server's time, once that has refused ours."""
    client.meta.events.register_first("needs-retry.s3", _learned)  # type: ignore[arg-type]  # a pause is an answer


def _learned(response: Any, **_: object) -> float | None:
    """The pause before the request is sent again: none, if it was refused and our clock may be why. HEAD says nothing but
    that it was refused, so the times are compared."""
    global _ahead
    if response is None or response[0].status_code != 403:
        return None
    try:
        theirs = parsedate_to_datetime(response[0].headers["Date"])
    except (KeyError, ValueError):
        return None
    ahead = theirs - get_current_datetime(remove_tzinfo=False)
    if abs(ahead - _ahead) < NEAR:
        return None
    _ahead = ahead
    log.warning("clock_is_wrong", seconds=round(ahead.total_seconds()), told_by="S3")
    return 0.0
