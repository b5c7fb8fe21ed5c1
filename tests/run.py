"""Runs the suites one after the other, and tells what each took of its budget.

``python -m tests.run [SUITE…]``: all of them by default. Budgets are wall time on two cores; one that is exceeded is
marked, not failed: a busy machine is no bug.

Suites that play, upload and encode in real time get a second look: up to `SECOND_LOOKS` tests that failed are run once
more, alone, and those that pass then are named in the closing table. What must never happen even once (`tests/chaos`) gets
none.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = ("storage", "packager", "workers", "upload_api", "origin", "infra", "tests")
SLOW = "integration or e2e or ceph or journey"
SECOND_LOOKS = 4
SLOWEST = ("--durations=12", "--durations-min=4")
"""Where the time goes, for whoever looks for some."""
STRICT = "tests/chaos/"
_CLOSING = re.compile(r"\bin \d+[.\d]*s\b")
_FELL = re.compile(r"^(?:FAILED|ERROR) (\S+::\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    name: str
    budget_s: int
    commands: tuple[tuple[str, ...], ...]
    second_look: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    suite: Suite
    seconds: float = 0.0
    failed: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    fell: list[str] = field(default_factory=list)
    unsteady: list[str] = field(default_factory=list)


def _module(*argv: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *argv)


def _pytest(marks: str, *, processes: str, folders: Sequence[str] = ("tests",)) -> tuple[str, ...]:
    # Tests of one file stay together: they share the services that they started.
    return _module("pytest", *folders, "-q", "-m", marks, "-n", processes, "--dist", "loadfile", *SLOWEST)


SUITES = (
    Suite(
        name="lint",
        budget_s=15,
        commands=(
            _module("ruff", "check", *SOURCES),
            _module("ruff", "format", "--check", *SOURCES),  # names what it would change
        ),
    ),
    Suite(name="types", budget_s=90, commands=(_module("mypy"),)),
    Suite(
        name="walls",
        budget_s=15,
        commands=((str(Path(sys.executable).with_name("lint-imports")),),),
    ),
    Suite(name="unit", budget_s=200, commands=(_pytest(f"not ({SLOW})", processes="auto"),)),
    Suite(
        name="integration",
        budget_s=600,
        commands=(_pytest("integration and not e2e and not ceph", processes="2"),),
        second_look=True,
    ),
    Suite(name="e2e", budget_s=600, commands=(_pytest("e2e", processes="2"),), second_look=True),
)


def run(suite: Suite) -> Outcome:
    print(f"\n=== {suite.name}", flush=True)
    outcome = Outcome(suite=suite)
    began = time.monotonic()
    for command in suite.commands:
        outcome.failed |= not _succeeds(command, outcome)
    if outcome.failed and suite.second_look and 0 < len(outcome.fell) <= SECOND_LOOKS:
        _look_again(outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def _succeeds(command: tuple[str, ...], outcome: Outcome) -> bool:
    """Runs ``command`` and reads what pytest says: how many passed, and the names of those that did not."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if fell := _FELL.match(line):
                outcome.fell.append(fell[1])
            if _CLOSING.search(line):
                found = re.findall(r"(\d+) (passed|failed|skipped)", line)
                outcome.counts = {word: int(number) for number, word in found}
    return process.returncode == 0


def _look_again(outcome: Outcome) -> None:
    again = tuple(name for name in outcome.fell if not name.startswith(STRICT))
    if not again:
        return
    print(f"\n=== {outcome.suite.name}, a second look at {len(again)}", flush=True)
    second = Outcome(suite=outcome.suite)
    second.failed = not _succeeds(_module("pytest", "-q", *again), second)
    outcome.unsteady = [name for name in again if name not in second.fell] if second.counts.get("passed") else []
    outcome.counts["passed"] = outcome.counts.get("passed", 0) + len(outcome.unsteady)
    outcome.counts["failed"] = outcome.counts.get("failed", 0) - len(outcome.unsteady)
    outcome.failed = second.failed or len(again) < len(outcome.fell)


def render(outcomes: Sequence[Outcome]) -> str:
    """The closing table, and the line that counts all tests."""
    rows = []
    for one in outcomes:
        counts = ", ".join(f"{number} {word}" for word, number in one.counts.items())
        verdict = "FAILED" if one.failed else "ok"
        late = "  over budget" if one.seconds > one.suite.budget_s else ""
        rows.append(f"{one.suite.name:12} {verdict:7} {one.seconds:6.1f} s of {one.suite.budget_s:4} s  {counts}{late}")
    total = {word: sum(one.counts.get(word, 0) for one in outcomes) for word in ("passed", "failed", "skipped")}
    rows += [f"unsteady: {name} passed only at a second look" for one in outcomes for name in one.unsteady]
    return "\n".join([*rows, ", ".join(f"{number} {word}" for word, number in total.items())])


def main(names: Sequence[str]) -> int:
    known = {suite.name: suite for suite in SUITES}
    if unknown := [name for name in names if name not in known]:
        print(f"There is no suite {unknown[0]}; the suites are {', '.join(known)}.", file=sys.stderr)
        return 1
    outcomes = [run(known[name]) for name in (names or known)]
    print("\n" + render(outcomes), flush=True)
    return 1 if any(one.failed for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
