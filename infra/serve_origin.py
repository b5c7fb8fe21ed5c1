"""The origin as a process: raw ASGI on granian, in as many processes as are set.

Importing this module reads nothing; granian calls `create` in each of its worker processes.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from infra.composition import open_blobs, open_catalogue
from infra.settings import Settings, to_env
from infra.telemetry import configure_logging
from origin.app import create_app
from origin.ports import OriginPorts
from origin.settings import OriginSettings

Application = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]

_DRAIN_S = 10

# granian would write lines of its own form: its loggers are to pass theirs on to ours.
_ROUTED_IN: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")},
}


def create() -> Application:
    """The application of one process."""
    settings = Settings.from_env(os.environ)
    configure_logging(settings.log_level, settings.log_format, service="origin")
    catalogue = open_catalogue(settings)
    return create_app(
        OriginSettings(cache_bytes=settings.origin_cache_bytes),
        OriginPorts(catalogue=catalogue, blobs=open_blobs(settings), close=catalogue.close),
    )


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; what is being answered then is answered."""
    os.environ.update(to_env(settings))  # the worker processes read it
    configure_logging(settings.log_level, settings.log_format, service="origin")
    Granian(
        "infra.serve_origin:create",
        factory=True,
        address=settings.host,
        port=settings.origin_port,
        interface=Interfaces.ASGI,
        workers=settings.origin_workers,
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=_ROUTED_IN,
        respawn_failed_workers=True,
        workers_kill_timeout=_DRAIN_S,
    ).serve()
