"""Renditions of a graphics card that failed, once more on the CPU. Pure."""

from __future__ import annotations

from dataclasses import replace

from storage.jobs import Lane, Replanned
from storage.media.encoders import Encoder
from storage.media.ladder import EncodePlan
from workers.flow import encode_jobs


def on_cpu(plan: EncodePlan, lane: Lane, reason: str, cpu_ms: int = 0) -> Replanned:
    """All that hardware was to make of ``plan``, made by the CPU under other names: what two encoders make does not go
    together, so each of them begins at the start."""
    dropped = tuple(rung for rung in plan.ladder.rungs if rung.encoder.family is not None)
    added = tuple(replace(rung, name=f"{rung.name}-cpu", encoder=Encoder.X264) for rung in dropped)
    instead = dict(zip(dropped, added, strict=True))
    rungs = tuple(instead.get(rung, rung) for rung in plan.ladder.rungs)
    replanned = replace(plan, ladder=replace(plan.ladder, rungs=rungs))
    return Replanned(
        plan=replanned,
        dropped=tuple(rung.name for rung in dropped),
        added=added,
        jobs=tuple(
            replace(job, order=order)
            for order, job in enumerate(
                job for chunk in plan.chunks for job in encode_jobs(replanned, chunk, added, lane)
            )
        ),
        reason=reason,
        cpu_ms=cpu_ms,
    )
