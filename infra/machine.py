"""What this machine offers."""

from __future__ import annotations

import os
import socket

from workers.room import memory_limit

MEMORY_PER_SLOT = 3 * 1024**3
"""What a job takes at most while it works on a chunk of 4K, all rungs at once, with what the rest of a worker needs."""

UNSEEN = 512 * 1024**2
"""Machines have a little less to give away than they are sold with."""


def cpu_count() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory of this machine, or of this container if that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, memory_limit() or machine)


def slots_for(cpus: int, memory_bytes: int) -> int:
    """How many jobs a machine works on at once: by its CPUs, two for each, and by its memory. Pure."""
    return max(1, min(cpus // 2, (memory_bytes + UNSEEN) // MEMORY_PER_SLOT))


def own_address() -> str:
    """This machine's address in its network. Connecting a datagram socket sends nothing: it only picks the route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
