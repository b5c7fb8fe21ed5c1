"""What a chaos run is judged by: the catalogue, the store, and a ledger that is no part of the system."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from storage.audit import FindingKind
from storage.blobs import BlobStore
from storage.catalogue.sql import SqlCatalogue
from storage.ids import VideoId
from storage.lifecycle import VideoState
from tests.fair_simulation import percentile
from workers.audit import audit


@dataclass(slots=True, kw_only=True)
class Report:
    """``published``: the bytes behind every public name, ``{number of the video}/{name}``."""

    jobs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    committed_twice: int = 0
    refused: int = 0
    re_executed: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    published: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """In the form of docs/benchmarks.md."""
        p99 = f"{percentile(self.recoveries_s, 0.99):.1f} s" if self.recoveries_s else "–"
        return (
            f"{self.jobs} jobs, {self.kills.total()} kills ({_counted(self.kills)}), {self.faults.total()} faults"
            f" ({_counted(self.faults)}), lost {self.lost}, committed twice {self.committed_twice}, late commits refused"
            f" {self.refused}, re-executed {self.re_executed}, p99 recovery {p99}, {self.seconds:.0f} s"
        )

    def differences(self, undisturbed: Report) -> list[str]:
        """Names whose bytes are not those of a video of the same source that nothing happened to."""
        expected = {name.partition("/")[2]: body for name, body in undisturbed.published.items()}
        videos: defaultdict[str, set[str]] = defaultdict(set)
        for name in self.published:
            number, _, rest = name.partition("/")
            videos[number].add(rest)
        return [name for name, body in self.published.items() if expected.get(name.partition("/")[2]) != body] + [
            f"{number}/{name} is missing" for number, names in videos.items() for name in expected.keys() - names
        ]


def _counted(what: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(what.items())) or "none"


def judge(
    report: Report,
    catalogue: SqlCatalogue,
    blobs: BlobStore,
    videos: Sequence[VideoId],
    folder: Path,
    killed_at_s: Mapping[int, float],
) -> None:
    """Fill in ``report`` once everything is at rest. ``killed_at_s``: by process id, on the monotonic clock."""
    report.jobs = len(catalogue.jobs(limit=10**6))
    unfinished = [video for video in videos if catalogue.video(video).state is not VideoState.READY]
    found = audit(catalogue, blobs, grace_ms=0)
    report.lost = len(unfinished) + len(found.of(FindingKind.LOST, FindingKind.STUCK))
    report.problems += [it.sentence for it in found.of(FindingKind.LOST, FindingKind.STUCK, FindingKind.DOUBLED)]
    for video in unfinished:
        told = catalogue.video(video)
        report.problems.append(f"{video} is {told.state}: {told.reason}")
        report.problems += [
            f"  {job.kind} {job.state} attempts {job.attempts}, due in {job.run_after_ms - catalogue.now_ms()} ms, {job.reason}"
            for job in catalogue.jobs(video=video)
            if job.state not in ("done", "cancelled")
        ]
    _read_ledger(report, folder / "ledger", killed_at_s)
    for number, video in enumerate(videos):
        for name in catalogue.asset(catalogue.video(video).asset).names:
            report.published[f"{number}/{name.name}"] = blobs.get(name.key)
    if not killed_at_s:
        report.problems += [f"scratch left: {left.name}" for left in (folder / "scratch" / "jobs").glob("*")]


def begun(folder: Path) -> Iterator[tuple[int, str, int]]:
    """The process, the job and the token of every turn that began so far."""
    if not (folder / "ledger").exists():
        return
    for line in (folder / "ledger").read_text().splitlines():
        _, pid, what, *rest = line.split()
        if what == "began":
            yield int(pid), rest[0], int(rest[1])


def _read_ledger(report: Report, ledger: Path, killed_at_s: Mapping[int, float]) -> None:
    began: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    committed: Counter[str] = Counter()
    for line in ledger.read_text().splitlines():
        at_ms, pid, what, *rest = line.split()
        match what:
            case "began":
                began[rest[0]].append((int(at_ms) / 1000, int(pid)))
            case "committed":
                committed[rest[0]] += 1
            case "refused":
                report.refused += 1
    report.committed_twice = sum(count > 1 for count in committed.values())
    report.re_executed = sum(len(its) - 1 for its in began.values())
    for its in began.values():
        for (_, pid), (again_s, _) in pairwise(its):
            if pid in killed_at_s and again_s > killed_at_s[pid]:
                report.recoveries_s.append(again_s - killed_at_s[pid])
