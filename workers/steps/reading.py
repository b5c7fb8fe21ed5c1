"""Running a tool on a part of the source, and on the whole of it where the part is not to be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from storage.errors import ToolCrashed, ToolFailed, ToolTimedOut
from workers.ffmpeg.process import ToolRun
from workers.planning.reads import Reads
from workers.steps.context import StepContext

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


def run_on_part(ctx: StepContext, reads: Reads, run: Callable[[Path], ToolRun]) -> ToolRun:
    """``run(path)`` with a copy of the source that holds what ``reads`` says. Where that copy has holes and the tool
    stumbles over anything, once more with all of the source."""
    fetched = ctx.reading(reads)
    if fetched.whole:
        return run(fetched.path)
    spent_ms = 0
    try:
        ended = run(fetched.path)
    except (ToolCrashed, ToolTimedOut):
        raise
    except ToolFailed as error:
        said = error.stderr_tail
    else:
        if ended.exit_code == 0 and not stumbled(ended.stderr_tail):
            return ended
        said, spent_ms = ended.stderr_tail, ended.cpu_ms
    log.info("part_not_believed", **ctx.job.log_context(), said=said[-300:])
    ended = run(ctx.source())
    return replace(ended, cpu_ms=ended.cpu_ms + spent_ms)


def stumbled(stderr: str) -> bool:
    """Whether a tool says that it met bytes which it could not use."""
    return any(complaint in stderr for complaint in COMPLAINTS)
