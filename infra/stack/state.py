"""The state folder of a stack: what must be the same again after a restart, readable by its owner only."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.stack.ports import free_port, is_free
from storage.errors import Conflict, Unavailable

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """Passwords and internal ports: made at the first start, kept for the next ones."""

    valkey_password: str
    s3_access_key: str
    s3_secret_key: str
    store: str
    ports: dict[str, int] = field(default_factory=dict)
    signing_key: str = ""  # hexadecimal: sessions and upload grants are signed with it where none is set
    sealing_key: str = ""  # hexadecimal: content keys are sealed with it where none is set


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDir:
    """Paths inside a state folder."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What is only true while the stack runs."""
        return self.root / "run"

    @property
    def running(self) -> Path:
        """The record of started processes that the watchdog reads."""
        return self.run / "children.json"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    @property
    def seaweedfs(self) -> Path:
        return self.root / "seaweedfs"

    @property
    def remembered(self) -> Path:
        return self.root / "stack.json"

    def prepare(self) -> None:
        """Make the folders, closed to others. Raises `Unavailable` with a sentence if that is not possible."""
        try:
            for folder in (self.root, self.logs, self.run, self.valkey, self.seaweedfs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.run / "writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise Unavailable(
                f"The state folder {self.root} cannot be written ({error.strerror}). "
                "Choose another with --state DIR, or mend its permissions."
            ) from error


@contextmanager
def locked(state: StateDir) -> Iterator[None]:
    """Hold the folder: two stacks on one state would ruin each other's data. The lock goes with the process."""
    with (state.root / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise Conflict(
                f"Another `fishladder up` (process {holder}) uses the state folder {state.root}. "
                "Stop it first, or choose another folder with --state DIR.",
                holder=holder,
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def remember(state: StateDir, names: tuple[str, ...], store: str) -> Remembered:
    """The folder's passwords, and an internal port for each of ``names``: the one it had, if that is still free."""
    known = recall(state)
    ports: dict[str, int] = {}
    for name in names:
        port = known.ports.get(name, 0) if known else 0
        if not port or not is_free(LOOPBACK, port):
            port = free_port(LOOPBACK, avoid=frozenset(ports.values()))
        ports[name] = port
    remembered = Remembered(
        valkey_password=known.valkey_password if known else secrets.token_urlsafe(32),
        s3_access_key=known.s3_access_key if known else "fishladder",
        s3_secret_key=known.s3_secret_key if known else secrets.token_urlsafe(32),
        store=store,
        ports=(known.ports if known else {}) | ports,
        signing_key=(known.signing_key if known else "") or secrets.token_hex(32),
        sealing_key=(known.sealing_key if known else "") or secrets.token_hex(32),
    )
    write_private(state.remembered, json.dumps(asdict(remembered), indent=1))
    return remembered


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``, whole or not at all, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def recall(state: StateDir) -> Remembered | None:
    """What an earlier start left; None at the first."""
    path = state.remembered
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        return Remembered(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise Conflict(
            f"{path} is damaged. If nothing in this state folder is worth keeping, delete the folder."
        ) from error
