"""How fast bytes come in, and what memory they take: ours against @tus/server and against raw S3 parts, to a folder and to
SeaweedFS, in one run on one machine.

``python -m tests.bench.upload [--sizes 1x1024,16x64] [--stores folder,s3] [--rounds 2] [--flat MIB]``. One PATCH per upload,
as tus-js-client sends it by default, to `fishladder serve upload-api` as it is set by default. Servers take turns, and the
better of each one's rounds counts. It fails for nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from storage.blobs.s3 import S3Blobs, S3Settings
from storage.catalogue.migrations import migrate
from tests.bench.tables import render_table
from tests.services import S3Endpoint, free_ports, seaweedfs

MIB = 1 << 20
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = b"\x1a\x45\xdf\xa3" + os.urandom(MIB - 4)  # opens like Matroska
ROOT = Path(__file__).parents[2]
PART_BYTES = 8 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    uploads: int
    size_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.uploads * self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    mib_per_s: float
    rest_mib: float = 0.0
    peak_mib: float = 0.0
    cpu_s: float = 0.0

    @property
    def grown_mib(self) -> float:
        return self.peak_mib - self.rest_mib


class Watch:
    """The memory of a process, looked at twenty times a second."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.rest = self.peak = self._process.memory_info().rss
        self.samples: list[int] = []
        self._cpu = sum(self._process.cpu_times()[:2])

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.cpu_s = sum(self._process.cpu_times()[:2]) - self._cpu

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.samples.append(self._process.memory_info().rss)
            self.peak = max(self.peak, self.samples[-1])


def send(base: str, size_bytes: int) -> None:
    """One upload: a creation, and one PATCH with everything."""
    created = httpx.post(f"{base}/files", headers=TUS | {"Upload-Length": str(size_bytes)}, timeout=60)
    created.raise_for_status()
    path = urlsplit(created.headers["Location"]).path
    at = urlsplit(base)
    with socket.create_connection((at.hostname or "", at.port or 80), timeout=600) as connection:
        connection.sendall(
            f"PATCH {path} HTTP/1.1\r\nHost: {at.netloc}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
            f"Content-Type: application/offset+octet-stream\r\nContent-Length: {size_bytes}\r\n\r\n".encode()
        )
        left = size_bytes
        while left > 0:
            connection.sendall(PIECE if left >= MIB else PIECE[:left])
            left -= MIB
        answer = connection.recv(65536).decode("latin-1")
    assert answer.startswith("HTTP/1.1 204"), answer
    assert f"upload-offset: {size_bytes}" in answer.lower(), answer


def measure(base: str, pid: int, load: Load) -> Seen:
    send(base, PART_BYTES)  # whatever is loaded at the first time
    with Watch(pid) as watch, ThreadPoolExecutor(load.uploads) as pool:
        began = time.perf_counter()
        for done in [pool.submit(send, base, load.size_bytes) for _ in range(load.uploads)]:
            done.result()
        took_s = time.perf_counter() - began
    return Seen(
        mib_per_s=load.total_bytes / MIB / took_s,
        rest_mib=watch.rest / MIB,
        peak_mib=watch.peak / MIB,
        cpu_s=watch.cpu_s,
    )


# --- who is measured -------------------------------------------------------------------------------------------------


@contextmanager
def spawned(argv: Sequence[str], env: dict[str, str]) -> Iterator[tuple[str, int]]:
    """(address, pid) of a server that prints its port."""
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | env)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def bucket_env(s3: S3Endpoint | None, bucket: str) -> dict[str, str]:
    if s3 is None:
        return {}
    names = ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_BUCKET")
    return dict(zip(names, (s3.url, s3.access_key, s3.secret_key, bucket), strict=True))


def open_bucket(env: dict[str, str]) -> S3Blobs:
    blobs = S3Blobs(
        S3Settings(
            bucket=env["S3_BUCKET"],
            endpoint_url=env["S3_ENDPOINT"],
            access_key=env["S3_ACCESS_KEY"],
            secret_key=env["S3_SECRET_KEY"],
        )
    )
    blobs.ensure_bucket()
    return blobs


@contextmanager
def ours(folder: Path, s3: S3Endpoint | None) -> Iterator[tuple[str, int]]:
    """`fishladder serve upload-api`, with nobody asked for a key."""
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'catalogue.db'}"
    migrate(url)
    bucket = bucket_env(s3, "ours")
    if s3 is not None:
        open_bucket(bucket)
    (port,) = free_ports(1)
    env = {f"FISHLADDER_{name}": value for name, value in bucket.items()} | {
        "FISHLADDER_DATABASE_URL": url,
        "FISHLADDER_STORE": "s3" if s3 else "local",
        "FISHLADDER_LOCAL_STORE_DIR": str(folder / "store"),
        "FISHLADDER_ACCESS": "open",
        "FISHLADDER_UPLOAD_API_PORT": str(port),
        "FISHLADDER_LOG_LEVEL": "warning",
    }
    argv = [str(Path(sys.executable).with_name("fishladder")), "serve", "upload-api"]
    process = subprocess.Popen(argv, cwd=ROOT, env=os.environ | env)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(base)
        yield base, process.pid
    finally:
        process.terminate()
        process.wait(60)


def wait_until_ready(base: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{base}/readyz", timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the upload API does not come up")


@contextmanager
def theirs(folder: Path, s3: S3Endpoint | None) -> Iterator[tuple[str, int]]:
    env = bucket_env(s3, "theirs")
    if s3 is not None:
        open_bucket(env)
    folder.mkdir(parents=True)
    modules = os.environ.get("LADDER_TEST_NODE_MODULES", str(ROOT / "node_modules"))
    argv = ["node", str(Path(__file__).parent / "tus-server.mjs"), "s3" if s3 else str(folder)]
    with spawned(argv, env | {"LADDER_TEST_NODE_MODULES": modules}) as server:
        yield server


def raw_parts(s3: S3Endpoint, load: Load) -> Seen:
    """S3 parts from memory, three of an upload at once, sent by boto3 as our store does: what the S3 server can take."""
    blobs = open_bucket(bucket_env(s3, "raw"))
    part = PIECE * (PART_BYTES // MIB)

    def upload(index: int) -> None:
        key = f"raw/{index}"
        multipart = blobs.begin_multipart(key)
        with ThreadPoolExecutor(3) as pool:
            numbers = range(1, load.size_bytes // PART_BYTES + 1)
            parts = list(pool.map(lambda number: blobs.put_part(key, multipart, number, part), numbers))
        blobs.complete_multipart(key, multipart, tuple(parts))

    began = time.perf_counter()
    with ThreadPoolExecutor(load.uploads) as pool:
        list(pool.map(upload, range(load.uploads)))
    return Seen(mib_per_s=load.total_bytes / MIB / (time.perf_counter() - began))


def raw_file(folder: Path, load: Load) -> Seen:
    """Files written from memory and brought to the disk, piece by piece: what the disk can take."""
    folder.mkdir(parents=True)

    def write(index: int) -> None:
        with (folder / str(index)).open("wb") as file:
            for _ in range(load.size_bytes // MIB):
                file.write(PIECE)
            file.flush()
            os.fsync(file.fileno())

    began = time.perf_counter()
    with ThreadPoolExecutor(load.uploads) as pool:
        list(pool.map(write, range(load.uploads)))
    return Seen(mib_per_s=load.total_bytes / MIB / (time.perf_counter() - began))


# --- the run ---------------------------------------------------------------------------------------------------------


def run(loads: Sequence[Load], stores: Sequence[str], rounds: int, scratch: Path) -> dict[tuple[str, str, Load], Seen]:
    seen: dict[tuple[str, str, Load], Seen] = {}
    for store in stores:
        for load in loads:
            folder = scratch / f"{store}-{load.uploads}x{load.size_bytes}"
            for turn in range(rounds):
                for name, one in one_round(store, load, folder, turn):
                    best = seen.get((name, store, load))
                    if best is None or one.mib_per_s > best.mib_per_s:
                        seen[name, store, load] = one
            print(f"  {store}, {load.uploads} × {load.size_bytes // MIB} MiB: done", file=sys.stderr)
    return seen


def one_round(store: str, load: Load, folder: Path, turn: int) -> Iterator[tuple[str, Seen]]:
    with ExitStack() as stack:
        s3 = stack.enter_context(seaweedfs(folder / "weed")) if store == "s3" else None
        if s3 is None:
            yield "raw", raw_file(folder / "raw", load)
            shutil.rmtree(folder / "raw")
        else:
            yield "raw", raw_parts(s3, load)
        servers = [("@tus/server", theirs), ("Fishladder", ours)]
        for name, server in servers if turn % 2 == 0 else reversed(servers):
            at = folder / name.replace("/", "-")
            with server(at, s3) as (base, pid):
                yield name, measure(base, pid, load)
            shutil.rmtree(at)
    shutil.rmtree(folder, ignore_errors=True)


def table(seen: dict[tuple[str, str, Load], Seen]) -> str:
    rows = []
    for (name, store, load), one in seen.items():
        peer, raw = seen.get(("@tus/server", store, load)), seen["raw", store, load]
        ratio = f"{one.mib_per_s / peer.mib_per_s:.2f}" if peer and name == "Fishladder" else ""
        of_raw = f"{one.mib_per_s / raw.mib_per_s:.0%}" if name != "raw" else ""
        memory = f"{one.rest_mib:.0f} → {one.peak_mib:.0f}" if one.peak_mib else ""
        cpu = f"{one.cpu_s:.1f}" if one.cpu_s else ""
        what = f"{load.uploads} × {load.size_bytes // MIB} MiB"
        rows.append((store, what, name, f"{one.mib_per_s:.0f}", ratio, of_raw, memory, cpu))
    head = ("store", "uploads", "who", "MiB/s", "× @tus/server", "of raw", "RSS MiB, idle → peak", "CPU s")
    return render_table(head, rows)


def flat(size_bytes: int, scratch: Path) -> str:
    """One big upload into a folder: its memory by tenths of its way."""
    with ours(scratch / "flat", None) as (base, pid):
        send(base, PART_BYTES)
        with Watch(pid) as watch:
            began = time.perf_counter()
            send(base, size_bytes)
            took_s = time.perf_counter() - began
    shutil.rmtree(scratch / "flat")
    step = max(1, len(watch.samples) // 10)
    tenths = [max(watch.samples[i : i + step]) / MIB for i in range(0, len(watch.samples), step)]
    rate = size_bytes / MIB / took_s
    return (
        f"{size_bytes // MIB} MiB in one upload: {rate:.0f} MiB/s, RSS idle {watch.rest / MIB:.0f} MiB, peak of each tenth "
        + " ".join(f"{one:.0f}" for one in tenths)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1x1024,16x64", help="uploads x MiB each, separated by commas")
    parser.add_argument("--stores", default="folder,s3")
    parser.add_argument("--flat", type=int, default=0, help="MiB of one big upload whose memory is watched; 0: none")
    parser.add_argument("--scratch", type=Path, default=None, help="where to write (default: the temporary folder)")
    parser.add_argument("--rounds", type=int, default=2, help="of each server and load; the better one counts")
    asked = parser.parse_args()
    sizes = [each.split("x") for each in asked.sizes.split(",") if each]
    loads = [Load(uploads=int(count), size_bytes=int(size) * MIB) for count, size in sizes]
    with tempfile.TemporaryDirectory(prefix="bench-upload-", dir=asked.scratch) as scratch:
        if loads:
            print(table(run(loads, asked.stores.split(","), asked.rounds, Path(scratch))))
        if asked.flat:
            print(flat(asked.flat * MIB, Path(scratch)))
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
