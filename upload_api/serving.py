"""Running the app on uvicorn, with the facts of that server that uploads depend on.

- httptools parses about twice as fast as h11; how bodies come from it, or past it, is `http1`.
- ``Expect: 100-continue`` is answered at the first `receive`: a request that fails its checks sends no body.
- Proxy fields are ours to judge (`urls`), so uvicorn's own handling of them is off.
- On a signal uvicorn waits for requests to end; an upload may last hours. `serve` therefore begins the app's drain
  first: writers stop, store what they have and answer, event streams end.
- Keep-alive is longer than the pause between two PATCH requests of a chunking client.
"""

from __future__ import annotations

import asyncio
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from upload_api.http1 import UploadProtocol
from upload_api.settings import UploadApiSettings


class DrainingServer(uvicorn.Server):
    """Tells the app before it waits for its requests."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.begin_drain()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.drain.begin()  # also when the exit came without a signal
        await super().shutdown(sockets)

    def begin_drain(self) -> None:
        """From a signal handler or any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._app.state.drain.begin)


def upload_server(
    app: FastAPI, settings: UploadApiSettings, *, host: str = "127.0.0.1", port: int = 8080, log_level: str = "warning"
) -> DrainingServer:
    """A server for ``app``; its ``run()`` blocks until SIGTERM or Ctrl-C and the drain after it."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=UploadProtocol,
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level=log_level,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_s)),
    )
    return DrainingServer(config, app)
