"""Settings: environment variables ``FISHLADDER_*`` as one frozen value. Nothing else of ours reads the environment.

Every setting says its meaning, unit and default where it is declared; ``fishladder settings`` and the reference page in
``docs/`` are made from that. An unknown ``FISHLADDER_*`` is an error: a misspelt limit must not silently be no limit.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra.setting_texts import PREFIX, masked, parse, render, type_name, unknown, variable
from storage.errors import InvalidRequest
from storage.grants import Downloads, KeyRing, Visibility
from storage.jobs import LANES_BY_URGENCY, Lane
from storage.media.encoders import Family
from storage.media.encryption import Encryption
from upload_api.imports.guard import parse_networks


class StoreKind(StrEnum):
    S3 = "s3"
    LOCAL = "local"


class Checksums(StrEnum):
    """What travels with bytes to the S3 service for it to check."""

    CRC32 = "crc32"
    NONE = "none"


class Access(StrEnum):
    """Who may use the upload API."""

    KEYS = "keys"  # who shows an API key
    OPEN = "open"  # everybody who reaches it


class Switch(StrEnum):
    OFF = "off"
    ON = "on"


class LogFormat(StrEnum):
    AUTO = "auto"  # pretty on a terminal, JSON elsewhere
    JSON = "json"
    PRETTY = "pretty"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _setting(
    doc: str,
    default: object = dataclasses.MISSING,
    *,
    derive: Callable[[dict[str, Any]], object] | None = None,
    derived: str = "",
    secret: bool = False,
) -> Any:
    """A setting with its one line of documentation. ``derive`` computes the default from the settings declared above it;
    ``derived`` says how, for people."""
    metadata = {"doc": doc, "derive": derive, "derived": derived, "secret": secret}
    if derive is not None:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def _local_url(port: str) -> Callable[[dict[str, Any]], str]:
    return lambda known: f"http://127.0.0.1:{known[port]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is set, for all services. Build it with `from_env`, vary it with `dataclasses.replace`."""

    # Where things are kept
    state_dir: Path = _setting("Folder for everything that `fishladder up` keeps", Path(".fladder"))
    database_url: str = _setting(
        "The catalogue: sqlite:///file or postgresql+psycopg://user:password@host/name",
        derive=lambda known: f"sqlite:///{Path(known['state_dir']).absolute() / 'catalogue.sqlite3'}",
        derived="sqlite:///{state_dir}/catalogue.sqlite3",
        secret=True,
    )
    broker_url: str = _setting(
        "The Celery broker (redis://, rediss:// or amqp://); empty: workers look into the database", "", secret=True
    )
    store: StoreKind = _setting("Where objects are kept: s3, or local for a folder", StoreKind.LOCAL)
    local_store_dir: Path = _setting(
        "The folder of the local store",
        derive=lambda known: Path(known["state_dir"]).absolute() / "objects",
        derived="{state_dir}/objects",
    )
    s3_endpoint: str | None = _setting("URL of the S3 service; unset: AWS", None)
    s3_region: str = _setting("Region of the S3 service", "us-east-1")
    s3_bucket: str = _setting("Bucket that holds all objects", "fishladder")
    s3_checksums: Checksums = _setting(
        "What the S3 service checks arriving bytes by: crc32, or none for a service that refuses it", Checksums.CRC32
    )
    s3_access_key: str | None = _setting("S3 access key; unset: boto3's own credential chain", None, secret=True)
    s3_secret_key: str | None = _setting("S3 secret key", None, secret=True)

    # Where we answer
    host: str = _setting("Address that the services bind to", "127.0.0.1")
    upload_api_port: int = _setting("Port of the upload API and the web app", 8080)
    origin_port: int = _setting("Port of the origin", 8081)
    public_url: str = _setting(
        "How people reach the upload API, for absolute URLs",
        derive=_local_url("upload_api_port"),
        derived="http://127.0.0.1:{upload_api_port}",
    )
    origin_url: str = _setting(
        "How players reach the origin or the CDN before it, for absolute URLs",
        derive=_local_url("origin_port"),
        derived="http://127.0.0.1:{origin_port}",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        "Addresses or networks whose X-Forwarded-* headers are believed, separated by commas", ()
    )
    origin_workers: int = _setting("Processes of the origin", 1)
    origin_cache_bytes: int = _setting("Memory for hot objects, for each process of the origin", 256 * 1024 * 1024)
    origin_disk_cache: Path | None = _setting("Folder of the origin's second cache tier; unset: memory only", None)
    origin_disk_cache_bytes: int = _setting("Disk for the origin's second cache tier, all processes", 8 * 1024**3)
    visibility: Visibility = _setting(
        "Who may play a video that does not say so itself: public, unlisted or signed", Visibility.PUBLIC
    )
    playback_keys: tuple[str, ...] = _setting(
        "Keys of playback tokens as id:hexadecimal; the first signs, all are believed", (), secret=True
    )
    downloads: Downloads = _setting(
        "Who may keep a video as a file: never, signed (who has a link that opens downloads), or open (who may play it)",
        Downloads.SIGNED,
    )
    edge_secret: str = _setting(
        "What edges that check tokens themselves send as Fishladder-Edge; empty: there are none", "", secret=True
    )
    edges: tuple[str, ...] = _setting("Edges for content steering as name=URL, best first; empty: no steering", ())
    edge_purges: tuple[str, ...] = _setting("URLs of caches that purge by tag (Varnish); empty: none", ())
    plays_kept_days: int = _setting("How long single plays are kept; view counts stay", 90)
    encryption: Encryption = _setting(
        "How videos are encrypted that do not say so themselves: none, cbcs or aes128", Encryption.NONE
    )
    sealing_keys: tuple[str, ...] = _setting(
        "Keys that content keys are sealed with in the catalogue, as id:hexadecimal of 64 digits; the first seals, all open",
        (),
        secret=True,
    )
    key_period_s: int = _setting("How long a content key is used, in seconds of film; 0: one key for all of it", 0)
    key_service_url: str = _setting(
        "Where content keys of cbcs come from: URL of a DRM's key service; empty: they are random", "", secret=True
    )
    key_service_token: str = _setting("What the key service is shown as Authorization: Bearer", "", secret=True)
    web_libraries: Path = _setting("Folder of the browser libraries (node_modules)", Path("node_modules"))
    access: Access = _setting(
        "Who may use the upload API: keys (who shows one), or open: everybody who reaches it, as with `fishladder up`",
        Access.KEYS,
    )
    signing_keys: tuple[str, ...] = _setting(
        "Keys that sign sessions and upload grants, as id:hexadecimal; the first signs, all are believed",
        (),
        secret=True,
    )
    rate_limits: tuple[str, ...] = _setting(
        "Requests per second per address, key and tenant, where keys are needed, counted by each process of the upload "
        "API for itself: N processes let N times as many through",
        ("address=500", "key=200", "tenant=500"),
    )
    cors_origins: tuple[str, ...] = _setting(
        "Web origins whose pages may upload, separated by commas; *: any. With open access these pages may do everything, "
        "and we answer to their host names too",
        derive=lambda known: () if known["access"] is Access.OPEN else ("*",),
        derived="* where keys are needed; with open access none but our own",
    )
    tenant_max_bytes: int | None = _setting("Bytes of uploaded files that a tenant may have; unset: any number", None)
    tenant_max_uploads: int | None = _setting(
        "Unfinished uploads that a tenant may have at once; unset: any number", None
    )
    tenant_max_minutes: int | None = _setting("Minutes of film that a tenant may have; unset: any number", None)
    max_upload_bytes: int = _setting("Largest upload that is accepted", 1024**4)
    deduplicate: Switch = _setting(
        "Whether a file that its tenant uploaded before shares what was made of it then: on or off", Switch.ON
    )
    import_networks: tuple[str, ...] = _setting(
        "Networks that videos may be imported from though they are not public, separated by commas", ()
    )

    # Work
    lanes: tuple[Lane, ...] = _setting("Lanes that a worker serves, separated by commas", LANES_BY_URGENCY)
    workers: int = _setting("Jobs that a machine works on at once; 0: half of its CPUs, at least one", 0)
    lease_ms: int = _setting("How long a claimed job is a worker's before it must be renewed, in milliseconds", 30_000)
    drain_ms: int = _setting("How long a stopping worker may finish its job before it hands it back, in ms", 10_000)
    scratch_dir: Path | None = _setting("Folder for work files; unset: the system's temporary folder", None)
    threads: int = _setting("Threads of one tool; 0: the CPUs shared out among the jobs at once", 0)
    min_free_disk_bytes: int = _setting("A worker with less free disk claims nothing until there is more", 1024**3)
    min_free_memory_bytes: int = _setting(
        "A worker with less free memory claims nothing until there is more", 512 * 1024**2
    )
    lane_shares: tuple[str, ...] = _setting(
        "Of all work, what a lane gets at least while it has any: lane=percent, separated by commas",
        ("interactive=15", "standard=15", "bulk=5"),
    )
    tenant_weights: tuple[str, ...] = _setting(
        "Tenants that get more or less than others: tenant=weight (default 1), separated by commas", ()
    )
    tenant_max_running: int = _setting("Jobs of one tenant at once; 0: any number", 0)
    audit_hours: int | None = _setting(
        "Hours between audits of the database against the store; unset: only by `fishladder audit`", None
    )
    keep_source_days: int | None = _setting("Days that the source of a finished video is kept; unset: for good", None)
    keep_failed_days: int | None = _setting(
        "Days that a failed or rejected video is kept before it is deleted; unset: for good", None
    )
    worker_port: int | None = _setting(
        "Port where a worker answers /healthz, /readyz and /metrics; unset: nowhere", None
    )
    ready_file: Path | None = _setting("A worker writes its process id here once it claims jobs", None)
    gpu: Family | None = _setting(
        "Graphics hardware that makes the larger rungs: nvenc, vaapi or qsv; unset: the CPU makes all. Workers that have it"
        " are told so by FISHLADDER_GPU_WORKER or `fishladder work --gpu`",
        None,
    )
    gpu_worker: Switch = _setting(
        "on: this worker tries its graphics hardware when it starts, and takes the jobs that need what works",
        Switch.OFF,
    )
    ffmpeg: Path | None = _setting("The ffmpeg to run; unset: the one of the imageio-ffmpeg wheel, then PATH", None)

    # Telling
    log_level: LogLevel = _setting(
        "Least urgent log line that is written: debug, info, warning or error", LogLevel.INFO
    )
    log_format: LogFormat = _setting("json, pretty, or auto: pretty on a terminal, JSON elsewhere", LogFormat.AUTO)

    def __post_init__(self) -> None:
        for name in ("upload_api_port", "origin_port"):
            if not 0 < getattr(self, name) < 65536:
                raise InvalidRequest(f"{variable(name)} must be a port between 1 and 65535.")
        for name in ("lease_ms", "max_upload_bytes", "origin_workers"):
            if getattr(self, name) < 1:
                raise InvalidRequest(f"{variable(name)} must be at least 1.")
        for name in ("min_free_disk_bytes", "min_free_memory_bytes", "tenant_max_running"):
            if getattr(self, name) < 0:
                raise InvalidRequest(f"{variable(name)} must not be negative.")
        if self.audit_hours is not None and self.audit_hours < 1:
            raise InvalidRequest(f"{variable('audit_hours')} must be at least 1.")
        for name in ("workers", "threads", "drain_ms", "origin_cache_bytes"):
            if getattr(self, name) < 0:
                raise InvalidRequest(f"{variable(name)} must not be negative.")
        self._check_keys()
        self._check_encryption()
        if not all("=http" in edge for edge in self.edges):
            raise InvalidRequest(f"{variable('edges')} must be name=URL pairs.")
        try:
            parse_networks(self.import_networks)
        except ValueError as error:
            raise InvalidRequest(f"{variable('import_networks')} must be networks like 10.1.0.0/16.") from error
        if not self.lanes:
            raise InvalidRequest(f"{variable('lanes')} names no lane; the lanes are {', '.join(LANES_BY_URGENCY)}.")

    def _check_keys(self) -> None:
        for name in ("playback_keys", "signing_keys"):
            try:
                KeyRing.parse(getattr(self, name))
            except ValueError as error:
                raise InvalidRequest(
                    f"{variable(name)} must be id:hexadecimal pairs, each of at least 32 digits."
                ) from error
        if self.visibility is Visibility.SIGNED and not self.playback_keys:
            raise InvalidRequest(f"Signed playback needs {variable('playback_keys')}.")

    def _check_encryption(self) -> None:
        if self.sealing_keys:
            from storage.content_keys import SealingRing  # what it is made of takes a moment to load

            try:
                SealingRing.parse(self.sealing_keys)
            except ValueError as error:
                raise InvalidRequest(
                    f"{variable('sealing_keys')} must be id:hexadecimal pairs, each of 64 digits."
                ) from error
        if self.key_period_s < 0:
            raise InvalidRequest(f"{variable('key_period_s')} must not be negative.")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """The settings that ``env`` holds. Raises `InvalidRequest` with a sentence for what it cannot take."""
        return Configured.from_env(env).settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """Settings together with where each came from."""

    settings: Settings
    given: frozenset[str]
    """Names of the settings that the environment sets."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Configured:
        given = {key: value for key, value in env.items() if key.startswith(PREFIX)}
        known = {variable(f.name): f for f in dataclasses.fields(Settings)}
        for key in given:
            if key not in known:
                raise InvalidRequest(unknown(key, tuple(known)), variable=key)
        hints = typing.get_type_hints(Settings)
        values: dict[str, Any] = {}
        for key, setting in known.items():
            if key in given:
                values[setting.name] = parse(key, hints[setting.name], given[key])
            elif (derive := setting.metadata["derive"]) is not None:
                values[setting.name] = derive(values)
            else:
                values[setting.name] = setting.default
        return cls(settings=Settings(**values), given=frozenset(known[key].name for key in given))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One setting as people see it. ``default`` and ``value`` never hold a secret."""

    name: str
    variable: str
    type: str
    default: str
    doc: str
    value: str
    origin: str  # ``environment`` | ``default``


def show(configured: Configured) -> tuple[Shown, ...]:
    """All settings in the order of their declaration, secrets masked."""
    hints = typing.get_type_hints(Settings)
    return tuple(
        Shown(
            name=setting.name,
            variable=variable(setting.name),
            type=type_name(hints[setting.name]),
            default=setting.metadata["derived"] or render(setting.default),
            doc=setting.metadata["doc"],
            value=masked(render(getattr(configured.settings, setting.name)), secret=setting.metadata["secret"]),
            origin="environment" if setting.name in configured.given else "default",
        )
        for setting in dataclasses.fields(Settings)
    )


def to_env(settings: Settings) -> dict[str, str]:
    """``settings`` as the environment of a child process: `from_env` reads the same value from it."""
    return {
        variable(setting.name): render(value)
        for setting in dataclasses.fields(settings)
        if (value := getattr(settings, setting.name)) is not None
    }
