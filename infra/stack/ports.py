"""Ports: which are free, and which to take."""

from __future__ import annotations

import errno
import random
import socket

_UNCOMMON = range(20_000, 32_000)
"""Below the range that Linux hands out to outgoing connections (32768 on), so that none of those takes a port of ours
between two starts."""


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on ``port`` of ``host`` now. Raises `OSError` if ``host`` is no address of ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that only waits out its TIME_WAIT is free
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_port(host: str, *, avoid: frozenset[int] = frozenset()) -> int:
    """A free port on ``host`` that is not in ``avoid``."""
    for port in random.SystemRandom().sample(_UNCOMMON, 200):
        if port not in avoid and is_free(host, port):
            return port
    raise OSError(errno.EADDRNOTAVAIL, f"no free port on {host}")
