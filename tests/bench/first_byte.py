"""When the first byte of an answer comes, as a client of many connections sees it, at a rate that does not depend on the
server: whoever waits does not hold back the questions of others."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    asked_at_s: float = 0.0
    first_at_s: float = 0.0
    left_bytes: int = -1
    head: bytes = b""


def first_bytes_s(url: str, *, connections: int, per_s: float, seconds: float) -> list[float]:
    """The times to the first byte, in order. Questions are put at ``per_s`` to connections that are free, in turn; the time
    counts from when a question was due, so that a server that is late pays for it."""
    where = urlsplit(url)
    assert where.hostname is not None
    assert where.port is not None
    request = f"GET {where.path} HTTP/1.1\r\nHost: {where.hostname}\r\n\r\n".encode()
    chosen = selectors.DefaultSelector()
    free: deque[_Connection] = deque()
    for _ in range(connections):
        connected = socket.create_connection((where.hostname, where.port))
        connected.setblocking(False)
        connection = _Connection(connected)
        chosen.register(connected, selectors.EVENT_READ, connection)
        free.append(connection)
    times: list[float] = []
    began = time.perf_counter()
    asked = 0
    while (now := time.perf_counter()) < began + seconds or len(free) < connections:
        while free and now < began + seconds and began + asked / per_s <= now:
            connection = free.popleft()
            connection.asked_at_s, connection.first_at_s = began + asked / per_s, 0.0
            connection.left_bytes, connection.head = -1, b""
            connection.socket.send(request)
            asked += 1
        for key, _ in chosen.select(0.0005):
            connection = key.data
            if _read(connection):
                times.append(connection.first_at_s - connection.asked_at_s)
                free.append(connection)
    for connection in free:
        connection.socket.close()
    chosen.close()
    return sorted(times)


def _read(connection: _Connection) -> bool:
    """Whether the answer is there to its end."""
    piece = connection.socket.recv(262_144)
    assert piece, "the server ended a connection"
    if not connection.first_at_s:
        connection.first_at_s = time.perf_counter()
    if connection.left_bytes < 0:
        connection.head += piece
        head, found, body = connection.head.partition(b"\r\n\r\n")
        if not found:
            return False
        assert b" 200 " in head.split(b"\r\n", 1)[0], head
        (length,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        connection.left_bytes = int(length.partition(b":")[2]) - len(body)
    else:
        connection.left_bytes -= len(piece)
    return connection.left_bytes == 0
