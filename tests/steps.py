"""Running encoding steps without a runner: facts read from the file, a small plan, a store in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from storage.blobs import BlobStore
from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Video
from storage.ids import DEFAULT_TENANT, AssetId, VideoId
from storage.jobs import Encoded, JobKind, Lane, RenditionSegments
from storage.keys import rendition_key
from storage.lifecycle import VideoState
from storage.media.ladder import AudioPiece, Chunk, EncodePlan
from storage.media.source import Source
from storage.media.time import FrameRange, audio_frames_until, snap_frame_rate
from tests.builders import (
    a_job,
    a_ladder,
    a_rung,
    a_source,
    a_video_track,
    an_asset,
    an_audio_rendition,
    an_audio_track,
    an_encode_plan,
)
from tests.media import HEIGHT, WIDTH
from workers.ffmpeg.process import Tools
from workers.steps.context import StepContext


def picture_times(path: Path, demuxer: str) -> list[Fraction]:
    """When the container says that its pictures are shown, in order."""
    with av.open(str(path), format=demuxer) as film:
        packets = [packet for packet in film.demux(video=0) if packet.pts is not None and not packet.is_discard]
        return sorted(packet.pts * packet.time_base for packet in packets)


def facts_of(path: Path, demuxer: str, *, frame_rate: Fraction | None = None, **video: Any) -> Source:
    """What inspection would learn of a film that `tests.media` made; ``frame_rate``: instead of the measured one."""
    times = picture_times(path, demuxer)
    with av.open(str(path), format=demuxer) as film:
        index, size = film.streams.video[0].index, film.streams.video[0].codec_context
        width, height = size.width, size.height
        sounds = [
            (each.index, each.sample_rate, each.codec_context.codec.canonical_name) for each in film.streams.audio
        ]
        starts = {sound: _first_time(path, demuxer, sound) for sound, _, _ in sounds}
    rate = frame_rate or Fraction(len(times) - 1) / (times[-1] - times[0])
    start = min([times[0], *starts.values()])
    return a_source(
        demuxer=demuxer,
        start=start,
        duration=times[-1] + 1 / rate - start,
        video=a_video_track(
            **{
                "index": index,
                "width": width,
                "height": height,
                "frame_rate": rate,
                "start": times[0],
                "duration": times[-1] + 1 / rate - times[0],
            }
            | video
        ),
        audio=tuple(
            an_audio_track(index=sound, codec=codec, sample_rate_hz=hz, start=starts[sound])
            for sound, hz, codec in sounds
        ),
    )


def _first_time(path: Path, demuxer: str, index: int) -> Fraction:
    with av.open(str(path), format=demuxer) as film:
        return min(
            packet.pts * packet.time_base
            for packet in film.demux(film.streams[index])
            if packet.pts is not None and not packet.is_discard
        )


def a_small_plan(
    source: Source, *, gop_frames: int = 10, segments_per_chunk: int = 2, piece_segments: int = 4
) -> EncodePlan:
    """One rung of the source's own size, and sound where it has any."""
    assert source.video
    rate = snap_frame_rate(source.video.frame_rate)
    ladder = a_ladder(frame_rate=rate, gop_frames=gop_frames, rungs=(_small_rung(),), fast_start=("96p",))
    total = max(1, round(source.duration * rate))
    length = segments_per_chunk * ladder.segment_frames
    chunks = tuple(
        Chunk(
            index=index,
            frames=FrameRange(first, min(first + length, total)),
            first_segment=first // ladder.segment_frames,
        )
        for index, first in enumerate(range(0, total, length))
    )
    plan = an_encode_plan(ladder=ladder, total_frames=total, chunks=chunks)
    if not source.audio:
        return plan
    aac = audio_frames_until(total / rate)
    edges = [min(aac, audio_frames_until(number * ladder.segment_seconds)) for number in range(plan.segment_count)] + [
        aac
    ]
    starts = [*range(0, plan.segment_count, piece_segments), plan.segment_count]
    pieces = tuple(
        AudioPiece(index=index, frames=FrameRange(edges[first], edges[stop]), first_segment=first, stop_segment=stop)
        for index, (first, stop) in enumerate(pairwise(starts))
    )
    return an_encode_plan(
        ladder=ladder,
        total_frames=total,
        chunks=chunks,
        audio=(an_audio_rendition(track_index=source.audio[0].index),),
        audio_pieces=pieces,
        audio_frames=aac,
    )


def _small_rung() -> Any:
    return a_rung("96p", width=WIDTH, height=HEIGHT, crf=20, max_rate_bps=2_000_000)


@dataclass
class Worktable:
    """Everything that steps of one film are given."""

    path: Path
    source: Source
    plan: EncodePlan
    tools: Tools
    scratch: Path
    blobs: BlobStore = field(default_factory=MemoryBlobs)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: int = 2

    def context(self, kind: JobKind, **payload: Any) -> StepContext:
        folder = self.scratch / f"job-{len(list(self.scratch.iterdir()))}"
        folder.mkdir(parents=True)
        return StepContext(
            job=a_job(kind=kind, payload=payload),
            video=_a_video(),
            asset=an_asset(self.plan, source=self.source),
            blobs=self.blobs,
            source=lambda: self.path,
            scratch=folder,
            tools=self.tools,
            stop=self.stop,
            threads=self.threads,
        )

    def stored(self, *outcomes: Encoded) -> bytes:
        """The one rendition of ``outcomes`` as a player would put it together."""
        outputs = [output for outcome in outcomes for output in outcome.outputs]
        assert len({(output.rendition, output.init_name, output.fingerprint) for output in outputs}) == 1
        return self._object(outputs[0], outputs[0].init_name) + b"".join(
            self._object(output, segment.name) for output in outputs for segment in output.segments
        )

    def _object(self, output: RenditionSegments, name: str) -> bytes:
        return self.blobs.get(rendition_key(AssetId("a-0000000000000000"), output.rendition, name))


def _a_video() -> Video:
    return Video(
        id=VideoId("v" * 16),
        tenant=DEFAULT_TENANT,
        title="Film",
        state=VideoState.ENCODING,
        lane=Lane.STANDARD,
        asset=AssetId("a-0000000000000000"),
        upload=None,
        filename="film.mp4",
        source_key="sources/v",
        source_bytes=1,
        received_bytes=1,
        progress=0.0,
        created_at_ms=0,
        updated_at_ms=0,
    )
