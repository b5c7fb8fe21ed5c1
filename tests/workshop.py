"""A workshop for tests: a catalogue, a store and steps that make up their results instead of encoding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from packager.subtitles import parse_webvtt
from storage.blobs import BlobStore
from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Catalogue, NewUpload
from storage.catalogue.sql import SqlCatalogue
from storage.crashpoints import CrashPoint, crashpoint
from storage.ids import DEFAULT_TENANT, VideoId
from storage.jobs import Encoded, Inspected, JobKind, Lane, RenditionSegments, Subtitled, Thumbnailed
from storage.keys import asset_key, rendition_key
from storage.media.ladder import RECIPE, EncodePlan, SubtitleRendition
from tests.builders import a_film_plan, a_published_name, a_segment, an_inspected, some_rendition_segments
from workers.ffmpeg.process import Tools
from workers.flow import plan_jobs
from workers.kept import KeptReads
from workers.parts import RunnerParts
from workers.planning.reads import Reads
from workers.settings import WorkerSettings
from workers.sources import Fetched
from workers.steps.context import Step, StepContext
from workers.steps.publish import publish
from workers.steps.subtitles import stored_track
from workers.streams import SourceStream

TOOLS = Tools(ffmpeg=Path("/nonexistent/ffmpeg"), ffmpeg_version="none")


class NoSources:
    def fetch(self, key: str) -> Fetched:
        raise AssertionError(f"nothing here reads {key}")

    def fetch_part(self, key: str, reads: Reads) -> Fetched:
        raise AssertionError(f"nothing here reads {key}")

    def stream(self, key: str, reads: Reads, counted: Callable[[int], None]) -> SourceStream | None:
        raise AssertionError(f"nothing here reads {key}")

    def rehearsal(self, key: str, reads: Reads, share: Fraction, counted: Callable[[int], None]) -> KeptReads | None:
        raise AssertionError(f"nothing here reads {key}")


@dataclass
class RecordingBell:
    rung: list[Lane] = field(default_factory=list)

    def ring(self, lane: Lane, times: int = 1) -> None:
        self.rung += [lane] * times


def a_workshop(
    scratch: Path,
    *,
    catalogue: Catalogue | None = None,
    blobs: BlobStore | None = None,
    steps: Mapping[JobKind, Step] | None = None,
    **settings: object,
) -> RunnerParts:
    """Parts whose steps are `MADE_UP` but for those in ``steps``; ``settings`` of `WorkerSettings`."""
    chosen = replace(WorkerSettings(scratch=scratch), **settings)  # type: ignore[arg-type]
    return RunnerParts(
        catalogue=catalogue or SqlCatalogue.in_memory(),
        blobs=blobs or MemoryBlobs(),
        tools=TOOLS,
        settings=chosen,
        sources=NoSources(),
        steps={**MADE_UP, **(steps or {})},
    )


def an_uploaded_video(catalogue: Catalogue, lane: Lane = Lane.STANDARD) -> VideoId:
    """A video whose upload is complete: its inspection is ready to be claimed."""
    upload = catalogue.create_upload(
        NewUpload(tenant=DEFAULT_TENANT, length_bytes=4, metadata_raw=None, title="Film", filename=None, lane=lane)
    )
    token = catalogue.acquire_upload(upload.id, "test", 60_000)
    catalogue.record_progress(upload.id, token, offset_bytes=4, new_parts=(), tail=None)
    catalogue.complete_upload(upload.id, token, recipe=RECIPE)
    return upload.video


def an_upload_of(body: bytes, catalogue: Catalogue, blobs: BlobStore, *, recipe: str = RECIPE) -> VideoId:
    """A video whose source is ``body``, stored before its inspection can be claimed."""
    upload = catalogue.create_upload(
        NewUpload(
            tenant=DEFAULT_TENANT,
            length_bytes=len(body),
            metadata_raw=None,
            title="Film",
            filename=None,
            lane=Lane.STANDARD,
        )
    )
    token = catalogue.acquire_upload(upload.id, "test", 60_000)
    blobs.put(upload.source_key, body)
    catalogue.record_progress(upload.id, token, offset_bytes=len(body), new_parts=(), tail=None)
    catalogue.complete_upload(upload.id, token, recipe=recipe)
    return upload.video


# --- steps -----------------------------------------------------------------------------------------------------------


def inspect(ctx: StepContext) -> Inspected:
    plan = a_film_plan()
    return an_inspected(plan=plan, audio_renditions=plan.audio, jobs=plan_jobs(plan, ctx.video.lane))


def inspect_talkie(ctx: StepContext) -> Inspected:
    """As `inspect`, of a film with subtitles."""
    plan = replace(
        a_film_plan(), subtitles=(SubtitleRendition(name="text-en", language="en", label="English", track_index=2),)
    )
    return an_inspected(plan=plan, audio_renditions=plan.audio, jobs=plan_jobs(plan, ctx.video.lane))


def encode(ctx: StepContext) -> Encoded:
    plan = _plan(ctx)
    chunk = plan.chunks[ctx.job.payload["chunk"]]
    stop = chunk.first_segment - (-len(chunk.frames) // plan.ladder.segment_frames)
    segments = range(chunk.first_segment, stop)
    return Encoded(outputs=tuple(_store(ctx, rung, segments) for rung in ctx.job.payload["rungs"]), cpu_ms=7)


def audio(ctx: StepContext) -> Encoded:
    piece = _plan(ctx).audio_pieces[ctx.job.payload["piece"]]
    segments = range(piece.first_segment, piece.stop_segment)
    return Encoded(outputs=(_store(ctx, ctx.job.payload["rendition"], segments),), cpu_ms=7)


def thumbnails(ctx: StepContext) -> Thumbnailed:
    poster, tile = (
        a_published_name(name, asset_key(ctx.asset.id, key), content_type="image/jpeg", size_bytes=4)
        for name, key in (("poster.jpg", "poster-0.jpg"), ("storyboard/0-0.jpg", "storyboard/0-0.jpg"))
    )
    for image in (poster, tile):
        ctx.blobs.put(image.key, b"JPEG", content_type=image.content_type)
        crashpoint(CrashPoint.OBJECT_STORED, ctx.job.kind)
    storyboard = {
        "tiles": [tile.name],
        "columns": 5,
        "rows": 5,
        "interval": "2/1",
        "tile_width": 160,
        "tile_height": 90,
        "count": 10,
    }
    return Thumbnailed(names=(poster, tile), storyboard=storyboard)


def subtitles(ctx: StepContext) -> Subtitled:
    text = parse_webvtt("WEBVTT\n\n00:01.000 --> 00:02.000\nQuack.\n")
    return Subtitled(tracks=tuple(stored_track(ctx, _plan(ctx), name, text) for name in ctx.job.payload["tracks"]))


def _plan(ctx: StepContext) -> EncodePlan:
    assert ctx.asset.plan is not None
    return ctx.asset.plan


def _store(ctx: StepContext, rendition: str, numbers: range) -> RenditionSegments:
    sound = rendition.startswith("audio")
    made = some_rendition_segments(
        rendition,
        codecs="mp4a.40.2" if sound else "avc1.64001e",
        segments=tuple(a_segment(number, **({"iframes": ()} if sound else {})) for number in numbers),
    )
    made = replace(
        made,
        init_size_bytes=len(_bytes_of(rendition, made.init_name)),
        segments=tuple(replace(one, size_bytes=len(_bytes_of(rendition, one.name))) for one in made.segments),
    )
    for name in (made.init_name, *(segment.name for segment in made.segments)):
        ctx.blobs.put(rendition_key(ctx.asset.id, rendition, name), _bytes_of(rendition, name))
        crashpoint(CrashPoint.OBJECT_STORED, ctx.job.kind)
    return made


def _bytes_of(rendition: str, name: str) -> bytes:
    return f"{rendition}/{name}".encode()


MADE_UP: dict[JobKind, Step] = {
    JobKind.INSPECT: inspect,
    JobKind.ENCODE: encode,
    JobKind.AUDIO: audio,
    JobKind.THUMBNAILS: thumbnails,
    JobKind.SUBTITLES: subtitles,
    JobKind.PUBLISH: publish,
}
