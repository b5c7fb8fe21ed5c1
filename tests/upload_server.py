"""The upload API as a process of its own, over a folder and an SQLite file or another database, to be killed in tests.

Run as ``python -m tests.upload_server FOLDER``; prints its port when it listens.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.blobs.local import LocalBlobs
from storage.catalogue.migrations import migrate
from storage.catalogue.sql import SqlCatalogue
from storage.jobs import SilentBell
from upload_api.app import Ports, UploadApiSettings, create_app
from upload_api.serving import upload_server

REPOSITORY = Path(__file__).parent.parent
PART_BYTES = 1 << 20


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'catalogue.db'}"


def open_ports(folder: Path, database: str | None = None) -> Ports:
    url = database or database_url(folder)
    migrate(url)
    return Ports(catalogue=SqlCatalogue.open(url), blobs=LocalBlobs(folder / "store"), bell=SilentBell())


@dataclass(frozen=True)
class UploadServer:
    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextlib.contextmanager
def running(
    folder: Path, *, libraries: Path | None = None, needs_key: bool = False, database: str | None = None
) -> Iterator[UploadServer]:
    """A server over ``folder``, listening; killed at the end if it still runs. What it says goes to ``server.log``.
    ``libraries``: for its web app. ``needs_key``: like a fleet's. ``database``: its address, if not in ``folder``."""
    wanted = {"libraries": str(libraries) if libraries else None, "needs_key": needs_key, "database": database}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.upload_server", str(folder), json.dumps(wanted)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        yield UploadServer(int(process.stdout.readline()), process)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def main() -> None:
    folder, wanted = Path(sys.argv[1]), json.loads(sys.argv[2])
    settings = UploadApiSettings(
        base_part_bytes=PART_BYTES,
        lease_ttl_s=1.5,
        lease_beat_s=0.2,
        lease_wait_s=4.0,
        shutdown_grace_s=10.0,
        import_networks=("127.0.0.0/8",),
        import_poll_s=0.3,
        cors_origins=("*",),  # tests have pages of their own elsewhere
        needs_key=wanted["needs_key"],
        rate_limits=("address=500",) if wanted["needs_key"] else (),
        web_libraries=Path(wanted["libraries"]) if wanted["libraries"] else None,
    )
    app = create_app(settings, open_ports(folder, wanted["database"]))
    listener = socket.create_server(("127.0.0.1", 0))
    os.write(1, f"{listener.getsockname()[1]}\n".encode())
    sys.stdout = sys.stderr
    upload_server(app, settings).run(sockets=[listener])


if __name__ == "__main__":
    main()
