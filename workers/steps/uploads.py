"""Storing what was cut: each object under a name made of its number and its bytes, as soon as it exists."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from packager.cmaf import CutSegment
from storage import keys
from storage.crashpoints import CrashPoint, crashpoint
from storage.jobs import RenditionSegments, Segment
from workers.ffmpeg.process import Interrupted
from workers.steps.context import StepContext

PARALLEL_PUTS = 8
"""Stores answer a small put in tens of milliseconds; this also bounds how many segments are held in memory."""


def store_rendition(
    ctx: StepContext,
    rendition: str,
    *,
    init: bytes,
    segments: Iterable[CutSegment],
    codecs: str,
    timescale: int,
    fingerprint: str,
    content_type: str,
) -> RenditionSegments:
    """Store ``init`` and ``segments`` of ``rendition`` and return the rows that tell of them. Nothing is returned before
    everything is stored: rows never name what is not there."""
    rows: list[Segment] = []
    init_name = keys.init_name(keys.hash12(init))
    with ThreadPoolExecutor(PARALLEL_PUTS, thread_name_prefix="put") as pool:
        under_way: deque[Future[None]] = deque()

        def put(name: str, data: bytes) -> None:
            if ctx.stop.is_set():
                raise Interrupted
            if len(under_way) >= PARALLEL_PUTS:
                under_way.popleft().result()
                crashpoint(CrashPoint.OBJECT_STORED, ctx.job.kind)
            key = keys.rendition_key(ctx.asset.id, rendition, name)
            under_way.append(pool.submit(ctx.blobs.put, key, data, content_type=content_type))

        put(init_name, init)
        for segment in segments:
            name = keys.segment_name(segment.number, keys.hash12(segment.data))
            put(name, segment.data)
            rows.append(_row(segment, name))
        for stored in under_way:
            stored.result()
    return RenditionSegments(
        rendition=rendition,
        init_name=init_name,
        init_size_bytes=len(init),
        codecs=codecs,
        timescale=timescale,
        fingerprint=fingerprint,
        segments=tuple(rows),
    )


def _row(segment: CutSegment, name: str) -> Segment:
    return Segment(
        number=segment.number,
        name=name,
        start_ticks=segment.start_ticks,
        duration_ticks=segment.duration_ticks,
        size_bytes=len(segment.data),
        iframes=segment.iframes,
    )
