"""Whose turn it is, asked of the tables: `storage.fairness` decides, here it is given its numbers and kept what it charges.

Nothing here scans the queue. The tenants that wait in a lane are found by hopping along the index of ready jobs, one seek
for each, however many jobs they have. Numbers are read without locks: claims that run side by side may choose by numbers
that are a moment old, and all of them are charged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import sqlalchemy as sa

from storage.catalogue.sql.engine import Transaction, now_ms, upsert
from storage.catalogue.sql.rows import Row
from storage.catalogue.sql.tables import is_leased, is_ready, jobs, lane_turns, tenant_turns
from storage.fairness import FairPolicy, LaneUse, Turn, Waiting, charge_ms, fading, lane_order, tenant_order
from storage.ids import TenantId
from storage.jobs import LANES_BY_URGENCY, Lane


def next_turn(
    tx: Transaction, lanes: Sequence[Lane], recipes: Sequence[str] | None, policy: FairPolicy
) -> tuple[Row, Turn] | None:
    """The ready job whose turn it is, locked, and its tenant's turn; None if there is nothing to claim."""
    uses, with_work = lane_uses(tx)
    running = _running(tx) if policy.max_running else {}
    known = {} if recipes is None else {"recipes": list(recipes)}
    for lane in lane_order([lane for lane in lanes if lane in with_work], uses, policy):
        urgency = LANES_BY_URGENCY.index(lane)
        for turn in tenant_order(waiting(tx, lane), uses.get(lane, LaneUse()), policy, running):
            row = tx.first(best_of(bool(known)), now=tx.now, urgency=urgency, tenant=turn.tenant, **known)
            if row is not None:
                return row, turn
    return None


@cache  # building a statement costs more than running it
def best_of(of_known_recipes: bool) -> sa.Select[tuple[object, ...]]:
    """A tenant's claimable job with the earliest deadline. Claimers on PostgreSQL pass over rows that another is just
    taking; SQLite has one writer at a time anyway."""
    query = (
        sa.select(jobs)
        .where(
            is_ready,
            jobs.c.urgency == sa.bindparam("urgency"),
            jobs.c.tenant == sa.bindparam("tenant"),
            jobs.c.run_after_ms <= sa.bindparam("now"),
        )
        .order_by(jobs.c.due_at_ms, jobs.c.position, jobs.c.created_at_ms, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return query.where(jobs.c.recipe.in_(sa.bindparam("recipes", expanding=True))) if of_known_recipes else query


def lane_uses(tx: Transaction) -> tuple[dict[Lane, LaneUse], frozenset[Lane]]:
    """What lanes were handed lately, and those that have ready jobs."""
    rows = tx.all(_LANES)
    tx.told_time(rows[0].now_ms)
    uses = {
        Lane(row.lane): LaneUse(used_cpu_ms=row.used_cpu_ms, virtual_ms=row.virtual_ms)
        for row in rows
        if row.lane is not None
    }
    return uses, frozenset(lane for lane in LANES_BY_URGENCY if getattr(rows[0], f"has_{lane}"))


def _lanes() -> sa.Select[tuple[object, ...]]:
    """All that a claim asks of the lanes, in one look: a row for each that was handed anything, at least one."""
    with_work = (
        sa.select(jobs.c.id)
        .where(is_ready, jobs.c.urgency == sa.literal_column(str(urgency)))
        .exists()
        .label(f"has_{lane}")
        for urgency, lane in enumerate(LANES_BY_URGENCY)
    )
    now = sa.select(now_ms().label("now_ms"), *with_work).subquery("now")
    return sa.select(now, lane_turns).select_from(now.outerjoin(lane_turns, sa.true()))


_LANES = _lanes()


def waiting(tx: Transaction, lane: Lane) -> Iterator[Waiting]:
    """The tenants that have ready jobs in ``lane``."""
    for row in tx.all(waiting_tenants(lane)):
        yield Waiting(tenant=TenantId(row.tenant), virtual_ms=row.virtual_ms, due_at_ms=row.due_at_ms)


@cache
def waiting_tenants(lane: Lane) -> sa.Select[tuple[object, ...]]:
    """A loose index scan: each step seeks the first tenant after the last one."""
    in_lane = sa.and_(is_ready, jobs.c.urgency == LANES_BY_URGENCY.index(lane))
    hops = sa.select(sa.select(sa.func.min(jobs.c.tenant)).where(in_lane).scalar_subquery().label("tenant")).cte(
        "hops", recursive=True
    )
    following = (
        sa.select(sa.func.min(jobs.c.tenant)).where(in_lane, jobs.c.tenant > hops.c.tenant).correlate(hops)
    ).scalar_subquery()
    hops = hops.union_all(sa.select(following).where(hops.c.tenant.is_not(None)))
    first_due = (
        sa.select(sa.func.min(jobs.c.due_at_ms)).where(in_lane, jobs.c.tenant == hops.c.tenant).correlate(hops)
    ).scalar_subquery()
    return (
        sa.select(hops.c.tenant, tenant_turns.c.virtual_ms, first_due.label("due_at_ms"))
        .select_from(hops.outerjoin(tenant_turns, tenant_turns.c.tenant == hops.c.tenant))
        .where(hops.c.tenant.is_not(None))
    )


def _running(tx: Transaction) -> dict[TenantId, int]:
    counted = tx.all(sa.select(jobs.c.tenant, sa.func.count().label("number")).where(is_leased).group_by(jobs.c.tenant))
    return {TenantId(row.tenant): row.number for row in counted}


def charge(tx: Transaction, lane: Lane, turn: Turn, cost_cpu_ms: int, policy: FairPolicy) -> None:
    """What a claim costs its tenant and its lane. The last of a claim's writes: everybody writes these rows."""
    tenants, lanes = _charging(tx.connection.dialect.name)
    cost_ms = charge_ms(cost_cpu_ms, turn.tenant, policy)
    charged = {"tenant": turn.tenant, "virtual_ms": turn.start_ms + cost_ms, "start": turn.start_ms, "cost": cost_ms}
    tx.connection.execute(tenants, charged)
    fades = fading(cost_cpu_ms, policy)
    # All lanes, and in one order, so that claims never wait for each other in a ring.
    tx.execute(
        lanes,
        [
            {
                "lane": one,
                "used_cpu_ms": float(cost_cpu_ms) if one is lane else 0.0,
                "virtual_ms": turn.start_ms if one is lane else 0,
                "fades": fades,
            }
            for one in LANES_BY_URGENCY
        ],
    )


@cache
def _charging(dialect: str) -> tuple[sa.Insert, sa.Insert]:
    """Of a tenant, and of a lane."""
    start, cost = (sa.bindparam(name, type_=tenant_turns.c.virtual_ms.type) for name in ("start", "cost"))
    own = upsert(dialect, tenant_turns)
    later = sa.case((tenant_turns.c.virtual_ms > start, tenant_turns.c.virtual_ms + cost), else_=start + cost)
    use = upsert(dialect, lane_turns)
    new = use.excluded
    fades = sa.bindparam("fades", type_=lane_turns.c.used_cpu_ms.type)
    used = lane_turns.c.used_cpu_ms * fades + new.used_cpu_ms
    virtual = sa.case((lane_turns.c.virtual_ms > new.virtual_ms, lane_turns.c.virtual_ms), else_=new.virtual_ms)
    return (
        own.on_conflict_do_update(index_elements=["tenant"], set_={"virtual_ms": later}),
        use.on_conflict_do_update(index_elements=["lane"], set_={"used_cpu_ms": used, "virtual_ms": virtual}),
    )


def correct(tx: Transaction, tenant: str, by_cpu_ms: int, policy: FairPolicy) -> None:
    """A tenant's charge put right by what was measured, or taken back. The last write before the events."""
    by_ms = charge_ms(by_cpu_ms, TenantId(tenant), policy)
    if by_ms:
        tx.changed(_CORRECTION, whose=tenant, by=by_ms)


_moved = tenant_turns.c.virtual_ms + sa.bindparam("by", type_=tenant_turns.c.virtual_ms.type)
_CORRECTION = (
    sa.update(tenant_turns)
    .where(tenant_turns.c.tenant == sa.bindparam("whose"))
    .values(virtual_ms=sa.case((_moved > 0, _moved), else_=0))
)
