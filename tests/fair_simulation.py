"""A fleet on paper: workers, tenants and their videos as a discrete-event simulation over `storage.fairness`.

Pure and seeded. Videos go the way of real ones: an inspection, the jobs that `workers.flow` makes of their plan, a publishing
after every commit. A worker does one second of estimated CPU time in one second.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from storage.fairness import FairPolicy, LaneUse, Turn, Waiting, charge_ms, due_at_ms, fading, lane_order, tenant_order
from storage.ids import TenantId
from storage.jobs import LANES_BY_URGENCY, JobKind, Lane, NewJob

INSPECT = NewJob(kind=JobKind.INSPECT, lane=Lane.PLAYABLE, cost_cpu_ms=500)
PUBLISH = NewJob(kind=JobKind.PUBLISH, lane=Lane.PLAYABLE, cost_cpu_ms=200)


def makes_playable(job: NewJob) -> bool:
    """Whether a film waits for ``job`` before it plays: the first chunk in the fast-start rungs, the first of each sound."""
    return job.lane is Lane.PLAYABLE and 0 in (job.payload.get("chunk"), job.payload.get("piece"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A video to come: whose, when, and the jobs after its inspection."""

    tenant: TenantId
    uploaded_at_ms: int
    jobs: tuple[NewJob, ...]


@dataclass(slots=True, kw_only=True)
class Story:
    """What became of a film."""

    film: Film
    left: int
    before_playable: int
    playable_at_ms: int | None = None
    ready_at_ms: int | None = None
    publishing: bool = False

    @property
    def to_playable_ms(self) -> int:
        assert self.playable_at_ms is not None, "it starved"
        return self.playable_at_ms - self.film.uploaded_at_ms

    @property
    def to_ready_ms(self) -> int:
        assert self.ready_at_ms is not None, "it starved"
        return self.ready_at_ms - self.film.uploaded_at_ms


@dataclass(slots=True)
class FairQueue:
    """The queue of `storage.catalogue.sql.turns`, in memory."""

    policy: FairPolicy
    ready: dict[Lane, dict[TenantId, list[tuple[int, int, NewJob, Story]]]] = field(
        default_factory=lambda: {lane: defaultdict(list) for lane in LANES_BY_URGENCY}
    )
    uses: dict[Lane, LaneUse] = field(default_factory=dict)
    virtual_ms: dict[TenantId, int] = field(default_factory=dict)
    running: dict[TenantId, int] = field(default_factory=lambda: defaultdict(int))
    added: int = 0

    def add(self, story: Story, jobs: Sequence[NewJob], now_ms: int) -> None:
        before_ms = 0
        for job in jobs:
            due_ms = due_at_ms(story.film.uploaded_at_ms, before_ms, job.cost_cpu_ms)
            before_ms += job.cost_cpu_ms
            self.added += 1
            entry = (0 if job.kind is JobKind.PUBLISH else due_ms, self.added, job, story)
            heapq.heappush(self.ready[job.lane][story.film.tenant], entry)

    def claim(self, lanes: Sequence[Lane]) -> tuple[NewJob, Story] | None:
        for lane in lane_order(lanes, self.uses, self.policy):
            waiting = [
                Waiting(tenant=tenant, virtual_ms=self.virtual_ms.get(tenant), due_at_ms=queue[0][0])
                for tenant, queue in self.ready[lane].items()
                if queue
            ]
            for turn in tenant_order(waiting, self.uses.get(lane, LaneUse()), self.policy, self.running):
                *_, job, story = heapq.heappop(self.ready[lane][turn.tenant])
                self._charge(lane, turn, job.cost_cpu_ms)
                return job, story
        return None

    def _charge(self, lane: Lane, turn: Turn, cost_cpu_ms: int) -> None:
        self.virtual_ms[turn.tenant] = turn.start_ms + charge_ms(cost_cpu_ms, turn.tenant, self.policy)
        self.running[turn.tenant] += 1
        fade = fading(cost_cpu_ms, self.policy)
        for one in LANES_BY_URGENCY:
            use = self.uses.get(one, LaneUse())
            mine = one is lane
            self.uses[one] = LaneUse(
                used_cpu_ms=use.used_cpu_ms * fade + cost_cpu_ms * mine,
                virtual_ms=max(use.virtual_ms, turn.start_ms) if mine else use.virtual_ms,
            )


def simulate(films: Sequence[Film], workers: Sequence[Sequence[Lane]], policy: FairPolicy) -> list[Story]:
    """What becomes of ``films`` with ``workers``, each of which serves its lanes."""
    queue = FairQueue(policy)
    stories = [
        Story(film=film, left=len(film.jobs), before_playable=sum(map(makes_playable, film.jobs))) for film in films
    ]
    arrivals = sorted(((story.film.uploaded_at_ms, number) for number, story in enumerate(stories)), reverse=True)
    busy: list[tuple[int, int, int, NewJob, Story]] = []  # (end, order, worker, job, story)
    idle = set(range(len(workers)))
    now_ms = order = 0
    while arrivals or busy:
        now_ms = min(queue_of[at][0] for queue_of, at in ((arrivals, -1), (busy, 0)) if queue_of)
        while arrivals and arrivals[-1][0] <= now_ms:
            queue.add(stories[arrivals[-1][1]], [INSPECT], now_ms)
            arrivals.pop()
        while busy and busy[0][0] <= now_ms:
            _, _, worker, job, story = heapq.heappop(busy)
            idle.add(worker)
            queue.running[story.film.tenant] -= 1
            _finish(queue, job, story, now_ms)
        for worker in sorted(idle, key=lambda one: len(workers[one])):
            if (claimed := queue.claim(workers[worker])) is not None:
                order += 1
                idle.discard(worker)
                job, story = claimed
                story.publishing &= job.kind is not JobKind.PUBLISH
                heapq.heappush(busy, (now_ms + job.cost_cpu_ms, order, worker, job, story))
    return stories


def _finish(queue: FairQueue, job: NewJob, story: Story, now_ms: int) -> None:
    match job.kind:
        case JobKind.INSPECT:
            queue.add(story, story.film.jobs, now_ms)
        case JobKind.PUBLISH:
            if story.before_playable == 0 and story.playable_at_ms is None:
                story.playable_at_ms = now_ms
            if story.left == 0 and story.ready_at_ms is None:
                story.ready_at_ms = now_ms
        case _:
            story.left -= 1
            story.before_playable -= makes_playable(job)
            if not story.publishing:
                story.publishing = True
                queue.add(story, [PUBLISH], now_ms)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def by_tenant(stories: Sequence[Story]) -> Mapping[TenantId, list[Story]]:
    grouped: defaultdict[TenantId, list[Story]] = defaultdict(list)
    for story in stories:
        grouped[story.film.tenant].append(story)
    return grouped
