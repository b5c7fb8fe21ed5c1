"""``python -m tests.bench.origin``: the origin against nginx with sendfile, on one core and the same files.

Both run as one process on the first CPU, wrk on the second; rounds alternate between the two. What else the machine does
takes from either at random, so the best round of each counts, and a second ratio is that of requests per second of the
server's own CPU time. Prints a table for ``docs/benchmarks.md``; fails where the origin is
less than half of what it aims at.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from storage.blobs.s3 import S3Blobs, S3Settings
from storage.grants import KeyRing, PlaybackGrant, sign_grant
from storage.keys import hash12
from tests.bench.first_byte import first_bytes_s
from tests.bench.tables import render_table
from tests.origin_app import ASSET, BUCKET, SIGNED, VIDEO, Published, running, running_origin
from tests.services import free_ports, seaweedfs

ROUNDS = int(os.environ.get("LADDER_TEST_BENCH_ROUNDS", "3"))
SECONDS = int(os.environ.get("LADDER_TEST_BENCH_SECONDS", "4"))
SEGMENTS = 20
SEGMENT_BYTES = 1_000_000
MANIFEST_BYTES = 3_000
MANIFEST = "1080p/media.m3u8"
SERVER_CPU, CLIENT_CPU = 0, 1
CACHE_BYTES = 64 * 1024 * 1024
CONNECTIONS = 1000
MANIFESTS_PER_S, SEGMENTS_PER_S = 2000, 300  # far below what either can do, so that waiting is not for work
RSS_MOST_BYTES = CACHE_BYTES + 192 * 1024 * 1024  # the cache, what comes and goes, and Python itself
FLOOR = 0.5  # of the aim: below it something is broken, above it machines differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``aim``: the part of nginx's figure that we want to reach; None: only told."""

    name: str
    unit: str
    nginx: str
    origin: str
    headers: tuple[str, ...] = ()
    connections: int = 64
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    worker: psutil.Process

    def cpu_s(self) -> float:
        times = self.worker.cpu_times()
        return float(times.user + times.system)


@dataclass(slots=True)
class Figures:
    bytes_per_s: float = 0.0
    requests_per_s: float = 0.0
    errors: int = 0
    requests_per_cpu_s: float = 0.0


def main() -> int:
    for tool in ("nginx", "wrk", "taskset"):
        if shutil.which(tool) is None:
            print(f"Needs {tool}: infra/dev/apt-install nginx-light wrk", file=sys.stderr)
            return 1
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-origin-")))
        published = Published(folder)
        segments, key = make_objects(published)
        keys = f"k:{secrets.token_hex(32)}"
        token = sign_grant(PlaybackGrant(video=SIGNED, expires_at_s=int(time.time()) + 36_000), KeyRing.parse((keys,)))
        nginx = stack.enter_context(run_nginx(folder, published.objects))
        origin = stack.enter_context(run_origin(published, keys))
        rows, failed = [], False
        for case in hot_cases(nginx.url, origin.url, token, key):
            row, ok = compare(folder, nginx, origin, case, segments)
            rows.append(row)
            print(" · ".join(row), flush=True)
            failed |= not ok
        for row in first_bytes(nginx.url, origin.url, key, segments[0]):
            rows.append(row)
            print(" · ".join(row), flush=True)
        rss_mb = origin.worker.memory_info().rss / 1e6
        cold_rows = stack.enter_context(cold(published, keys))
    when = datetime.now(UTC).date().isoformat()
    print(f"\n`make bench-origin`, {when}; best of {ROUNDS} rounds of {SECONDS} s each\n")
    print(render_table(("what", "nginx", "origin", "ratio", "per CPU second", "aim", "errors"), [*rows, *cold_rows]))
    print(f"\nRSS of the origin's worker after the hot rounds: {rss_mb:.0f} MB")
    return 1 if failed else 0


def make_objects(published: Published) -> tuple[list[str], str]:
    """The segments' names, and the manifest's key."""
    segments = [published.store_segment(secrets.token_bytes(SEGMENT_BYTES), number) for number in range(SEGMENTS)]
    lines = "".join(f"#EXTINF:4.000000,\n{n}-{secrets.token_hex(6)}.m4s\n" for n in range(100))
    body = ("#EXTM3U\n#EXT-X-VERSION:6\n" + lines)[: MANIFEST_BYTES - 15].encode() + b"\n#EXT-X-ENDLIST"
    published.publish("master.m3u8", body)
    return segments, published.publish(MANIFEST, body)


def hot_cases(nginx: str, origin: str, token: str, key: str) -> Iterator[Case]:
    ranges = ("Range: bytes=100000-299999",)
    files, video = f"{nginx}/{ASSET}/", f"{origin}/v/{VIDEO}/"
    signed = f"{origin}/t/{token}/v/{SIGNED}/"
    yield Case(name="1 MB segments", unit="GB/s", nginx=files, origin=video, aim=0.85)
    yield Case(name="ranges of 200 kB", unit="GB/s", nginx=files, origin=video, headers=ranges, aim=0.80)
    plain = nginx + "/" + key
    yield Case(name="3 kB manifest, public", unit="k/s", nginx=plain, origin=video + MANIFEST, aim=0.80)
    yield Case(name="3 kB manifest, token", unit="k/s", nginx=plain, origin=signed + MANIFEST, aim=0.60)


def first_bytes(nginx: str, origin: str, key: str, segment: str) -> Iterator[tuple[str, ...]]:
    """p99 of the time to the first byte, with many connections and a rate that both can serve."""
    os.sched_setaffinity(0, {CLIENT_CPU})
    cases = {
        "3 kB": (f"{nginx}/{key}", f"{origin}/v/{VIDEO}/{MANIFEST}", MANIFESTS_PER_S),
        "1 MB": (f"{nginx}/{ASSET}/{segment}", f"{origin}/v/{VIDEO}/{segment}", SEGMENTS_PER_S),
    }
    for what, (theirs, ours, per_s) in cases.items():
        best = [math.inf, math.inf]
        for _ in range(ROUNDS):
            for which, url in enumerate((theirs, ours)):
                times = first_bytes_s(url, connections=CONNECTIONS, per_s=per_s, seconds=SECONDS)
                best[which] = min(best[which], 1000 * times[len(times) * 99 // 100])
        name = f"p99 to first byte, {what}, {CONNECTIONS:,} connections, {per_s}/s"
        yield name, f"{best[0]:.1f} ms", f"{best[1]:.1f} ms", f"{best[0] / best[1]:.0%}", "", "", ""
    os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))


def compare(
    folder: Path, nginx: Server, origin: Server, case: Case, segments: list[str]
) -> tuple[tuple[str, ...], bool]:
    ours, theirs = Figures(), Figures()
    for _ in range(ROUNDS):
        load(folder, nginx, case.nginx, case, segments, theirs)
        load(folder, origin, case.origin, case, segments, ours)
    if case.unit == "GB/s":
        ratio = ours.bytes_per_s / theirs.bytes_per_s
        shown = (f"{theirs.bytes_per_s / 1e9:.2f} GB/s", f"{ours.bytes_per_s / 1e9:.2f} GB/s")
    else:
        ratio = ours.requests_per_s / theirs.requests_per_s
        shown = (f"{theirs.requests_per_s / 1e3:.1f} k/s", f"{ours.requests_per_s / 1e3:.1f} k/s")
    per_cpu = ours.requests_per_cpu_s / theirs.requests_per_cpu_s
    aim = f"{case.aim:.0%}" if case.aim is not None else ""
    ok = (case.aim is None or max(ratio, per_cpu) >= case.aim * FLOOR) and not ours.errors
    return (case.name, *shown, f"{ratio:.0%}", f"{per_cpu:.0%}", aim, f"{theirs.errors} / {ours.errors}"), ok


def load(folder: Path, server: Server, url: str, case: Case, segments: list[str], figures: Figures) -> None:
    """One round of wrk. A URL that ends in a slash stands for all segments below it, in turn."""
    script = folder / "wrk.lua"
    script.write_text(_script(url, segments))
    argv = ["taskset", "-c", str(CLIENT_CPU), "wrk", "-t1", f"-c{case.connections}", f"-d{SECONDS}s"]
    for value in case.headers:
        argv += ["-H", value]
    before_s = server.cpu_s()
    printed = subprocess.run([*argv, "-s", str(script), url], check=True, capture_output=True, text=True).stdout
    match = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", printed)
    assert match, printed
    requests, received, micros, errors = (int(text) for text in match.groups())
    cpu_s = server.cpu_s() - before_s
    figures.requests_per_s = max(figures.requests_per_s, requests / micros * 1e6)
    figures.bytes_per_s = max(figures.bytes_per_s, received / micros * 1e6)
    figures.requests_per_cpu_s = max(figures.requests_per_cpu_s, requests / cpu_s)
    figures.errors += errors


def _script(url: str, segments: list[str]) -> str:
    path = re.sub(r"^https?://[^/]+", "", url)
    paths = [path + segment for segment in segments] if path.endswith("/") else [path]
    listed = ", ".join(f'"{each}"' for each in paths)
    return f"""
local paths = {{ {listed} }}
local at = 0
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.bytes, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@contextmanager
def run_nginx(folder: Path, objects: Path, *, upstream: str | None = None) -> Iterator[Server]:
    """nginx with one worker on the server's CPU: the files of a folder, or what ``upstream`` answers."""
    (port,) = free_ports(1)
    place = folder / f"nginx-{port}"
    place.mkdir()
    where = (
        f"proxy_pass {upstream}; proxy_http_version 1.1; proxy_set_header Connection '';"
        if upstream
        else f"root {objects};"
    )
    user = "user root;" if os.geteuid() == 0 else ""  # its workers would not get into a temporary folder of root's
    (place / "nginx.conf").write_text(
        f"""
daemon off; worker_processes 1; worker_rlimit_nofile 65536; {user} pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type video/mp4;
  open_file_cache max=1000 inactive=60s; client_body_temp_path {place}/b; proxy_temp_path {place}/p;
  fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ {where} }} }}
}}
"""
    )
    argv = ["taskset", "-c", str(SERVER_CPU), "nginx", "-e", f"{place}/error.log", "-c", f"{place}/nginx.conf"]
    with running(argv, {}, f"http://127.0.0.1:{port}/", place / "out.log") as process:
        yield Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid).children()[0])


@contextmanager
def run_origin(published: Published, keys: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    """The origin with one worker on the server's CPU."""
    prefix = ("taskset", "-c", str(SERVER_CPU))
    with running_origin(
        published, env=env, prefix=prefix, origin_cache_bytes=CACHE_BYTES, playback_keys=keys
    ) as origin:
        yield Server(origin.url, origin.worker())


@contextmanager
def cold(published: Published, keys: str) -> Iterator[list[tuple[str, ...]]]:
    """Segments that nobody had before, from SeaweedFS: nginx proxies it, the origin's cache is smaller than the set."""
    with seaweedfs(published.folder / "seaweedfs") as endpoint:
        store = S3Blobs(
            S3Settings(
                bucket=BUCKET,
                endpoint_url=endpoint.url,
                access_key=endpoint.access_key,
                secret_key=endpoint.secret_key,
            )
        )
        store.ensure_bucket()
        segments = []
        for number in range(10 * CACHE_BYTES // SEGMENT_BYTES):
            body = secrets.token_bytes(SEGMENT_BYTES)
            segments.append(f"1080p/{number}-{hash12(body)}.m4s")
            store.put(f"{ASSET}/{segments[-1]}", body)
        where = {"LADDER_TEST_ORIGIN_S3": f"{endpoint.url},{endpoint.access_key},{endpoint.secret_key}"}
        store._client.put_bucket_policy(Bucket=BUCKET, Policy=_PUBLIC_POLICY)
        with (
            run_nginx(published.folder, published.folder, upstream=f"{endpoint.url}/{BUCKET}/") as nginx,
            run_origin(published, keys, where) as origin,
        ):
            ours, theirs = Figures(), Figures()
            base, video = f"{nginx.url}/{ASSET}/", f"{origin.url}/v/{VIDEO}/"
            case = Case(name="", unit="", nginx=base, origin=video, connections=16)
            for _ in range(ROUNDS):
                load(published.folder, nginx, base, case, segments, theirs)
                load(published.folder, origin, video, case, segments, ours)
            rss = origin.worker.memory_info().rss / 1e6
            assert rss * 1e6 < RSS_MOST_BYTES, "memory is bounded by what is set"
            row = (
                f"cold 1 MB segments from SeaweedFS, {len(segments)} MB through a cache of {CACHE_BYTES // 2**20} MiB",
                f"{theirs.bytes_per_s / 1e9:.2f} GB/s",
                f"{ours.bytes_per_s / 1e9:.2f} GB/s (RSS {rss:.0f} MB)",
                f"{ours.bytes_per_s / theirs.bytes_per_s:.0%}",
                f"{ours.requests_per_cpu_s / theirs.requests_per_cpu_s:.0%}",
                "",
                f"{theirs.errors} / {ours.errors}",
            )
            yield [row]


_PUBLIC_POLICY = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
    f'"Resource":"arn:aws:s3:::{BUCKET}/*"}}]}}'
)


if __name__ == "__main__":
    sys.exit(main())
