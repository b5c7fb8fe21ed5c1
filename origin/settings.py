"""Settings of the origin. Read from the environment elsewhere; here they are only values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from storage.content_keys import SealingRing
from storage.grants import Downloads, KeyRing, Visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSettings:
    """Per process, where not said otherwise: an origin of several processes takes the memory and the threads several
    times."""

    # Hot objects kept in memory, in bytes. 0 keeps none. Requests for one object that is absent still share one read.
    cache_bytes: int = 256 * 1024 * 1024
    # Folder of the second tier, and how many bytes it may hold; shared by all processes. None: there is no such tier.
    disk_cache: Path | None = None
    disk_cache_bytes: int = 8 * 1024**3
    # Folder where the processes of one origin count together; None: this one counts for itself.
    metrics_folder: Path | None = None
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
    # Objects that may come, or wait to come, from the store at once; more requests than that are asked to return later.
    store_queue: int = 256
    # Requests answered at once; more are asked to return later.
    concurrency: int = 4096
    # Questions to the catalogue at once.
    catalogue_threads: int = 8
    # How long a readiness probe waits for the store and the catalogue, in seconds.
    ready_timeout_s: float = 5.0
    # How long a client may take for the next quarter of a megabyte of a body that is sent in pieces, in seconds.
    client_timeout_s: float = 30.0
    # Longest path with its query, and all headers together, in bytes.
    url_bytes: int = 8192
    header_bytes: int = 16384
    # Who may play a video that does not say so itself, and the keys that playback tokens are signed with.
    default_visibility: Visibility = Visibility.PUBLIC
    playback_keys: KeyRing = field(default_factory=lambda: KeyRing(keys={}))
    # Opens content keys. Without it what is encrypted cannot be played from here.
    sealing_ring: SealingRing = field(default_factory=SealingRing)
    # How players reach this origin, for licence requests of DASH players. Empty: they have to be told.
    public_url: str = ""
    # Who may keep a video as a file, and how many files are sent at once.
    downloads: Downloads = Downloads.SIGNED
    downloads_at_once: int = 64
    # What edges that check tokens themselves send as ``Fishladder-Edge``; empty: there are none.
    edge_secret: str = ""
    # Addresses and networks of proxies whose X-Forwarded-For is believed.
    trusted_proxies: tuple[str, ...] = ()
    # Base URLs of edges by pathway name, best first, for content steering; none: no steering.
    edges: tuple[tuple[str, str], ...] = ()
    # Reports of players that may wait to be written, and how often they are, in seconds.
    report_queue: int = 10_000
    report_interval_s: float = 5.0
    # Sessions of one video that one address may begin in an hour; what others say from there is not counted.
    sessions_per_address: int = 300
    # How long single plays are kept, in days.
    plays_days: int = 90

    def __post_init__(self) -> None:
        if self.cache_bytes < 0 or self.lookup_entries < 1 or self.store_threads < 1 or self.catalogue_threads < 1:
            raise ValueError("sizes of the origin are positive, and its cache not negative")
        if self.default_visibility is Visibility.SIGNED and not self.playback_keys.keys:
            raise ValueError("signed playback needs a key to sign with")
