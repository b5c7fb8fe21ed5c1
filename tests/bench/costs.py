"""What jobs cost, against what was estimated: real films, encoded here, for `tests.bench.simulate`.

    python -m tests.bench.costs FILM…

Every film goes the whole way in this process, one job after the other. How much more or less CPU time each job took than
`workers.flow` had estimated is added to ``measured_costs.json`` beside this file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from infra.composition import migrate, runner_parts
from infra.settings import Configured, StoreKind
from storage.jobs import Encoded, JobKind, Outcome, Thumbnailed
from workers.inline import encode_inline, ingest
from workers.steps.context import Step, StepContext

KEPT = Path(__file__).with_name("measured_costs.json")
Ratios = dict[str, dict[str, list[float]]]
"""By film and kind of job: CPU time over its estimate."""


def measured_ratios() -> Mapping[str, tuple[float, ...]]:
    """All that was measured so far, by kind of job."""
    kept: Ratios = json.loads(KEPT.read_text())
    kinds = {kind for film in kept.values() for kind in film}
    return {kind: tuple(ratio for film in kept.values() for ratio in film.get(kind, ())) for kind in sorted(kinds)}


def measure(film: Path, folder: Path) -> dict[str, list[float]]:
    settings = dataclasses.replace(
        Configured.from_env({}).settings,
        database_url=f"sqlite:///{folder / 'catalogue.sqlite3'}",
        broker_url="",
        store=StoreKind.LOCAL,
        local_store_dir=folder / "objects",
        scratch_dir=folder / "scratch",
    )
    migrate(settings)
    parts = runner_parts(settings)
    found: dict[str, list[float]] = {}

    def watched(kind: JobKind, step: Step) -> Step:
        def run(ctx: StepContext) -> Outcome:
            outcome = step(ctx)
            if isinstance(outcome, (Encoded, Thumbnailed)) and ctx.job.cost_cpu_ms:
                found.setdefault(str(kind), []).append(round(outcome.cpu_ms / ctx.job.cost_cpu_ms, 3))
            return outcome

        return run

    parts = dataclasses.replace(parts, steps={kind: watched(kind, step) for kind, step in parts.steps.items()})
    done = encode_inline(parts, ingest(parts.catalogue, parts.blobs, film), threads=1)
    parts.catalogue.close()
    print(f"{film.name}: {done.state}, {found}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="+")
    for film in parser.parse_args().films:
        with tempfile.TemporaryDirectory(prefix="fishladder-bench-") as folder:
            kept: Ratios = json.loads(KEPT.read_text()) if KEPT.exists() else {}
            kept[film.stem] = measure(film.absolute(), Path(folder))
            KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
