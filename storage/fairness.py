"""Whose turn it is: lanes with guaranteed shares, then tenants by what they have used, then jobs by deadline. Pure.

Nothing pre-empts a running chunk, so fairness is made where work is handed out. Three questions, one after the other:

1. **Which lane?** The most urgent one that has work, unless a less urgent lane that has work got less than its guaranteed
   share of what was handed out lately: then that lane. So bulk work crawls on under any load, and never more than that.
2. **Which tenant?** Start-time fair queueing (Goyal, Vin, Cheng 1996): every claim moves its tenant's virtual time on by the
   job's estimated CPU time over the tenant's weight, and the least virtual time goes first. The estimate is corrected by
   the measurement at the commit. Charging CPU time, not jobs, is the point: a chunk of 4K costs a hundred times a chunk of
   240p. A tenant that was idle starts where the lane is now, less a small credit: idling earns next to nothing, and work
   that was done while nobody else waited is not held against anybody.
3. **Which job?** The earliest deadline: when the job would be due if its video had one CPU to itself from the moment it was
   uploaded (`due_at_ms`). Short videos overtake long ones, early chunks come before late ones, and everything ages.

State is a handful of numbers per lane and tenant, kept by the catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from storage.ids import TenantId
from storage.jobs import LANES_BY_URGENCY, Lane

DEFAULT_SHARES: Mapping[Lane, float] = {Lane.INTERACTIVE: 0.15, Lane.STANDARD: 0.15, Lane.BULK: 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class FairPolicy:
    """``shares``: of all work, what a lane gets at least while it has any (they sum up to less than 1; the most urgent lane
    with work gets the rest). ``weights``: of tenants, 1 where not named. ``max_running``: jobs of one tenant at once; 0: any
    number. ``memory_cpu_ms``: how much handed-out work the lanes' shares are judged by. ``patience_cpu_ms``: how much a lane
    must be owed before it goes ahead of more urgent ones. ``credit_cpu_ms``: how far a tenant that comes back may be ahead
    of those who were there."""

    shares: Mapping[Lane, float] = field(default_factory=lambda: DEFAULT_SHARES)
    weights: Mapping[TenantId, float] = field(default_factory=dict)
    max_running: int = 0
    memory_cpu_ms: int = 30 * 60_000
    patience_cpu_ms: int = 20_000
    credit_cpu_ms: int = 30_000

    def __post_init__(self) -> None:
        if any(share < 0 for share in self.shares.values()) or sum(self.shares.values()) >= 1:
            raise ValueError("guaranteed shares are not negative and leave something over")
        if any(weight <= 0 for weight in self.weights.values()):
            raise ValueError("weights are positive")
        if self.max_running < 0 or self.memory_cpu_ms < 1 or min(self.credit_cpu_ms, self.patience_cpu_ms) < 0:
            raise ValueError("limits are not negative")

    def weight(self, tenant: TenantId) -> float:
        return self.weights.get(tenant, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneUse:
    """``used_cpu_ms``: handed out to the lane lately, fading. ``virtual_ms``: the start tag of the last tenant served."""

    used_cpu_ms: float = 0.0
    virtual_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A tenant with work in a lane: its virtual time (None: never served), and when its first job there is due."""

    tenant: TenantId
    virtual_ms: int | None
    due_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A tenant's turn: ``start_ms`` is its start tag, from which it is charged."""

    tenant: TenantId
    start_ms: int


def lane_order(lanes: Iterable[Lane], uses: Mapping[Lane, LaneUse], policy: FairPolicy) -> tuple[Lane, ...]:
    """``lanes`` in the order in which they are asked for work: those that are owed some of their guaranteed share first, the
    one that is owed most ahead, then by urgency."""
    total = sum(use.used_cpu_ms for use in uses.values())

    def rank(lane: Lane) -> tuple[float, int]:
        used = uses[lane].used_cpu_ms if lane in uses else 0.0
        owed = policy.shares.get(lane, 0.0) * total - used
        return -owed if owed > policy.patience_cpu_ms else 0.0, LANES_BY_URGENCY.index(lane)

    return tuple(sorted(lanes, key=rank))


def tenant_order(
    waiting: Iterable[Waiting], lane: LaneUse, policy: FairPolicy, running: Mapping[TenantId, int]
) -> tuple[Turn, ...]:
    """Whose turns they are in a lane: least virtual time first, then the earliest deadline. Tenants at their cap have none."""
    floor_ms = lane.virtual_ms - policy.credit_cpu_ms
    turns = []
    for one in waiting:
        if policy.max_running and running.get(one.tenant, 0) >= policy.max_running:
            continue
        start_ms = max(one.virtual_ms or 0, floor_ms, 0)
        turns.append((start_ms, one.due_at_ms, one.tenant))
    return tuple(Turn(tenant=tenant, start_ms=start_ms) for start_ms, _, tenant in sorted(turns))


def charge_ms(cost_cpu_ms: int, tenant: TenantId, policy: FairPolicy) -> int:
    """By how much ``cost_cpu_ms`` moves a tenant's virtual time on; negative for a correction downwards."""
    return round(cost_cpu_ms / policy.weight(tenant))


def fading(cost_cpu_ms: int, policy: FairPolicy) -> float:
    """By what the use of all lanes is multiplied when ``cost_cpu_ms`` is handed out to one of them."""
    return math.exp(-cost_cpu_ms / policy.memory_cpu_ms)


def due_at_ms(uploaded_at_ms: int, work_before_cpu_ms: int, cost_cpu_ms: int) -> int:
    """When a job is due whose video was uploaded at ``uploaded_at_ms`` and has ``work_before_cpu_ms`` of work before it."""
    return uploaded_at_ms + work_before_cpu_ms + cost_cpu_ms


def jain_index(allocations: Iterable[float]) -> float:
    """Jain's index of fairness: 1 if all got the same, 1/n if one of n got everything."""
    shares = tuple(allocations)
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
