"""How seams between chunks look: the GOPs on both sides of each, beside the same pictures of one continuous encode."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from storage.jobs import JobKind
from storage.media.ladder import Chunk, EncodePlan
from storage.media.time import FrameRange
from tests.steps import Worktable
from workers.ffmpeg.process import Tools
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import ChunkPolicy, LadderPolicy, Policy
from workers.steps.encode import encode
from workers.steps.inspect import inspect_file

CHUNK_S = 8
_MSE = re.compile(r"\bmse_avg:([0-9.]+)")
_PERFECT_DB = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam:
    """Mean PSNR of the GOPs before and after ``at`` seconds, in dB."""

    at: Fraction
    apart_db: float
    continuous_db: float

    @property
    def loss_db(self) -> float:
        return self.continuous_db - self.apart_db


def seams_of(film: Path, tools: Tools, folder: Path, ladder: LadderPolicy) -> tuple[Seam, ...]:
    """Of the top rung of ``film``, in chunks of at most `CHUNK_S` seconds and in one."""
    for name in ("apart", "whole", "look"):
        (folder / name).mkdir(parents=True)
    source = inspect_file(film, tools=tools, scratch=folder / "look")
    plan = plan_encode(
        source, Policy(ladder=ladder, chunks=ChunkPolicy(longest_chunk_s=CHUNK_S, last_chunks_s=CHUNK_S))
    )
    plan = replace(
        plan, ladder=replace(plan.ladder, rungs=plan.ladder.rungs[-1:], fast_start=(plan.ladder.rungs[-1].name,))
    )
    whole = replace(plan, chunks=(Chunk(index=0, frames=FrameRange(0, plan.total_frames), first_segment=0),))

    def errors(made_by: EncodePlan, name: str) -> list[float]:
        table = Worktable(path=film, source=source, plan=made_by, tools=tools, scratch=folder / name)
        rung = made_by.ladder.rungs[-1].name
        outcomes = [encode(table.context(JobKind.ENCODE, chunk=chunk.index, rungs=[rung])) for chunk in made_by.chunks]
        joined = folder / f"{name}.mp4"
        joined.write_bytes(table.stored(*outcomes))  # type: ignore[arg-type]  # no hardware is planned for
        return squared_errors(joined, film, made_by, tools)

    apart, continuous = errors(plan, "apart"), errors(whole, "whole")
    assert len(apart) == len(continuous) == plan.total_frames
    gop = plan.ladder.gop_frames
    return tuple(
        Seam(
            at=chunk.frames.start / plan.ladder.frame_rate,
            apart_db=psnr(apart[chunk.frames.start - gop : chunk.frames.start + gop]),
            continuous_db=psnr(continuous[chunk.frames.start - gop : chunk.frames.start + gop]),
        )
        for chunk in plan.chunks[1:]
    )


def squared_errors(rung: Path, film: Path, plan: EncodePlan, tools: Tools) -> list[float]:
    """Mean squared error of each frame against the source, scaled as the encoder was given it."""
    top = plan.ladder.rungs[-1]
    size = f"{top.width}:{top.height}"
    stats = rung.with_suffix(".psnr")
    graph = (
        f"[0:v]settb=1/25,setpts=N[made];[1:v]fps={plan.ladder.frame_rate},scale={size}:flags=bicubic,format=yuv420p,"
        f"settb=1/25,setpts=N[meant];[made][meant]psnr=stats_file={stats}:shortest=1"
    )
    argv = [
        str(tools.ffmpeg),
        "-v",
        "error",
        "-i",
        str(rung),
        "-i",
        str(film),
        "-filter_complex",
        graph,
        "-f",
        "null",
        "-",
    ]
    subprocess.run(argv, check=True)
    return [float(found[1]) for found in map(_MSE.search, stats.read_text().splitlines()) if found]


def psnr(errors: Sequence[float]) -> float:
    """The mean of the frames' PSNR in dB."""
    return sum(_PERFECT_DB if not error else 10 * math.log10(255**2 / error) for error in errors) / len(errors)
