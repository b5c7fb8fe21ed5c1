"""What the upload API is told from outside. The entry point fills it in; nothing else reads the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from storage.grants import Downloads, KeyRing, Visibility

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadApiSettings:
    """Every field has a default that suits one machine."""

    public_url: str | None = None
    """Where people reach this service (``https://video.example``). None: what the request says."""
    origin_url: str | None = None
    """Where players reach the origin. None: the public host with ``origin_port``."""
    origin_port: int = 8081
    """Port of the origin where ``origin_url`` is not set."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (``10.0.0.0/8``) whose Forwarded and X-Forwarded-* fields are believed."""
    cors_origins: tuple[str, ...] | None = None
    """Web origins whose scripts may upload and read; no cookies are involved. None: any where a key is needed, none where
    everybody may do everything."""

    needs_key: bool = False
    """Whether callers have to show a key. Without: everybody may do everything."""
    signing_keys: KeyRing | None = None
    """Sign sessions and upload grants. None: one of our own making, which no other process and no restart knows."""
    session_lifetime_s: float = 12 * 3600.0
    """How long a browser stays signed in."""
    rate_limits: tuple[str, ...] = ()
    """Requests per second of this process, as ``address=…``, ``key=…``, ``tenant=…``; what is not named is not limited."""

    max_upload_bytes: int | None = 1024 * 1024 * MIB
    """Largest file accepted, announced as Tus-Max-Size. None: no limit but the store's."""
    upload_lifetime_ms: int = 7 * 24 * 3600 * 1000
    """An unfinished upload expires this long after its last byte."""
    base_part_bytes: int = 8 * MIB
    """Smallest S3 part we send (but the last of a file)."""
    parts_in_flight: int = 3
    """S3 parts of one upload on their way to the store at once."""
    upload_memory_bytes: int = 64 * MIB
    """Memory for the parts of one upload: large parts (of huge files) fly fewer at once."""
    part_threads: int = 16
    """S3 parts of all uploads on their way at once."""
    idle_timeout_s: float = 60.0
    """A sender silent for this long is let go; its bytes are kept."""

    lease_ttl_s: float = 6.0
    """How long a dead writer keeps others from an upload."""
    lease_beat_s: float = 1.0
    """How often a writer renews its lease and looks whether somebody waits."""
    lease_wait_s: float = 8.0
    """How long a newcomer waits for the writer to let go, before 423. Longer than ``lease_ttl_s``, so that an upload
    whose server was killed is resumed by the client's first try."""
    janitor_interval_s: float = 60.0
    """How often expired and half-completed uploads are looked for. 0: never (somebody else does)."""

    max_form_bytes: int = 1024 * MIB
    """Largest file accepted in a form, which cannot be resumed."""
    import_networks: tuple[str, ...] = ()
    """Networks that imports may reach though they are not public."""
    imports_at_once: int = 4
    """Imports of one process at the same time; further ones wait."""
    import_poll_s: float = 2.0
    """How often imports that wait, or that a dead process left, are looked for. 0: never."""
    import_retry_s: float = 1.0
    """Before an import is tried again; each further time takes twice as long."""
    import_max_age_ms: int = 24 * 3600 * 1000
    """An import that takes longer is given up."""
    import_least_bytes: int = 512 * 1024
    """What an address has to send in every ``import_window_s`` that we wait for it; it is let go else, and asked again."""
    import_window_s: float = 60.0

    events_poll_s: float = 0.15
    """How often the catalogue is asked for new events while somebody listens."""
    events_heartbeat_s: float = 15.0
    """A comment is sent down a silent event stream this often, so that proxies keep it open."""

    playback_keys: KeyRing = field(default_factory=lambda: KeyRing(keys={}))
    """Sign the addresses of signed videos for who may see them. Empty: there are no signed videos."""
    visibility: Visibility = Visibility.PUBLIC
    """Who may play a video that does not say so itself."""
    downloads: Downloads = Downloads.NEVER
    """Who may keep a video as a file, as the origin has it."""

    can_encrypt: bool = False
    """Whether there are keys to seal content keys with: without them no video can be encrypted."""

    web_libraries: Path | None = None
    """An npm ``node_modules`` with hls.js and tus-js-client. None: the web page says that they are missing."""
    shutdown_grace_s: float = 20.0
    """How long a drain may take before requests are cut off."""

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        if self.cors_origins is None:
            return ("*",) if self.needs_key else ()
        return tuple(origin.lower().rstrip("/") for origin in self.cors_origins)
