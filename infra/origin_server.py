"""granian as the origin runs it: listening sockets that outlive the processes that serve them, and processes that do not
outlive the one that started them.

granian's workers each bind a socket of their own to the port. When one is replaced, the connections that wait in its socket's
queue are reset with it. Here the parent binds them, one for each worker (the kernel spreads connections over them), and a
worker's successor gets the same one: what waited goes on waiting.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]  # it says nothing of what it exports
from granian.server.common import AbstractServer
from granian.server.mp import MPServer, WorkerProcess

_DRAIN_S = 10
_CONNECTIONS = 8192
_BACKLOG = 4096
_HEADER_TIMEOUT_MS = 30_000
_HTTP2_STREAMS = 128
_PR_SET_PDEATHSIG = 1
_ACCEPT_NO_MORE = signal.SIGUSR1
_SETTLE_S = 2.0
_STALLED_S = 40.0  # longer than the origin itself waits for clients that it sends in pieces to

# granian would write lines of its own form: its loggers are to pass theirs on to ours.
_ROUTED_IN: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")},
}


def origin_server(
    target: str, *, host: str, port: int, workers: int, stalled_s: float = _STALLED_S
) -> AbstractServer[Any]:
    """The server of the application that ``target`` (``module:function``) makes, in ``workers`` processes. ``stalled_s``:
    how long a client may take none of what was sent."""
    # Bodies pass through many threads; with an arena for each, memory that is free would be nobody's.
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    kind = _HoldingServer if sys.platform == "linux" else Granian
    server: AbstractServer[Any] = kind(
        target,
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=workers,
        backlog=_BACKLOG,
        # Connections that are served at once, for each process; more wait in the kernel's queue.
        backpressure=_CONNECTIONS,
        websockets=False,
        # Clients that take forever to say what they want are let go.
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_TIMEOUT_MS),
        http2_settings=HTTP2Settings(max_concurrent_streams=_HTTP2_STREAMS),
        log_level=LogLevels.warning,
        log_dictconfig=_ROUTED_IN,
        respawn_failed_workers=True,
        workers_kill_timeout=_DRAIN_S,
    )
    if isinstance(server, _HoldingServer):
        server.stalled_ms = round(stalled_s * 1000)
    return server


class _HoldingServer(MPServer):
    """Holds the listening sockets of its workers."""

    stalled_ms = 0

    def _init_shared_socket(self) -> None:
        self._listening = [
            _listen(self.bind_addr, self.bind_port, self.backlog, self.stalled_ms) for _ in range(self.workers)
        ]
        self._ssp = self._shd = self._sso = None

    def _drop_shared_socket(self) -> None:
        for listening in self._listening:
            listening.close()

    def _spawn_worker(self, idx: int, *args: Any, **kwargs: Any) -> WorkerProcess:
        self._sso = self._listening[idx]
        worker = super()._spawn_worker(idx, *args, **kwargs)
        worker.__class__ = _Worker  # granian names the class itself, and lets nobody choose
        return worker

    @staticmethod
    def _spawn_asgi_lifespan_worker(*arguments: Any) -> None:
        """In the new process. The fourth argument is what to listen on, as `_spawn_worker` of granian hands it over."""
        worker_id, name, loader, (_, listening), *rest = arguments
        _end_with_parent()
        signal.signal(_ACCEPT_NO_MORE, lambda *_: _stop_accepting(listening))
        holder = SocketHolder(listening.fileno(), False, _BACKLOG)  # type: ignore[call-arg]  # its stub knows none
        super(_HoldingServer, _HoldingServer)._spawn_asgi_lifespan_worker(
            worker_id, name, loader, ((None, holder), listening), *rest
        )


class _Worker(WorkerProcess):
    """A process that is replaced stops to accept a while before it ends: hyper closes a connection that nothing was read
    from yet when it is told to end, and its request may be on its way."""

    def terminate(self) -> None:
        if not self.parent.interrupt_signal and self.inner.is_alive():
            os.kill(self.inner.pid, _ACCEPT_NO_MORE)
            time.sleep(_SETTLE_S)
        self.interrupt_by_parent = True
        self.inner.terminate()


def _stop_accepting(listening: socket.socket) -> None:
    """Put a socket that nobody connects to in the place of ``listening``: the one who accepts finds nothing there, ever.
    The parent has the real one still, and the next process accepts from that."""
    deaf = socket.create_server(("127.0.0.1", 0))
    deaf.setblocking(False)
    ours = listening.fileno()
    for entry in Path("/proc/self/fd").iterdir():  # granian may have made a copy
        with suppress(OSError):
            if int(entry.name) != ours and os.path.sameopenfile(int(entry.name), ours):
                os.dup2(deaf.fileno(), int(entry.name))
    os.dup2(deaf.fileno(), ours)
    deaf.close()


def _listen(host: str, port: int, backlog: int, stalled_ms: int) -> socket.socket:
    ((family, kind, protocol, _, address), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Accepted sockets inherit it. What is small is handed to the server whole, and only the kernel knows whether it was
    # taken: it ends a connection whose client acknowledges nothing, or reads nothing, for so long.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled_ms)
    listening.bind(address)
    listening.listen(backlog)
    listening.setblocking(False)
    return listening


def _end_with_parent() -> None:
    """A worker whose parent was killed would serve on, unwatched, on sockets that nobody else can tell to stop."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until granian sets its own: what was inherited is the parent's
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it died before we said so
        os.kill(os.getpid(), signal.SIGTERM)
