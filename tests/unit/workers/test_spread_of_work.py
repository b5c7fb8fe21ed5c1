"""How a film's work spreads over workers, by simulation: same seed, same answer."""

from __future__ import annotations

import pytest

from storage.jobs import Lane
from tests.bench.simulate import Outcome, a_film, simulate
from workers.flow import plan_jobs
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import DEFAULT_POLICY

PLAN = plan_encode(a_film(12, 2160), DEFAULT_POLICY)
JOBS = plan_jobs(PLAN, Lane.STANDARD, in_parts=True)


def run(workers: int, seed: int) -> Outcome:
    return simulate(JOBS, workers, seed=seed, segments=PLAN.segment_count)


@pytest.mark.parametrize(("workers", "least"), [(1, 0.97), (8, 0.95), (256, 0.85)])
@pytest.mark.parametrize("seed", [1, 2])
def test_twelve_hours_of_4k_keep_all_workers_busy(workers: int, least: float, seed: int) -> None:
    assert run(workers, seed).efficiency >= least


def test_a_simulation_repeats_itself() -> None:
    assert run(16, 3) == run(16, 3)
    assert run(16, 3) != run(16, 4)


def test_more_workers_do_not_make_it_playable_later() -> None:
    assert run(64, 1).playable_s <= run(1, 1).playable_s
