"""Fairness on paper: what the policy promises, in a seeded simulation of a fleet and in small laws."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.fairness import FairPolicy, LaneUse, Waiting, jain_index, lane_order, tenant_order
from storage.ids import TenantId
from storage.jobs import LANES_BY_URGENCY, JobKind, Lane, NewJob
from tests.builders import a_source, a_video_track, an_audio_track
from tests.fair_simulation import Film, Story, percentile, simulate
from workers.flow import plan_jobs
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import Policy

HOUR_MS = 3_600_000
GENERAL = LANES_BY_URGENCY
FLEET = [GENERAL, GENERAL, GENERAL, GENERAL, (Lane.PLAYABLE,)]
BIG = TenantId("studio")


def jobs_of(width: int, height: int, seconds: int, lane: Lane = Lane.STANDARD) -> tuple[NewJob, ...]:
    rate = Fraction(25)
    source = a_source(
        duration=Fraction(seconds),
        video=a_video_track(width=width, height=height, frame_rate=rate, duration=Fraction(seconds)),
        audio=(an_audio_track(),),
    )
    return plan_jobs(plan_encode(source, Policy()), lane)


@pytest.fixture(scope="module")
def film_in_4k() -> Film:
    return Film(tenant=BIG, uploaded_at_ms=0, jobs=jobs_of(3840, 2160, 12 * 3600))


@pytest.fixture(scope="module")
def clips() -> list[Film]:
    """50 tenants, a one-minute clip of 1080p each, over ten minutes that begin while the film is well under way."""
    seeded = random.Random(7)
    jobs = jobs_of(1920, 1080, 60)
    return [
        Film(tenant=TenantId(f"tenant-{number}"), uploaded_at_ms=HOUR_MS + seeded.randrange(600_000), jobs=jobs)
        for number in range(50)
    ]


def p95_s(stories: list[Story]) -> float:
    return percentile([story.to_playable_ms / 1000 for story in stories], 0.95)


def test_a_film_of_twelve_hours_does_not_make_fifty_clips_wait(film_in_4k: Film, clips: list[Film]) -> None:
    policy = FairPolicy()
    alone = simulate(clips, FLEET, policy)
    (big_alone,) = simulate([film_in_4k], FLEET, policy)
    big, *together = simulate([film_in_4k, *clips], FLEET, policy)

    slowdown = big.to_ready_ms / big_alone.to_ready_ms
    speeds = [before.to_ready_ms / after.to_ready_ms for before, after in zip(alone, together, strict=True)]
    speeds.append(1 / slowdown)
    print(
        f"\np95 time to playable of the clips: {p95_s(alone):.1f} s alone, {p95_s(together):.1f} s beside the film; "
        f"the film: {big_alone.to_ready_ms / HOUR_MS:.2f} h alone, {big.to_ready_ms / HOUR_MS:.2f} h beside the clips; "
        f"Jain index of how fast everybody was, against being alone: {jain_index(speeds):.3f}"
    )
    assert p95_s(together) <= 2 * p95_s(alone)
    # The clips' whole work, done before the film's, is the most that it may lose.
    clips_work_ms = sum(job.cost_cpu_ms for clip in clips for job in clip.jobs)
    assert big.to_ready_ms <= big_alone.to_ready_ms + clips_work_ms
    assert all(story.ready_at_ms is not None for story in (big, *together))


def test_the_simulation_can_tell_who_is_favoured(film_in_4k: Film, clips: list[Film]) -> None:
    _, *fair = simulate([film_in_4k, *clips], FLEET, FairPolicy())
    _, *unfair = simulate([film_in_4k, *clips], FLEET, FairPolicy(weights={BIG: 1000.0}))
    assert percentile([one.to_ready_ms for one in unfair], 0.5) > 2 * percentile([one.to_ready_ms for one in fair], 0.5)


def test_short_videos_overtake_a_long_one_of_the_same_tenant(film_in_4k: Film, clips: list[Film]) -> None:
    same = [Film(tenant=BIG, uploaded_at_ms=clip.uploaded_at_ms, jobs=clip.jobs) for clip in clips]
    big, *others = simulate([film_in_4k, *same], FLEET, FairPolicy())
    assert max(story.ready_at_ms or 0 for story in others) < big.to_ready_ms / 4


@pytest.mark.parametrize("seed", range(5))
def test_nobody_starves_in_any_mixture(seed: int) -> None:
    seeded = random.Random(seed)
    films = [
        Film(
            tenant=TenantId(f"tenant-{seeded.randrange(8)}"),
            uploaded_at_ms=seeded.randrange(HOUR_MS),
            jobs=jobs_of(
                *seeded.choice([(640, 360), (1920, 1080)]),
                seeded.choice([10, 60, 600]),
                seeded.choice(LANES_BY_URGENCY[1:]),
            ),
        )
        for _ in range(60)
    ]
    stories = simulate(films, [GENERAL, GENERAL], FairPolicy())
    assert all(story.ready_at_ms is not None for story in stories)


def test_bulk_work_crawls_on_under_any_load_and_gets_no_more_than_its_share() -> None:
    policy = FairPolicy()
    chunk = NewJob(kind=JobKind.ENCODE, lane=Lane.BULK, cost_cpu_ms=30_000)
    urgent = NewJob(kind=JobKind.ENCODE, lane=Lane.INTERACTIVE, cost_cpu_ms=30_000)
    bulk = Film(tenant=TenantId("archive"), uploaded_at_ms=0, jobs=(chunk,) * 40)
    flood = [Film(tenant=TenantId(f"t{number}"), uploaded_at_ms=0, jobs=(urgent,) * 40) for number in range(10)]
    archive, *others = simulate([bulk, *flood], [GENERAL, GENERAL], policy)
    assert archive.ready_at_ms is not None
    # What its forty chunks would take if the lane got exactly its share of two workers, and the rest after the flood.
    flood_end = max(story.ready_at_ms or 0 for story in others)
    total_ms = 11 * 40 * 30_000 / 2
    assert flood_end >= total_ms * (1 - 2 * policy.shares[Lane.BULK])
    assert flood_end < archive.ready_at_ms


def test_a_weight_of_three_gets_three_times_the_work() -> None:
    policy = FairPolicy(weights={TenantId("a"): 3.0})
    chunk = NewJob(kind=JobKind.ENCODE, lane=Lane.STANDARD, cost_cpu_ms=10_000)
    films = [Film(tenant=TenantId(name), uploaded_at_ms=0, jobs=(chunk,) * 90) for name in ("a", "b")]
    a, b = simulate(films, [GENERAL], policy)
    # While both had work, a got three of four turns: it ends after 90 + 30 chunks, b after all 180.
    assert a.to_ready_ms == pytest.approx(120 * 10_000, rel=0.1)
    assert b.to_ready_ms == pytest.approx(180 * 10_000, rel=0.1)


def test_a_cap_holds_a_tenant_to_so_many_jobs_at_once() -> None:
    policy = FairPolicy(max_running=1)
    chunk = NewJob(kind=JobKind.ENCODE, lane=Lane.STANDARD, cost_cpu_ms=10_000)
    (story,) = simulate([Film(tenant=BIG, uploaded_at_ms=0, jobs=(chunk,) * 10)], [GENERAL] * 4, policy)
    assert story.to_ready_ms >= 10 * 10_000


def test_idling_earns_no_more_than_the_credit() -> None:
    policy = FairPolicy(credit_cpu_ms=5_000)
    waiting = [
        Waiting(tenant=TenantId("back"), virtual_ms=10, due_at_ms=9),
        Waiting(tenant=TenantId("new"), virtual_ms=None, due_at_ms=8),
        Waiting(tenant=TenantId("busy"), virtual_ms=99_000, due_at_ms=1),
    ]
    turns = tenant_order(waiting, LaneUse(virtual_ms=100_000), policy, {})
    assert [(turn.tenant, turn.start_ms) for turn in turns] == [("new", 95_000), ("back", 95_000), ("busy", 99_000)]


@given(used=st.lists(st.floats(0, 1e7), min_size=4, max_size=4))
def test_a_lane_goes_ahead_only_when_it_is_owed(used: list[float]) -> None:
    policy = FairPolicy()
    uses = {lane: LaneUse(used_cpu_ms=its) for lane, its in zip(LANES_BY_URGENCY, used, strict=True)}
    order = lane_order(LANES_BY_URGENCY, uses, policy)
    assert sorted(order) == sorted(LANES_BY_URGENCY)
    ahead = order[: order.index(Lane.PLAYABLE)]
    total = sum(used)
    assert all(uses[lane].used_cpu_ms < policy.shares[lane] * total for lane in ahead)


def test_equal_shares_have_an_index_of_one_and_one_taker_of_four_a_quarter() -> None:
    assert jain_index([3, 3, 3]) == 1
    assert jain_index([1, 0, 0, 0]) == 0.25
