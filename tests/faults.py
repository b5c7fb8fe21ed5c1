"""A TCP proxy that misbehaves on demand: what stands between two parts of ours can be slow, silent, cut or lying."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from enum import StrEnum
from types import TracebackType
from typing import Self

import sqlalchemy as sa


class Fault(StrEnum):
    NONE = "none"
    REFUSE = "refuse"  # connections are reset as they come
    CUT = "cut"  # the answer ends in the middle, with a reset
    SILENT = "silent"  # nothing passes either way, and nobody hangs up: what no kill produces
    DEAF = "deaf"  # requests arrive, answers are lost
    SLOW = "slow"  # a few kilobytes at a time
    ERROR_500 = "error_500"  # every request over HTTP is answered by an error, and does not arrive


CUT_AFTER_BYTES = 300
SLOW_BYTES, SLOW_PAUSE_S = 2048, 0.02
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FaultProxy:
    """Listens on a port of its own and passes everything on to ``target``; `fault` may be changed at any time, also under
    connections that are open."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        """``target``: host and port, or the path of a Unix socket."""
        self._target = target
        self.fault = Fault.NONE
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = False
        threading.Thread(target=self._accept, name="fault-proxy", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended = True
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Reset every connection that is open now."""
        with self._lock:
            open_now, self._open = self._open, set()
        for one in open_now:
            _reset(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.fault is Fault.REFUSE:
            _reset(client)
            return
        try:
            server = self._connect()
        except OSError:
            _reset(client)
            return
        with self._lock:
            self._open |= {client, server}
        threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
        self._pass(server, client, False)

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:
                server.close()
                raise
            return server
        return socket.create_connection(self._target, timeout=5)

    def _pass(self, source: socket.socket, sink: socket.socket, asking: bool) -> None:
        passed = 0
        cut = False
        try:
            source.settimeout(None)
            while data := source.recv(65536):
                while self.fault is Fault.SILENT and not self._ended:
                    time.sleep(0.02)
                match self.fault:
                    case Fault.ERROR_500 if asking:
                        source.sendall(_ERROR)
                        break
                    case Fault.DEAF if not asking:
                        continue
                    case Fault.CUT if not asking:
                        sink.sendall(data[: max(0, CUT_AFTER_BYTES - passed)])
                        cut = True
                        break
                    case Fault.SLOW:
                        for start in range(0, len(data), SLOW_BYTES):
                            sink.sendall(data[start : start + SLOW_BYTES])
                            time.sleep(SLOW_PAUSE_S)
                    case _:
                        sink.sendall(data)
                passed += len(data)
        except OSError:
            pass  # the other direction was closed
        finally:
            with self._lock:
                self._open -= {source, sink}
            for one in (source, sink):
                if cut:
                    _reset(one)
                else:
                    _close(one)


def _reset(one: socket.socket) -> None:
    """End a connection at once, with a reset."""
    with contextlib.suppress(OSError):  # closed already
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _close(one)


def _close(one: socket.socket) -> None:
    """End a connection, also under a thread that waits in it: while that thread waits, closing alone does nothing that
    the other side could notice."""
    with contextlib.suppress(OSError):  # closed already
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def unix_socket(database_url: str) -> str:
    """The path of the socket that a PostgreSQL of ours listens on."""
    url = sa.make_url(database_url)
    folder = url.query["host"]
    assert isinstance(folder, str)
    return f"{folder}/.s.PGSQL.{url.port or 5432}"


def through(database_url: str, proxy: FaultProxy) -> str:
    """``database_url`` as a client sees it from behind ``proxy``."""
    theirs = sa.make_url(database_url).set(host="127.0.0.1", port=proxy.port, query={})
    return theirs.render_as_string(hide_password=False)
