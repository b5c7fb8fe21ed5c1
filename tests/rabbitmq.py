"""A RabbitMQ of Debian's for tests, as a context manager: its data below a folder, on loopback, on free ports.

Its own start script is run, not the wrapper in PATH, which wants to be root. So is a port mapper of Erlang's that ends with
the test: the one that Erlang starts by itself would stay.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import kombu
import pytest

from tests.services import free_ports

SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PATIENCE_S = 180
HOST = "ladder@localhost"


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """At once, all of it: as a machine that fails."""
        _signal_group(self.process, signal.SIGKILL)
        self.process.wait()


@contextmanager
def rabbitmq(folder: Path, *, url: str | None = None) -> Iterator[RabbitMQ]:
    """``url``: what an earlier one at the same folder had, to start it again."""
    if not SCRIPT.exists() or shutil.which("epmd") is None:
        pytest.skip("needs rabbitmq-server of Debian")
    for name in ("home", "mnesia", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if url is None:
        url = f"amqp://ladder:{secrets.token_hex(16)}@127.0.0.1:{free_ports(1)[0]}//"
    environment = _environment(folder, url)
    with (folder / "output.log").open("ab") as output:
        mapper = subprocess.Popen(
            ["epmd", "-port", environment["ERL_EPMD_PORT"], "-address", "127.0.0.1"], env=environment
        )
        # A group of its own: the script starts Erlang as its child.
        process = subprocess.Popen(
            [SCRIPT], env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait_until_answering(url, process, folder / "output.log")
            yield RabbitMQ(url, process)
        finally:
            _signal_group(process, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
                process.wait()
            mapper.terminate()
            mapper.wait()


def _environment(folder: Path, url: str) -> dict[str, str]:
    where = urllib.parse.urlsplit(url)
    distribution_port, mapper_port = free_ports(2)
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{where.port}\n"
        f"default_user = {where.username}\ndefault_pass = {where.password}\n"
        "log.file = false\nlog.console = true\n"
        "disk_free_limit.absolute = 10MB\n"
    )
    (folder / "enabled_plugins").write_text("[].\n")
    return {
        **os.environ,
        "HOME": str(folder / "home"),
        "RABBITMQ_NODENAME": HOST,
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP": "/dev/null",
    }


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _wait_until_answering(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended with {process.returncode}: {output.read_text()[-2000:]}")
        try:
            with kombu.Connection(url, connect_timeout=5) as connection:
                connection.connect()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"RabbitMQ did not answer in time: {output.read_text()[-2000:]}")
