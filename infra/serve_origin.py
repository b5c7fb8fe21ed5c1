"""The origin as a process: raw ASGI on granian, in as many processes as are set.

Importing this module reads nothing; granian calls `create` in each of its worker processes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from granian.server.common import AbstractServer

from infra.composition import open_blobs, open_catalogue, sealing_ring
from infra.edge.purging import EdgePurger
from infra.origin_server import origin_server
from infra.settings import Settings, to_env
from infra.telemetry import configure_logging
from origin.app import create_app
from origin.ports import OriginPorts
from origin.settings import OriginSettings
from storage.grants import KeyRing

Application = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]

_SHARED_FOLDER = "_FISHLADDER_ORIGIN_SHARED"  # not a setting: the parent process tells its workers


def create() -> Application:
    """The application of one process."""
    settings = Settings.from_env(os.environ)
    configure_logging(settings.log_level, settings.log_format, service="origin")
    catalogue = open_catalogue(settings)
    return create_app(
        origin_settings(settings, metrics_folder=_shared_folder()),
        OriginPorts(
            catalogue=catalogue,
            blobs=open_blobs(settings),
            plays=catalogue,
            keys=catalogue,
            downloads=catalogue,
            close=catalogue.close,
        ),
    )


def origin_settings(settings: Settings, *, metrics_folder: Path | None = None) -> OriginSettings:
    """What the origin takes from the settings of all services."""
    return OriginSettings(
        cache_bytes=settings.origin_cache_bytes,
        disk_cache=settings.origin_disk_cache,
        disk_cache_bytes=settings.origin_disk_cache_bytes,
        metrics_folder=metrics_folder,
        default_visibility=settings.visibility,
        playback_keys=KeyRing.parse(settings.playback_keys),
        downloads=settings.downloads,
        edge_secret=settings.edge_secret,
        sealing_ring=sealing_ring(settings),
        public_url=settings.origin_url,
        plays_days=settings.plays_kept_days,
        trusted_proxies=settings.trusted_proxies,
        edges=tuple((name, url) for name, _, url in (edge.partition("=") for edge in settings.edges)),
    )


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; what is being answered then is answered. SIGHUP replaces the processes one by one
    by new ones, and drops no answer either."""
    os.environ.update(to_env(settings))  # the worker processes read it
    configure_logging(settings.log_level, settings.log_format, service="origin")
    with tempfile.TemporaryDirectory(prefix="fishladder-origin-") as shared:
        os.environ[_SHARED_FOLDER] = shared
        catalogue = open_catalogue(settings)
        purger = EdgePurger(catalogue, settings.edge_purges)
        purger.start()
        try:
            server(settings, "infra.serve_origin:create").serve()
        finally:
            purger.stop()
            catalogue.close()


def server(settings: Settings, target: str, **more: Any) -> AbstractServer[Any]:
    """The server of an application of ours, with all that is set for it. ``more``: as `origin_server` takes it."""
    return origin_server(target, host=settings.host, port=settings.origin_port, workers=settings.origin_workers, **more)


def _shared_folder() -> Path | None:
    folder = os.environ.get(_SHARED_FOLDER)
    return Path(folder) if folder else None
