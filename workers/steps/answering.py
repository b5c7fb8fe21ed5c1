"""Running a small program of ours that asks us for the bytes of a source."""

from __future__ import annotations

from storage.errors import ToolFailed
from workers.ffmpeg.excerpts import PROGRAM
from workers.ffmpeg.process import Limits, ToolRun, run_tool
from workers.steps.context import StepContext
from workers.streams import Readable, answering

LIMITS = Limits(wall_s=1800, cpu_s=900, output_bytes=1024**3)


def run_answered(ctx: StepContext, argv: list[str], readable: Readable, *most_bytes: int) -> ToolRun:
    """Run ``argv``, which may read ``most_bytes`` of ``readable`` (`answering`). Raises `ReadTooMuch`, what the store raises, and
    what `run_tool` raises."""
    with answering(readable, *most_bytes) as (connection, answers):
        try:
            return run_tool(
                argv,
                tools=ctx.tools,
                scratch=ctx.scratch,
                reads=(PROGRAM,),
                limits=LIMITS,
                stop=ctx.stop,
                nice=ctx.nice,
                stdin=connection.fileno(),
            )
        except ToolFailed as error:
            if answers.error is not None:
                raise answers.error from error
            raise
