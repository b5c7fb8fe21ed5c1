"""Chaos: workers are killed, frozen and stopped at random while they work off a queue, and what stands between them and
their database and store misbehaves. Afterwards everything must be there, once. ``python -m tests.chaos.weather --help``.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from storage.blobs import BlobStore
from storage.blobs.s3 import S3Blobs
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.errors import Unavailable
from storage.ids import VideoId
from storage.jobs import JobState, Lane
from tests.chaos.fleet import Deck, Fleet
from tests.chaos.report import Report, begun, judge
from tests.chaos.worker import LEASE_MS, full_disk, open_store
from tests.faults import Fault, FaultProxy, through, unix_socket
from tests.services import Postgres, mortal_postgres, seaweedfs
from tests.workshop import an_upload_of
from workers.ffmpeg.process import find_tools

KILLS = ("SIGKILL", "SIGSTOP", "SIGTERM")
DATABASE_FAULTS = (Fault.CUT, Fault.SILENT, Fault.REFUSE, Fault.DEAF, Fault.SLOW)
STORE_FAULTS = tuple(fault for fault in Fault if fault is not Fault.NONE)
CLOCKS = ("+1h", "-1h", "+0")
LONGEST_CALM_S = 2.0
LONGEST_LULL_S = 20.0
"""Then something happens though nothing was done since the last time."""
TOLD_EVERY_S = 30.0
LEAST_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """``every_s``: about how often something happens, and ``every_jobs``: after so many more jobs at the earliest, however
    slow the machine is; ``storm_s``: for how long, then the weather is fair. The storm goes on until everything that may
    happen has happened once: for that, more videos come in if need be.

    ``film``: a file that is really encoded, in place of made-up results. ``outages``: PostgreSQL is killed, the disk of a
    local store is full. ``clocks``: workers' clocks jump by an hour; they notice within ``clock_look_s``."""

    videos: int = 20
    workers: int = 3
    seed: int = 42
    every_s: float = 1.0
    every_jobs: int = 0
    lease_ms: int = LEASE_MS
    database: str = "sqlite"
    store: str = "local"
    kills: bool = True
    outages: bool = False
    clocks: bool = False
    clock_look_s: int = 0
    film: Path | None = None
    storm_s: float = 60.0
    patience_s: float = 600.0


@dataclass(slots=True)
class Hazard:
    """Something that can happen in several ways. ``strike`` returns whether it could; ``calm`` ends it."""

    name: str
    deck: Deck
    strike: Callable[[str], bool]
    calm: Callable[[], None] = field(default=lambda: None)
    calm_at_s: float | None = None


class Run:
    """A run under way: what it has started, and what may happen to it."""

    def __init__(self, weather: Weather, folder: Path) -> None:
        self.weather = weather
        self.folder = folder
        self.faults: Counter[str] = Counter()
        self.hazards: list[Hazard] = []
        self.videos: list[VideoId] = []
        self.fleet: Fleet
        self.catalogue: SqlCatalogue
        self.blobs: BlobStore
        self._seeded = random.Random(weather.seed + 1)
        self._began_s = time.monotonic()
        self._tell_at_s = self._began_s + TOLD_EVERY_S

    def prepare(self, stack: ExitStack) -> None:
        direct = {
            **os.environ,
            "LADDER_TEST_FOLDER": str(self.folder),
            "LADDER_TEST_LEASE_MS": str(self.weather.lease_ms),
        }
        if self.weather.film is not None:
            direct["LADDER_TEST_FILMS"] = "1"
        theirs = dict(direct)
        ours = self._database(stack, theirs)
        self._store(stack, direct, theirs)
        self.catalogue = SqlCatalogue.open(ours)
        stack.callback(self.catalogue.close)
        self.blobs = open_store(direct)
        if isinstance(self.blobs, S3Blobs):
            self.blobs.ensure_bucket()
        self.fleet = Fleet(
            self.weather.workers,
            theirs,
            self.folder,
            holders=self._holders,
            seed=self.weather.seed,
            lease_ms=self.weather.lease_ms,
            clocks=self.weather.clocks,
            clock_look_s=self.weather.clock_look_s,
        )
        stack.callback(self.fleet.end)
        if self.weather.kills:
            self._hazard("worker", KILLS, self.fleet.strike)
        if self.weather.clocks:
            self._hazard("clock", CLOCKS, self._change_a_clock)
        for _ in range(self.weather.videos):
            self.add_video()

    def add_video(self) -> None:
        body = b"film" if self.weather.film is None else self.weather.film.read_bytes()
        self.videos.append(an_upload_of(body, self.catalogue, self.blobs))

    def weather_passes(self) -> bool:
        """Until everything is done; False if it is not in time."""
        storm_ends = time.monotonic() + self.weather.storm_s
        deadline = time.monotonic() + self.weather.patience_s
        next_at, next_done = time.monotonic(), 0
        while time.monotonic() < deadline:
            self.fleet.tend()
            now = time.monotonic()
            counts = self._counts()
            self._tell(counts)
            done = sum(count for (state, _), count in counts.items() if state is JobState.DONE)
            for hazard in self.hazards:
                if hazard.calm_at_s is not None and now >= hazard.calm_at_s:
                    hazard.calm_at_s = None
                    hazard.calm()
            waits = [hazard for hazard in self.hazards if not hazard.deck.all_were_dealt]
            stormy = bool(waits) or now < storm_ends
            due = now >= next_at and (done >= next_done or now >= next_at + LONGEST_LULL_S)
            if stormy and due and self._strike(waits or self.hazards):
                next_at = now + self._seeded.uniform(0.5, 1.5) * self.weather.every_s
                next_done = done + round(self._seeded.uniform(0.5, 1.5) * self.weather.every_jobs)
            if not stormy and self.weather.clocks and self.weather.database == "sqlite":
                # There, times may lie an hour ahead by now: all are due when everybody's clock is beyond them.
                self.fleet.set_clocks("+3h")
            if counts and not {state for state, _ in counts} & {JobState.READY, JobState.LEASED}:
                if not waits:
                    return True
                self.add_video()
            time.sleep(0.1)
        return False

    def calm(self) -> None:
        for hazard in self.hazards:
            hazard.calm()

    def _strike(self, among: list[Hazard]) -> bool:
        able = [hazard for hazard in among if hazard.calm_at_s is None]
        if not able:
            return False
        hazard = self._seeded.choice(able)
        kind = hazard.deck.peek()
        if not hazard.strike(kind):
            return False
        hazard.deck.deal()
        hazard.calm_at_s = time.monotonic() + self._seeded.uniform(0.3, LONGEST_CALM_S)
        if hazard.name != "worker":
            self.faults[f"{hazard.name} {kind}"] += 1
        return True

    def _holders(self) -> set[int]:
        leased = {(job.id, job.token) for job in self.catalogue.jobs(state=JobState.LEASED)}
        return {pid for pid, job, token in begun(self.folder) if (job, token) in leased}

    def _counts(self) -> Mapping[tuple[JobState, Lane], int]:
        """Jobs by state and lane; nothing while the database does not answer."""
        try:
            return self.catalogue.job_counts()
        except Unavailable:
            return {}

    def _tell(self, counts: Mapping[tuple[JobState, Lane], int]) -> None:
        """Now and then, how far things are, for whoever watches a long run."""
        if not counts or time.monotonic() < self._tell_at_s:
            return
        self._tell_at_s = time.monotonic() + TOLD_EVERY_S
        states: Counter[str] = Counter()
        for (state, _), count in counts.items():
            states[state] += count
        told = ", ".join(f"{state} {count}" for state, count in sorted(states.items()))
        so_far = f"{self.fleet.kills.total()} kills, {self.faults.total()} faults"
        print(f"{time.monotonic() - self._began_s:.0f} s: {told}; {so_far}", file=sys.stderr, flush=True)

    # --- what may happen ---------------------------------------------------------------------------------------------

    def _hazard(
        self, name: str, kinds: tuple[str, ...], strike: Callable[[str], bool], calm: Callable[[], None] = lambda: None
    ) -> None:
        self.hazards.append(Hazard(name, Deck(kinds, self.weather.seed + len(self.hazards)), strike, calm))

    def _database(self, stack: ExitStack, theirs: dict[str, str]) -> str:
        """The URL for us; workers get theirs, through a proxy."""
        if self.weather.database == "sqlite":
            url = theirs["LADDER_TEST_DATABASE"] = f"sqlite:///{self.folder / 'catalogue.sqlite3'}"
            migrate(url)
            return url
        server = stack.enter_context(mortal_postgres(self.folder / "postgres"))
        migrate(server.url)
        proxy = stack.enter_context(FaultProxy(unix_socket(server.url)))
        theirs["LADDER_TEST_DATABASE"] = through(server.url, proxy)
        self._faulty("database", proxy, DATABASE_FAULTS)
        if self.weather.outages:
            self._hazard("PostgreSQL", ("killed",), lambda _: _killed(server), server.start)
        return server.url

    def _store(self, stack: ExitStack, direct: dict[str, str], theirs: dict[str, str]) -> None:
        if self.weather.store == "local":
            if self.weather.outages:
                full = full_disk(self.folder)
                self._hazard("disk", ("full",), lambda _: _filled(full), lambda: full.unlink(missing_ok=True))
            return
        endpoint = stack.enter_context(seaweedfs(self.folder / "weed"))
        proxy = stack.enter_context(FaultProxy(("127.0.0.1", int(endpoint.url.rpartition(":")[2]))))
        credentials = f"{endpoint.access_key} {endpoint.secret_key}"
        direct["LADDER_TEST_S3"] = f"{endpoint.url} {credentials}"
        theirs["LADDER_TEST_S3"] = f"http://127.0.0.1:{proxy.port} {credentials}"
        self._faulty("store", proxy, STORE_FAULTS)

    def _faulty(self, name: str, proxy: FaultProxy, faults: tuple[Fault, ...]) -> None:
        def strike(fault: str) -> bool:
            proxy.fault = Fault(fault)
            return True

        def calm() -> None:
            proxy.fault = Fault.NONE
            proxy.hang_up()

        self._hazard(name, faults, strike, calm)

    def _change_a_clock(self, offset: str) -> bool:
        self.fleet.change_a_clock(offset)
        return True


def _filled(full: Path) -> bool:
    full.touch()
    return True


def _killed(server: Postgres) -> bool:
    server.kill()
    return True


def run(weather: Weather, folder: Path) -> Report:
    report = Report()
    began = time.monotonic()
    under_way = Run(weather, folder)
    with ExitStack() as stack:
        under_way.prepare(stack)
        if not under_way.weather_passes():
            report.problems.append("not done in time")
        under_way.calm()
        under_way.fleet.end()
        report.kills, report.faults = under_way.fleet.kills, under_way.faults
        judge(
            report,
            under_way.catalogue,
            under_way.blobs,
            under_way.videos,
            folder,
            under_way.fleet.killed_at_s,
        )
    report.seconds = time.monotonic() - began
    return report


def fair_weather(weather: Weather, folder: Path) -> Report:
    """A run of the same film in which nothing happens."""
    fair = replace(weather, videos=1, kills=False, outages=False, clocks=False, database="sqlite", store="local")
    (folder / "fair").mkdir()
    return run(replace(fair, storm_s=0), folder / "fair")


def compared(weather: Weather, folder: Path, undisturbed: Report | None = None) -> Report:
    """`run`, and its results held against those of a run without any disturbance."""
    if undisturbed is None:
        undisturbed = fair_weather(weather, folder)
    (folder / "storm").mkdir()
    report = run(weather, folder / "storm")
    report.problems += [f"in fair weather: {problem}" for problem in undisturbed.problems]
    report.problems += [f"not the same bytes: {name}" for name in report.differences(undisturbed)]
    return report


def make_film(path: Path, seconds: int = 12) -> Path:
    """A small test picture with a sound: two chunks."""
    argv = [str(find_tools().ffmpeg), "-loglevel", "error"]
    argv += ["-f", "lavfi", "-i", f"testsrc2=size=426x240:rate=25:duration={seconds}"]
    argv += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path)]
    subprocess.run(argv, check=True)
    return path


def in_memory_if_it_fits() -> None:
    """Temporary files go to memory where there is room for them: what is tested is not the disk."""
    shared = Path("/dev/shm")
    if os.access(shared, os.W_OK) and shutil.disk_usage(shared).free >= LEAST_MEMORY_BYTES:
        tempfile.tempdir = str(shared)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=350)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--every", type=float, default=1.0, dest="every_s")
    parser.add_argument("--every-jobs", type=int, default=40)
    parser.add_argument("--lease", type=int, default=20_000, dest="lease_ms")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="postgres")
    parser.add_argument("--store", choices=["local", "s3"], default="local")
    parser.add_argument("--outages", action="store_true", help="PostgreSQL is killed, the disk is full")
    parser.add_argument("--clocks", action="store_true", help="Workers' clocks jump by an hour (libfaketime)")
    parser.add_argument(
        "--film", type=Path, help="A film to be encoded, in place of made-up results; made: a test picture"
    )
    parser.add_argument("--storm", type=float, default=900, dest="storm_s")
    parser.add_argument("--patience", type=float, default=3600, dest="patience_s")
    parser.add_argument("--keep", type=Path, help="Leave everything in this folder")
    options = vars(parser.parse_args()) | {"clock_look_s": 1}
    keep = options.pop("keep")
    in_memory_if_it_fits()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        if keep is not None:
            keep.mkdir(parents=True)
        if options["film"] == Path("made"):
            options["film"] = make_film(Path(folder) / "film.mp4")
        report = compared(Weather(**options), keep or Path(folder))
    print(report.line())
    for problem in report.problems[:20]:
        print(f"  {problem}")
    return 1 if report.problems or report.lost or report.committed_twice else 0


if __name__ == "__main__":
    sys.exit(main())
