"""What the REST API says, as pydantic models: the only module of this room that knows pydantic, with `api`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from storage.catalogue import Concat, RenditionRow, Upload, Video
from storage.errors import InvalidRequest
from storage.grants import Visibility
from storage.lifecycle import VideoState
from storage.media.source import Note
from storage.showing import MAX_CHAPTERS, MAX_EMBED_ORIGINS, Chapter, Showing
from upload_api.playback import Media
from upload_api.urls import Urls


class NoteModel(BaseModel):
    """Something that was normalised or lost."""

    code: str
    sentence: str

    @classmethod
    def of(cls, note: Note) -> NoteModel:
        return cls(code=note.code, sentence=note.sentence)


class ChapterTitle(BaseModel):
    """A chapter reaches to the next one's start, or to the end."""

    start_seconds: float = Field(ge=0, le=10_000_000)
    title: str = Field(min_length=1, max_length=200)

    @classmethod
    def of(cls, chapter: Chapter) -> ChapterTitle:
        return cls(start_seconds=chapter.start_ms / 1000, title=chapter.title)

    def value(self) -> Chapter:
        return Chapter(start_ms=round(self.start_seconds * 1000), title=self.title.strip())


class RenditionModel(BaseModel):
    """One encoded output."""

    name: str
    kind: str = Field(description="video or audio")
    codecs: str | None = Field(description="RFC 6381; null until its first segment is there")
    width: int | None = None
    height: int | None = None
    max_rate_bps: int | None = Field(default=None, description="bits per second that it never exceeds for long")
    language: str | None = Field(default=None, description="BCP 47")
    channels: int | None = None

    @classmethod
    def of(cls, row: RenditionRow) -> RenditionModel:
        if row.rung is not None:
            return cls(
                name=row.name,
                kind="video",
                codecs=row.codecs,
                width=row.rung.width,
                height=row.rung.height,
                max_rate_bps=row.rung.max_rate_bps,
            )
        audio = row.audio
        return cls(
            name=row.name,
            kind="audio",
            codecs=row.codecs,
            max_rate_bps=audio.bit_rate_bps if audio else None,
            language=audio.language if audio else None,
            channels=audio.channels if audio else None,
        )


class VideoSummary(BaseModel):
    """A video as lists show it. A URL is null until it answers."""

    id: str
    title: str
    state: VideoState
    visibility: Visibility = Field(description="who may play it; signed addresses below carry a token for some hours")
    progress: float = Field(ge=0, le=1, description="encoded media time over all renditions")
    reason_code: str | None = Field(description="why it was rejected or failed; stable, for programs")
    reason: str | None = Field(description="the same for a person")
    notes: list[NoteModel]
    filename: str | None
    lane: str
    duration_seconds: float | None
    source_bytes: int | None = Field(description="size of the uploaded file; null while nobody knows")
    received_bytes: int = Field(description="bytes of it that are safe")
    created_at: datetime
    updated_at: datetime
    uploaded_at: datetime | None
    playable_at: datetime | None
    ready_at: datetime | None
    watch_url: str | None
    embed_url: str | None
    hls_url: str | None
    dash_url: str | None
    poster_url: str | None
    storyboard_url: str | None

    @classmethod
    def of(cls, video: Video, urls: Urls, media: Media, visibility: Visibility) -> VideoSummary:
        return cls.model_validate(_facts(video, urls, media, visibility))


class VideoModel(VideoSummary):
    """A video in full."""

    renditions: list[RenditionModel]
    chapters: list[ChapterTitle]
    embed_origins: list[str] | None = Field(description="web origins whose pages may frame the player; null: any")

    @classmethod
    def in_full(
        cls,
        video: Video,
        renditions: tuple[RenditionRow, ...],
        showing: Showing,
        urls: Urls,
        media: Media,
        visibility: Visibility,
    ) -> VideoModel:
        more = {
            "renditions": [RenditionModel.of(row) for row in renditions],
            "chapters": [ChapterTitle.of(chapter) for chapter in showing.chapters],
            "embed_origins": None if showing.embed_origins is None else list(showing.embed_origins),
        }
        return cls.model_validate(_facts(video, urls, media, visibility) | more)


def _facts(video: Video, urls: Urls, media: Media, visibility: Visibility) -> dict[str, object]:
    def at(name: str) -> str | None:
        return media.url(name) if name in video.published else None

    exists = video.state is not VideoState.DELETED
    return {
        "id": video.id,
        "title": video.title,
        "state": video.state,
        "visibility": visibility,
        "progress": video.progress,
        "reason_code": video.reason_code,
        "reason": video.reason,
        "notes": [NoteModel.of(note) for note in video.notes],
        "filename": video.filename,
        "lane": str(video.lane),
        "duration_seconds": None if video.duration_ms is None else video.duration_ms / 1000,
        "source_bytes": video.source_bytes,
        "received_bytes": video.received_bytes,
        "created_at": moment(video.created_at_ms),
        "updated_at": moment(video.updated_at_ms),
        "uploaded_at": moment_or_none(video.uploaded_at_ms),
        "playable_at": moment_or_none(video.playable_at_ms),
        "ready_at": moment_or_none(video.ready_at_ms),
        "watch_url": urls.watch(video.id) if exists else None,
        "embed_url": urls.embed(video.id) if exists else None,
        "hls_url": at("master.m3u8"),
        "dash_url": at("manifest.mpd"),
        "poster_url": at("poster.jpg"),
        "storyboard_url": at("storyboard.vtt"),
    }


class VideoPage(BaseModel):
    videos: list[VideoSummary]
    next_cursor: str | None = Field(description="of the next page; null on the last one")


class Change(BaseModel):
    """What may be changed of a video; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    title: str | None = Field(default=None, min_length=1, max_length=200)
    visibility: Visibility | None = Field(
        default=None, description="who may play it; null: as the server's default says"
    )
    chapters: list[ChapterTitle] | None = Field(default=None, max_length=MAX_CHAPTERS, description="in order")
    embed_origins: list[str] | None = Field(
        default=None,
        max_length=MAX_EMBED_ORIGINS,
        description="web origins (https://example.org, https://*.example.org) whose pages may frame the player; null: any",
    )

    def applied_to(self, showing: Showing) -> Showing:
        """``showing`` with what is said here. Raises `InvalidRequest`."""
        chapters, origins = showing.chapters, showing.embed_origins
        try:
            if "chapters" in self.model_fields_set:
                chapters = tuple(chapter.value() for chapter in self.chapters or ())
            if "embed_origins" in self.model_fields_set:
                said = self.embed_origins
                origins = (
                    None if said is None else tuple(dict.fromkeys(one.strip().rstrip("/").lower() for one in said))
                )
            return Showing(chapters=chapters, embed_origins=origins)
        except ValueError as error:
            raise InvalidRequest(f"That cannot be: {error}.") from error


class ManyVideos(BaseModel):
    """The same done to many videos."""

    action: Literal["delete", "cancel", "retry"]
    ids: list[str] = Field(min_length=1, max_length=200)


class DoneToOne(BaseModel):
    id: str
    code: str | None = Field(description="of the problem; null: done")
    detail: str | None


class DoneToMany(BaseModel):
    """What came of it, in the order of the request."""

    results: list[DoneToOne]


class UploadModel(BaseModel):
    """A tus upload. Its id is a capability: who has it may send bytes."""

    id: str
    video_id: str | None = Field(description="null for a partial upload, which becomes none")
    state: str = Field(description="open, completed, terminated or refused")
    offset_bytes: int
    length_bytes: int | None
    reason_code: str | None = Field(description="why it was refused")
    reason: str | None
    metadata: dict[str, str] = Field(description="what its grant said of it")
    created_at: datetime
    expires_at: datetime | None = Field(description="null once it is complete")

    @classmethod
    def of(cls, upload: Upload) -> UploadModel:
        return cls(
            id=upload.id,
            video_id=None if upload.concat is Concat.PARTIAL else upload.video,
            state=upload.state,
            offset_bytes=upload.offset_bytes,
            length_bytes=upload.length_bytes,
            reason_code=upload.reason_code,
            reason=upload.reason,
            metadata=upload.labels,
            created_at=moment(upload.created_at_ms),
            expires_at=moment(upload.expires_at_ms) if upload.state == "open" else None,
        )


class Health(BaseModel):
    status: str


class ProblemModel(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str = Field(description="stable; for programs")
    detail: str = Field(description="a sentence for a person")


def moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def moment_or_none(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else moment(at_ms)
