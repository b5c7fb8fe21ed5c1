"""Inspect a source: what is it, is it for us, and what will be made of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from storage.content_keys import SealedKey
from storage.errors import DamagedSource, KeyUnavailable, Rejected, ToolFailed, UnsupportedSource
from storage.jobs import Inspected, plain_recipe
from storage.media.codecs import DECODERS
from storage.media.encryption import Encryption
from storage.media.ladder import EncodePlan
from storage.media.mp4_index import Mp4Index
from storage.media.sniffing import HEAD_BYTES, describe_stranger, sniff
from storage.media.source import Source
from workers.ffmpeg import probing
from workers.ffmpeg.beginning_facts import check_beginning
from workers.ffmpeg.frame_facts import with_frames
from workers.ffmpeg.index_facts import with_index
from workers.ffmpeg.inputs import demuxer_of
from workers.ffmpeg.process import run_tool
from workers.ffmpeg.reports import read_report
from workers.ffmpeg.tools import Limits, Tools
from workers.flow import plan_jobs
from workers.frames import SoundFrames
from workers.headers import SOUGHT
from workers.planning.encode_plan import plan_encode, plan_notes
from workers.planning.policy import DEFAULT_POLICY, POLICIES_BEFORE, Policy
from workers.planning.reads import BEGINNINGS
from workers.steps.context import StepContext

log = structlog.get_logger(__name__)

SCAN_BYTES = 256 * 1024 * 1024
"""Files up to this size are read packet by packet for exact counts; larger ones are asked for their index."""
SLOWEST_READ_BYTES_PER_S = 20 * 1024 * 1024
IN_PARTS = SOUGHT | {"mov"}
"""Demuxers of which a storyboard may be made in parts: pictures of a time can be had without all that comes before. Where that
is not so after all (no Cues, no keyframes in the metadata) the parts are as good, and read more."""
PROBE = Path(probing.__file__).parent
_RUN = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from probing.__main__ import main; sys.exit(main(sys.argv[1:]))"
)
"""The probe, found beside this program's modules, and none of those modules found with it."""


def inspect(
    ctx: StepContext, policy: Policy = DEFAULT_POLICY, *, before: Mapping[str, Policy] = POLICIES_BEFORE
) -> Inspected:
    """Facts, plan and all further jobs of the video. Raises `UnsupportedSource` or `DamagedSource` to refuse it.

    ``policy``: of this version's recipe; ``before``: of the older ones that it knows too. The job's own recipe decides."""
    source = _source(ctx)
    outcome = decide(source, ctx, before.get(plain_recipe(ctx.job.recipe), policy))
    log.info(
        "source_inspected",
        **ctx.job.log_context(),
        demuxer=source.demuxer,
        duration_s=round(float(source.duration), 3),
        rungs=[rung.name for rung in outcome.video_renditions],
        audio=[rendition.name for rendition in outcome.audio_renditions],
        chunks=len(outcome.plan.chunks),
        notes=[note.code for note in outcome.notes],
    )
    return outcome


def _source(ctx: StepContext) -> Source:
    """From the index and the beginning where they tell everything. A refusal is only believed of the whole file."""
    for beginning in BEGINNINGS:
        fetched = ctx.reading(beginning)
        if fetched.whole:
            break
        try:
            return inspect_file(
                fetched.path,
                tools=ctx.tools,
                scratch=ctx.scratch,
                stop=ctx.stop,
                nice=ctx.nice,
                index=fetched.index if isinstance(fetched.index, Mp4Index) else None,
                first_bytes=fetched.first_bytes,
                frames=fetched.frames,
            )
        except (Rejected, ToolFailed) as error:
            log.info("part_not_believed", **ctx.job.log_context(), said=error.sentence)
        if fetched.index is not None:
            break  # more of the beginning would say no more
    path = fetched.path if fetched.whole else ctx.source()
    return inspect_file(path, tools=ctx.tools, scratch=ctx.scratch, stop=ctx.stop, nice=ctx.nice)


def decide(source: Source, ctx: StepContext, policy: Policy) -> Inspected:
    """What follows from the facts of ``source`` for the video of ``ctx``."""
    encryption = (ctx.keys.wished(ctx.video.id) if ctx.keys is not None else None) or policy.encryption.default
    plan = replace(plan_encode(source, policy, recipe=plain_recipe(ctx.job.recipe)), encryption=encryption)
    return Inspected(
        source=source,
        plan=plan,
        video_renditions=plan.ladder.rungs,
        audio_renditions=plan.audio,
        notes=(*source.notes, *plan_notes(source, plan)),
        jobs=plan_jobs(plan, ctx.video.lane, in_parts=demuxer_of(source) in IN_PARTS),
        keys=_new_keys(plan, ctx, policy),
    )


def _new_keys(plan: EncodePlan, ctx: StepContext, policy: Policy) -> tuple[SealedKey, ...]:
    if plan.encryption is Encryption.NONE:
        return ()
    if ctx.keys is None:
        raise KeyUnavailable("This worker has no keys: encrypted videos need FISHLADDER_SEALING_KEYS.")
    return ctx.keys.make(
        plan.encryption,
        ctx.video.id,
        ctx.asset.id,
        plan.segment_count,
        period_segments=policy.encryption.period_segments(plan.ladder.segment_seconds),
    )


def inspect_file(
    path: Path,
    *,
    tools: Tools,
    scratch: Path,
    stop: threading.Event | None = None,
    nice: int = 0,
    index: Mp4Index | None = None,
    first_bytes: int | None = None,
    frames: SoundFrames | None = None,
) -> Source:
    """The facts of the file at ``path``, without a job around it. Raises `UnsupportedSource` or `DamagedSource`.

    ``index``: of a copy that holds nothing but the header and the beginning. It takes the place of reading all packets.
    ``first_bytes``: of a copy that holds so much of the beginning and the end, of a file without an index.
    ``frames``: those of the whole file, where it is one of MP3 or AAC.
    """
    path = path.absolute()  # the tool runs in another folder
    demuxer = _recognised(path)
    looks = ["--scan-bytes", str(SCAN_BYTES if index is None else 0)]
    if first_bytes is not None:
        looks += ["--head-bytes", str(first_bytes)]
    report = _probed(path, demuxer, looks, tools=tools, scratch=scratch, stop=stop, nice=nice)
    if index is not None:
        report = with_index(report, index, exact=path.stat().st_size <= SCAN_BYTES)
    own = "libplacebo" in tools.filters
    if first_bytes is None:
        return read_report(report, reads_own_colours=own)
    if frames is not None:
        report = with_frames(report, frames)
    check_beginning(report)
    return replace(read_report(report, reads_own_colours=own), early_bytes=report["early_bytes"])


def _recognised(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise UnsupportedSource("This file is empty.", reason_code="empty")
    demuxer = sniff(head)
    if demuxer is None:
        raise UnsupportedSource(
            f"This is not a video: it looks like {describe_stranger(head)}.", reason_code="not_media"
        )
    return demuxer


def _probed(
    path: Path, demuxer: str, looks: list[str], *, tools: Tools, scratch: Path, stop: threading.Event | None, nice: int
) -> Mapping[str, Any]:
    argv = [str(tools.python), "-I", "-c", _RUN, str(PROBE.parent)]
    argv += ["--demuxer", demuxer, "--decoders", ",".join(DECODERS), *looks, str(path)]
    reading_s = path.stat().st_size / SLOWEST_READ_BYTES_PER_S
    limits = Limits(wall_s=120 + reading_s, cpu_s=60 + round(reading_s), output_bytes=1024 * 1024)
    run = run_tool(
        argv, tools=tools, scratch=scratch, reads=(path, PROBE), limits=limits, stop=stop, nice=nice, check=True
    )
    try:
        report = json.loads(run.stdout)
    except ValueError as error:
        raise DamagedSource("This file cannot be understood.", detail="the probe's report is not JSON") from error
    if not isinstance(report, dict):
        raise DamagedSource("This file cannot be understood.", detail="the probe's report is not an object")
    return report
