"""Everything that is known of one video, for its own page: facts of the source, the plan, what is stored of each
rendition, files and their sizes, and what workers do right now. Read anew each time; lists never ask for it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from pydantic import BaseModel, Field

from storage.catalogue import Asset, RenditionRow, Video
from storage.jobs import Job, JobKind, JobState
from storage.lifecycle import VideoState
from storage.media.ladder import EncodePlan
from storage.media.source import AudioTrack, Source, VideoTrack
from storage.showing import StoredRuns
from upload_api.playback import Media


class VideoTrackModel(BaseModel):
    codec: str
    width: int = Field(description="as shown: upright, in square pixels")
    height: int
    frame_rate: float
    bit_rate_bps: int | None
    bit_depth: int
    rotation: int
    interlaced: bool
    transfer: str | None = Field(description="of its colours; smpte2084 and arib-std-b67 are high dynamic range")

    @classmethod
    def of(cls, track: VideoTrack) -> VideoTrackModel:
        width, height = track.display_size
        return cls(
            codec=track.codec,
            width=width,
            height=height,
            frame_rate=round(float(track.frame_rate), 3),
            bit_rate_bps=track.bit_rate_bps,
            bit_depth=track.bit_depth,
            rotation=track.rotation,
            interlaced=track.field_order == "interlaced",
            transfer=track.color_transfer,
        )


class AudioTrackModel(BaseModel):
    codec: str
    channels: int
    sample_rate_hz: int
    language: str
    title: str | None
    bit_rate_bps: int | None

    @classmethod
    def of(cls, track: AudioTrack) -> AudioTrackModel:
        return cls.model_validate({name: getattr(track, name) for name in cls.model_fields})


class OtherTrackModel(BaseModel):
    kind: str
    codec: str
    language: str


class SourceModel(BaseModel):
    """The uploaded file, as it was found to be."""

    container: str
    size_bytes: int
    duration_seconds: float
    video: VideoTrackModel | None
    audio: list[AudioTrackModel]
    others: list[OtherTrackModel]

    @classmethod
    def of(cls, source: Source) -> SourceModel:
        return cls(
            container=source.demuxer,
            size_bytes=source.size_bytes,
            duration_seconds=_seconds(source.duration),
            video=VideoTrackModel.of(source.video) if source.video else None,
            audio=[AudioTrackModel.of(track) for track in source.audio],
            others=[
                OtherTrackModel(kind=track.kind, codec=track.codec, language=track.language) for track in source.others
            ],
        )


class StoredRendition(BaseModel):
    """A rendition, what was asked of it and what came."""

    name: str
    kind: str = Field(description="video or audio")
    label: str | None
    codecs: str | None
    width: int | None
    height: int | None
    language: str | None
    channels: int | None
    max_rate_bps: int | None = Field(description="asked for, at most")
    mean_rate_bps: int | None = Field(description="of what is stored")
    peak_rate_bps: int | None = Field(description="of the heaviest stored segment")
    size_bytes: int
    first: bool = Field(description="made first, so that the video plays early")
    runs: list[tuple[int, int]] = Field(description="stored segments, as half-open ranges of their numbers")

    @classmethod
    def of(cls, row: RenditionRow, stored: StoredRuns | None, plan: EncodePlan | None) -> StoredRendition:
        rung, audio = row.rung, row.audio
        return cls(
            name=row.name,
            kind="video" if rung else "audio",
            label=audio.label if audio else None,
            codecs=row.codecs,
            width=rung.width if rung else None,
            height=rung.height if rung else None,
            language=audio.language if audio else None,
            channels=audio.channels if audio else None,
            max_rate_bps=rung.max_rate_bps if rung else audio.bit_rate_bps if audio else None,
            mean_rate_bps=stored.mean_rate_bps if stored else None,
            peak_rate_bps=stored.peak_rate_bps if stored else None,
            size_bytes=stored.size_bytes if stored else 0,
            first=plan is not None and (audio is not None or row.name in plan.ladder.fast_start),
            runs=list(stored.runs) if stored else [],
        )


class ChunkModel(BaseModel):
    """A piece of the video that one worker encodes at a time: segments ``[start, stop)``."""

    start: int
    stop: int
    start_seconds: float
    end_seconds: float


class TaskModel(BaseModel):
    """A job that a worker has right now."""

    kind: str
    start_seconds: float | None = Field(description="what it covers of the video, where it is a part")
    end_seconds: float | None
    renditions: list[str]
    attempt: int


class FileModel(BaseModel):
    """Something that is stored."""

    name: str
    kind: str = Field(description="source, rendition, manifest or picture")
    size_bytes: int
    files: int = Field(description="of how many objects it consists")
    url: str | None


class VideoDetails(BaseModel):
    """Everything that is known of one video beside its summary."""

    source: SourceModel | None = Field(description="null until it was inspected")
    frame_rate: float | None
    segment_seconds: float | None
    segment_count: int = Field(description="of each rendition, once it is whole")
    chunks: list[ChunkModel]
    renditions: list[StoredRendition]
    files: list[FileModel]
    running: list[TaskModel]
    waiting: int = Field(description="jobs that no worker has yet")


def details_of(
    video: Video,
    asset: Asset,
    stored: dict[str, StoredRuns],
    jobs: tuple[Job, ...],
    media: Media,
    downloads: Media | None,
) -> VideoDetails:
    """The details of ``video``. ``jobs``: those of it that are not finished."""
    plan = asset.plan
    return VideoDetails(
        source=SourceModel.of(asset.source) if asset.source else None,
        frame_rate=round(float(plan.ladder.frame_rate), 3) if plan else None,
        segment_seconds=_seconds(plan.ladder.segment_seconds) if plan else None,
        segment_count=plan.segment_count if plan else 0,
        chunks=_chunks(plan) if plan else [],
        renditions=[StoredRendition.of(row, stored.get(row.name), plan) for row in asset.renditions],
        files=_files(video, asset, stored, media, downloads),
        running=[_task(job, plan) for job in jobs if job.state is JobState.LEASED and job.kind is not JobKind.PUBLISH],
        waiting=sum(job.state is JobState.READY and job.kind is not JobKind.PUBLISH for job in jobs),
    )


def _chunks(plan: EncodePlan) -> list[ChunkModel]:
    starts = [chunk.first_segment for chunk in plan.chunks]
    if not starts:  # sound alone: its pieces are what is worked on
        starts = [piece.first_segment for piece in plan.audio_pieces]
    stops = [*starts[1:], plan.segment_count]
    length, end = plan.ladder.segment_seconds, plan.duration
    return [
        ChunkModel(
            start=start,
            stop=stop,
            start_seconds=_seconds(start * length),
            end_seconds=_seconds(min(stop * length, end)),
        )
        for start, stop in zip(starts, stops, strict=True)
    ]


def _task(job: Job, plan: EncodePlan | None) -> TaskModel:
    renditions, span = _covered(job.payload, plan) if plan else ([], None)
    return TaskModel(
        kind=job.kind,
        start_seconds=_seconds(span[0]) if span else None,
        end_seconds=_seconds(span[1]) if span else None,
        renditions=renditions,
        attempt=job.attempts + job.kills + 1,
    )


def _covered(payload: dict[str, Any], plan: EncodePlan) -> tuple[list[str], tuple[Fraction, Fraction] | None]:
    """Which renditions a job is about, and which part of them."""
    if "chunk" in payload:
        frames = plan.chunks[payload["chunk"]].frames
        rate = plan.ladder.frame_rate
        return list(payload.get("rungs", ())), (frames.start / rate, frames.stop / rate)
    if "piece" in payload and payload["piece"] < len(plan.audio_pieces):
        piece, length = plan.audio_pieces[payload["piece"]], plan.ladder.segment_seconds
        span = (piece.first_segment * length, min(piece.stop_segment * length, plan.duration))
        return [str(payload["rendition"])], span
    return [], None


def _files(
    video: Video, asset: Asset, stored: dict[str, StoredRuns], media: Media, downloads: Media | None
) -> list[FileModel]:
    def kept(name: str, *, whole: bool = True) -> str | None:
        return downloads.url(f"download/{name}") if downloads is not None and whole else None

    source_kept = video.source_bytes and video.uploaded_at_ms and video.state is not VideoState.REJECTED
    source_name, source_size = video.filename or "source", video.source_bytes or 0
    source = [_file(source_name, "source", source_size, url=kept("source"))] if source_kept else []
    is_whole = video.state is VideoState.READY
    encoded = [
        _file(
            row.name,
            "rendition",
            stored[row.name].size_bytes,
            count=stored[row.name].count + 1,
            url=kept(f"{row.name}.mp4", whole=is_whole and row.rung is not None),
        )
        for row in asset.renditions
        if row.name in stored
    ]
    tiles = [each.size_bytes for each in asset.names if each.name.startswith("storyboard/")]
    sprites = [_file("storyboard", "picture", sum(tiles), count=len(tiles))] if tiles else []
    public = [
        _file(
            each.name,
            "picture" if each.content_type.startswith("image/") else "manifest",
            each.size_bytes,
            url=media.url(each.name) if each.name in video.published else None,
        )
        for each in asset.names
        if "/" not in each.name and not each.immutable  # a version is the same file once more
    ]
    return source + encoded + sprites + public


def _file(name: str, kind: str, size_bytes: int, *, count: int = 1, url: str | None = None) -> FileModel:
    return FileModel(name=name, kind=kind, size_bytes=size_bytes, files=count, url=url)


def _seconds(exact: Fraction) -> float:
    return round(float(exact), 3)
