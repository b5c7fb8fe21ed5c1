"""Running a tool on a part of the source, and on the whole of it where the part is not to be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from storage.errors import ToolCrashed, ToolFailed, ToolTimedOut
from workers.ffmpeg.process import ToolRun
from workers.ffmpeg.rehearsals import Rehearsal
from workers.planning.reads import Reads
from workers.steps.context import StepContext
from workers.steps.rehearsing import rehearsed

log = structlog.get_logger(__name__)

COMPLAINTS = (
    "Error submitting packet to decoder",
    "Invalid NAL unit size",
    "corrupt",
    "Truncat",
    "error while decoding",
    "partial file",
)
"""What ffmpeg says of bytes that it cannot use. A film may be damaged itself: then the whole of it says the same."""


Doubt = Callable[[Rehearsal, ToolRun], str | None]
"""Why what a tool made of a rehearsed part may not be what it would make of the whole; None: it is."""


def no_complaints(run: ToolRun) -> str | None:
    """The doubt of those who cannot see what came out: what the tool said, if it stumbled."""
    return run.stderr_tail if stumbled(run.stderr_tail) else None


def run_on_part(
    ctx: StepContext,
    reads: Reads,
    run: Callable[[Path], ToolRun],
    *,
    sought: Reads | None = None,
    doubt: Doubt = lambda _, run: no_complaints(run),
) -> ToolRun:
    """``run(path)`` with a copy of the source that holds what ``reads`` says. Where that copy has holes and what comes out is
    in doubt, once more with all of the source. ``sought``: the track and the very times that a rehearsal goes by, where
    ``reads`` is not as exact. ``doubt``: of what was made of a rehearsed part."""
    part = rehearsed(ctx, sought if sought is not None else reads)
    if part is not None:
        return _believed(ctx, run, part.path, partial(doubt, part.seen))
    fetched = ctx.reading(reads)
    if fetched.whole:
        return run(fetched.path)
    return _believed(ctx, run, fetched.path, no_complaints)


def _believed(
    ctx: StepContext, run: Callable[[Path], ToolRun], path: Path, doubt: Callable[[ToolRun], str | None]
) -> ToolRun:
    spent_ms = 0
    try:
        ended = run(path)
    except (ToolCrashed, ToolTimedOut):
        raise
    except ToolFailed as error:
        said: str | None = error.stderr_tail
    else:
        said, spent_ms = doubt(ended) if ended.exit_code == 0 else ended.stderr_tail, ended.cpu_ms
        if said is None:
            return ended
    log.info("part_not_believed", **ctx.job.log_context(), said=(said or "")[-300:])
    ended = run(ctx.source())
    return replace(ended, cpu_ms=ended.cpu_ms + spent_ms)


def stumbled(stderr: str) -> bool:
    """Whether a tool says that it met bytes which it could not use."""
    return any(complaint in stderr for complaint in COMPLAINTS)
