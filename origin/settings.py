"""Settings of the origin. Read from the environment elsewhere; here they are only values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSettings:
    """Per process: an origin of several processes takes the memory and the threads several times."""

    # Hot objects kept in memory, in bytes. 0 keeps none. Requests for one object that is absent still share one read.
    cache_bytes: int = 256 * 1024 * 1024
    # Value of Access-Control-Allow-Origin. ``*`` fits public videos: players on any site may read them.
    cors_origin: str = "*"
    # How long a public name's object is remembered, in seconds: also how long a deleted video may still answer.
    lookup_ttl_s: float = 1.0
    # How long what was remembered is still good while the catalogue does not answer, in seconds.
    lookup_grace_s: float = 60.0
    # Public names remembered at once, absent ones included.
    lookup_entries: int = 20_000
    # Reads from the object store at once.
    store_threads: int = 32
    # Questions to the catalogue at once.
    catalogue_threads: int = 8
    # How long a readiness probe waits for the store and the catalogue, in seconds.
    ready_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if self.cache_bytes < 0 or self.lookup_entries < 1 or self.store_threads < 1 or self.catalogue_threads < 1:
            raise ValueError("sizes of the origin are positive, and its cache not negative")
