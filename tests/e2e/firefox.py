"""Debian's Firefox ESR, driven over Marionette: the protocol that it speaks by itself, length-prefixed JSON over TCP."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.stack import free_port
from tests.services import stop

PREFERENCES = {
    "media.autoplay.default": 0,
    "media.volume_scale": "0.0",
    "app.update.auto": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "media.gmp-manager.updateEnabled": False,
}


class Firefox:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""
        self._asked = 0
        self._read()  # its greeting
        self._ask("WebDriver:NewSession", {})

    def open(self, url: str) -> None:
        self._ask("WebDriver:Navigate", {"url": url})

    def run(self, script: str) -> Any:
        """What the function body ``script`` returns in the page."""
        return self._ask("WebDriver:ExecuteScript", {"script": script, "args": [], "sandbox": None})["value"]

    def picture_at_rest(self) -> bytes:
        """What is to be seen once nothing is sliding or fading any more, as PNG."""
        self.until("return document.getAnimations().every((each) => each.playState !== 'running');")
        return base64.b64decode(self._ask("WebDriver:TakeScreenshot", {"full": False})["value"])

    def until(self, script: str, timeout_s: float = 90) -> Any:
        """The first true value of ``script``."""
        deadline = time.monotonic() + timeout_s
        while not (found := self.run(script)):
            assert time.monotonic() < deadline, script
            time.sleep(0.1)
        return found

    def _ask(self, command: str, parameters: dict[str, Any]) -> Any:
        self._asked += 1
        message = json.dumps([0, self._asked, command, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def _read(self) -> Any:
        while b":" not in self._received:
            self._receive()
        length, _, self._received = self._received.partition(b":")
        while len(self._received) < int(length):
            self._receive()
        message, self._received = self._received[: int(length)], self._received[int(length) :]
        return json.loads(message)

    def _receive(self) -> None:
        data = self._connection.recv(1 << 16)
        assert data, "Firefox has gone"
        self._received += data


def find_firefox() -> str | None:
    return shutil.which("firefox-esr") or shutil.which("firefox")


@contextmanager
def running_firefox(program: str, profile: Path) -> Iterator[Firefox]:
    port = free_port()
    profile.mkdir(parents=True, exist_ok=True)
    lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join([*lines, f'user_pref("marionette.port", {port});']))
    argv = [program, "--headless", "--no-remote", "--marionette", "--profile", str(profile)]
    # A home of its own: as root in CI it minds whose the usual one is.
    process = subprocess.Popen(
        argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(profile), "MOZ_HEADLESS": "1", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )
    try:
        with _connected(port, process) as connection:
            yield Firefox(connection)
    finally:
        stop(process, patience_s=20)


def _connected(port: int, process: subprocess.Popen[bytes], timeout_s: float = 90) -> socket.socket:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=120)
        except OSError:
            assert process.poll() is None, f"Firefox ended with {process.returncode}"
            assert time.monotonic() < deadline, "Firefox does not answer"
            time.sleep(0.2)
        else:
            return connection
