"""Chaos: workers are killed, frozen and stopped at random while they work off a queue, and what stands between them and
their database and store misbehaves. Afterwards everything must be there, once. ``python -m tests.chaos.weather --help``.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from storage.audit import FindingKind
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.ids import VideoId
from storage.jobs import JobState
from storage.keys import source_key
from storage.lifecycle import VideoState
from tests.chaos.worker import LEASE_MS, open_store
from tests.fair_simulation import percentile
from tests.faults import Fault, FaultProxy, through, unix_socket
from tests.services import postgres, seaweedfs
from tests.workshop import an_uploaded_video
from workers.audit import audit

ROOT = Path(__file__).parents[2]
KILLS = ("SIGKILL", "SIGSTOP", "SIGTERM")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """``every_s``: about how often something happens; ``storm_s``: for how long, then the weather is fair."""

    videos: int = 20
    workers: int = 3
    seed: int = 42
    every_s: float = 1.0
    database: str = "sqlite"
    store: str = "local"
    kills: bool = True
    storm_s: float = 60.0
    patience_s: float = 240.0


@dataclass(slots=True, kw_only=True)
class Report:
    jobs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    committed_twice: int = 0
    re_executed: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    manifests: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """In the form of docs/benchmarks.md."""
        total = sum(self.kills.values())
        by_kind = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        p99 = f"{percentile(self.recoveries_s, 0.99):.1f} s" if self.recoveries_s else "–"
        return (
            f"{self.jobs} jobs, {total} kills ({by_kind}), faults ({faults or 'none'}), lost {self.lost}, committed twice"
            f" {self.committed_twice}, re-executed {self.re_executed}, p99 recovery {p99}, {self.seconds:.0f} s"
        )


class Fleet:
    """Worker processes, replaced as they fall."""

    def __init__(self, weather: Weather, environment: dict[str, str], folder: Path, report: Report) -> None:
        self._weather = weather
        self._environment = environment
        self._log = (folder / "workers.log").open("ab")
        self._report = report
        self._seeded = random.Random(weather.seed)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._frozen: list[tuple[float, subprocess.Popen[bytes]]] = []
        self.killed_at: dict[int, float] = {}  # by process id

    def tend(self) -> None:
        """Replace the fallen, thaw the frozen."""
        now = time.monotonic()
        for due, process in list(self._frozen):
            if now >= due:
                process.send_signal(signal.SIGCONT)
                self._frozen.remove((due, process))
        self._processes = [one for one in self._processes if one.poll() is None]
        while len(self._processes) < self._weather.workers:
            self._processes.append(self._start())

    def strike(self) -> None:
        frozen = {process.pid for _, process in self._frozen}
        awake = [one for one in self._processes if one.pid not in frozen]
        if not awake:
            return
        victim, kind = self._seeded.choice(awake), self._seeded.choice(KILLS)
        self._report.kills[kind] += 1
        self.killed_at[victim.pid] = time.time()
        victim.send_signal(getattr(signal, kind))
        if kind == "SIGSTOP":  # past its lease: it wakes up as a zombie
            self._frozen.append((time.monotonic() + 1.5 * LEASE_MS / 1000, victim))

    def end(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.chaos.worker"]
        return subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=self._log, stderr=subprocess.STDOUT)


@contextmanager
def database(weather: Weather, folder: Path, stack: ExitStack) -> Iterator[tuple[str, str, FaultProxy | None]]:
    """(URL for us, URL for workers, proxy between them and it)."""
    if weather.database == "sqlite":
        url = f"sqlite:///{folder / 'catalogue.sqlite3'}"
        migrate(url)
        yield url, url, None
        return
    url = stack.enter_context(postgres(folder / "postgres"))
    migrate(url)
    proxy = stack.enter_context(FaultProxy(unix_socket(url)))
    yield url, through(url, proxy), proxy


def run(weather: Weather, folder: Path) -> Report:
    report = Report()
    seeded = random.Random(weather.seed + 1)
    began = time.monotonic()
    with ExitStack() as stack:
        ours, theirs, database_proxy = stack.enter_context(database(weather, folder, stack))
        environment = {**os.environ, "LADDER_TEST_FOLDER": str(folder), "LADDER_TEST_DATABASE": theirs}
        direct = dict(environment)
        proxies: list[tuple[str, FaultProxy, tuple[Fault, ...]]] = []
        if database_proxy is not None:
            proxies.append(
                ("database", database_proxy, (Fault.CUT, Fault.SILENT, Fault.REFUSE, Fault.DEAF, Fault.SLOW))
            )
        if weather.store == "s3":
            endpoint = stack.enter_context(seaweedfs(folder / "weed"))
            port = int(endpoint.url.rpartition(":")[2])
            proxy = stack.enter_context(FaultProxy(("127.0.0.1", port)))
            credentials = f"{endpoint.access_key} {endpoint.secret_key}"
            environment["LADDER_TEST_S3"] = f"http://127.0.0.1:{proxy.port} {credentials}"
            direct["LADDER_TEST_S3"] = f"{endpoint.url} {credentials}"
            proxies.append(("store", proxy, tuple(Fault)[1:]))
        blobs = open_store(direct)
        if weather.store == "s3":
            make_bucket(blobs)
        catalogue = SqlCatalogue.open(ours)
        stack.callback(catalogue.close)
        videos = [an_uploaded_video(catalogue) for _ in range(weather.videos)]
        for video in videos:
            blobs.put(source_key(video), b"film")
        fleet = Fleet(weather, environment, folder, report)
        stack.callback(fleet.end)
        _storm(weather, fleet, proxies, catalogue, seeded, report, len(videos))
        fleet.end()
        _judge(catalogue, blobs, videos, folder, fleet, report)
    report.seconds = time.monotonic() - began
    return report


def make_bucket(blobs: object) -> None:
    blobs.ensure_bucket()  # type: ignore[attr-defined]


def _storm(
    weather: Weather,
    fleet: Fleet,
    proxies: list[tuple[str, FaultProxy, tuple[Fault, ...]]],
    catalogue: SqlCatalogue,
    seeded: random.Random,
    report: Report,
    videos: int,
) -> None:
    storm_ends = time.monotonic() + weather.storm_s
    deadline = time.monotonic() + weather.patience_s
    next_at = time.monotonic() + 2.0
    calm_at = 0.0
    while time.monotonic() < deadline:
        fleet.tend()
        now = time.monotonic()
        if now >= calm_at:
            for _, proxy, _ in proxies:
                if proxy.fault is not Fault.NONE:
                    proxy.fault = Fault.NONE
                    proxy.hang_up()
        if next_at <= now < storm_ends:
            next_at = now + seeded.uniform(0.5, 1.5) * weather.every_s
            if proxies and seeded.random() < 0.5:
                name, proxy, faults = seeded.choice(proxies)
                proxy.fault = seeded.choice(faults)
                report.faults[f"{name} {proxy.fault}"] += 1
                calm_at = now + seeded.uniform(0.3, 2.0)
            elif weather.kills:
                fleet.strike()
        if not any(state in (JobState.READY, JobState.LEASED) for state, _ in catalogue.job_counts()):
            return
        time.sleep(0.1)
    report.problems.append("not done in time")


def _judge(
    catalogue: SqlCatalogue, blobs: object, videos: list[VideoId], folder: Path, fleet: Fleet, report: Report
) -> None:
    jobs = catalogue.jobs(limit=10**6)
    report.jobs = len(jobs)
    unfinished = [video for video in videos if catalogue.video(video).state is not VideoState.READY]
    found = audit(catalogue, blobs, grace_ms=0)  # type: ignore[arg-type]
    report.lost = len(unfinished) + len(found.of(FindingKind.LOST, FindingKind.STUCK))
    report.problems += [it.sentence for it in found.of(FindingKind.LOST, FindingKind.STUCK, FindingKind.DOUBLED)]
    report.problems += [
        f"{video} is {catalogue.video(video).state}: {catalogue.video(video).reason}" for video in unfinished
    ]
    began: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    committed: Counter[str] = Counter()
    for line in (folder / "ledger").read_text().splitlines():
        at_ms, pid, what, *rest = line.split()
        if what == "began":
            began[rest[0]].append((int(at_ms) / 1000, int(pid)))
        elif what == "committed":
            committed[rest[0]] += 1
    report.committed_twice = sum(count > 1 for count in committed.values())
    report.re_executed = sum(len(its) - 1 for its in began.values())
    for its in began.values():
        for (_, pid), (again, _) in pairwise(its):
            if pid in fleet.killed_at and again > fleet.killed_at[pid]:
                report.recoveries_s.append(again - fleet.killed_at[pid])
    for number, video in enumerate(videos):
        asset = catalogue.asset(catalogue.video(video).asset)
        for name in asset.names:
            body = blobs.get(name.key)  # type: ignore[attr-defined]
            report.manifests[f"{number}/{name.name}"] = body.decode("latin-1")
    scratch = folder / "scratch" / "jobs"
    report.problems += [f"scratch left: {left.name}" for left in scratch.glob("*") if not fleet.killed_at]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=300)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--every", type=float, default=1.0, dest="every_s")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="postgres")
    parser.add_argument("--store", choices=["local", "s3"], default="local")
    parser.add_argument("--storm", type=float, default=900, dest="storm_s")
    parser.add_argument("--patience", type=float, default=1800, dest="patience_s")
    weather = Weather(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        report = run(weather, Path(folder))
    print(report.line())
    for problem in report.problems[:20]:
        print(f"  {problem}")
    return 1 if report.problems or report.lost or report.committed_twice else 0


if __name__ == "__main__":
    sys.exit(main())
