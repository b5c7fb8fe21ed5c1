"""Runs the suites one after the other, and tells what each took of its budget.

``python -m tests.run [SUITE…]``: all of them by default. Budgets are wall time on two cores; one that is exceeded is
marked, not failed: a busy machine is no bug.
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
SLOW = "integration or e2e or ceph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    name: str
    budget_s: int
    commands: tuple[tuple[str, ...], ...]


@dataclass(slots=True, kw_only=True)
class Outcome:
    suite: Suite
    seconds: float = 0.0
    failed: bool = False
    counts: dict[str, int] = field(default_factory=dict)


def _module(*argv: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *argv)


def _pytest(marks: str, *, processes: str, folders: Sequence[str] = ("tests",)) -> tuple[str, ...]:
    # Tests of one file stay together: they share the services that they started.
    return _module("pytest", *folders, "-q", "-m", marks, "-n", processes, "--dist", "loadfile")


SUITES = (
    Suite(
        name="lint",
        budget_s=15,
        commands=(
            _module("ruff", "check", "--quiet", *SOURCES),
            _module("ruff", "format", "--check", "--quiet", *SOURCES),
        ),
    ),
    Suite(name="types", budget_s=90, commands=(_module("mypy"),)),
    Suite(
        name="walls",
        budget_s=15,
        commands=((str(Path(sys.executable).with_name("lint-imports")),),),
    ),
    Suite(name="unit", budget_s=120, commands=(_pytest(f"not ({SLOW})", processes="auto"),)),
    Suite(name="integration", budget_s=600, commands=(_pytest("integration and not e2e and not ceph", processes="2"),)),
    Suite(name="e2e", budget_s=600, commands=(_pytest("e2e", processes="0"),)),
)


def run(suite: Suite) -> Outcome:
    print(f"\n=== {suite.name}", flush=True)
    outcome = Outcome(suite=suite)
    began = time.monotonic()
    for command in suite.commands:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.search(r"\bin \d+[.\d]*s\b", line):  # pytest's closing line
                outcome.counts = {
                    word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped)", line)
                }
        outcome.failed |= process.wait() != 0
    outcome.seconds = time.monotonic() - began
    return outcome


def render(outcomes: Sequence[Outcome]) -> str:
    """The closing table, and the line that counts all tests."""
    rows = []
    for one in outcomes:
        counts = ", ".join(f"{number} {word}" for word, number in one.counts.items())
        verdict = "FAILED" if one.failed else "ok"
        late = "  over budget" if one.seconds > one.suite.budget_s else ""
        rows.append(f"{one.suite.name:12} {verdict:7} {one.seconds:6.1f} s of {one.suite.budget_s:4} s  {counts}{late}")
    total = {word: sum(one.counts.get(word, 0) for one in outcomes) for word in ("passed", "failed", "skipped")}
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
