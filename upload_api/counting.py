"""Counts requests by route template: a URL in a label would let callers make as many time series as they like."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from upload_api.metrics import Metrics

UNROUTED = "other"


class CountRequests:
    """ASGI middleware. Passes everything on untouched, `receive` above all."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0  # the client left before there was an answer

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, counted)
        finally:
            route = getattr(scope.get("route"), "path", None) or _template(scope)
            self._metrics.requests.labels(route, scope["method"], str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - started)


def _template(scope: Scope) -> str:
    """The path with its parameters put back into braces; `UNROUTED` where no route matched."""
    if "endpoint" not in scope:
        return UNROUTED
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        path = path.replace(str(value), f"{{{name}}}")
    return path
