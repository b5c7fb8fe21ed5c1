"""`/api/v1/videos/{id}/subtitles`: which a video has, and uploading and deleting them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from packager.subtitles import render_webvtt
from storage import keys
from storage.content_types import content_type_of
from storage.errors import TooLarge
from storage.ids import VideoId
from storage.media.ladder import SubtitleRendition
from storage.media.languages import language_name
from storage.subtitles import SubtitleRow
from upload_api.captions import (
    MAX_CAPTION_BYTES,
    MAX_LABEL_CHARACTERS,
    check_segmented,
    checked_captions,
    rendition_name,
    spoken_language,
    track_of,
)
from upload_api.ports import Ports
from upload_api.tus.metadata import tidy_line

NO_STORE = {"Cache-Control": "no-store"}


class TextKind(StrEnum):
    """What subtitles are for."""

    SUBTITLES = "subtitles"  # what is said
    CAPTIONS = "captions"  # for the deaf: sounds and speakers too
    FORCED = "forced"  # only what must be read by everybody, such as signs


class SubtitleModel(BaseModel):
    """A track of subtitles."""

    track: str
    language: str = Field(description="BCP 47")
    label: str
    kind: TextKind
    default: bool = Field(description="shown unless the viewer says otherwise")
    uploaded: bool = Field(description="false: it was in the source")
    ready: bool = Field(description="it can be played, or will with the video's last publication")

    @classmethod
    def of(cls, row: SubtitleRow) -> SubtitleModel:
        it = row.rendition
        return cls(
            track=track_of(it.name),
            language=it.language,
            label=it.label,
            kind=TextKind.FORCED if it.forced else TextKind.CAPTIONS if it.for_deaf else TextKind.SUBTITLES,
            default=it.default,
            uploaded=row.is_uploaded,
            ready=row.stored is not None,
        )


class SubtitleList(BaseModel):
    subtitles: list[SubtitleModel]


def add_subtitles(router: APIRouter, ports: Ports) -> None:
    """The routes of subtitles."""
    catalogue = ports.catalogue

    @router.get("/videos/{video_id}/subtitles", summary="The subtitles of a video", tags=["subtitles"])
    def list_subtitles(video_id: str, response: Response) -> SubtitleList:
        response.headers.update(NO_STORE)
        asset = catalogue.asset(catalogue.video(VideoId(video_id)).asset, with_segments=False)
        return SubtitleList(subtitles=[SubtitleModel.of(row) for row in asset.subtitles])

    def put(video_id: str, rendition: SubtitleRendition, data: bytes) -> SubtitleModel:
        found = checked_captions(data)
        whole = render_webvtt(found).encode()
        video = catalogue.video(VideoId(video_id))
        plan = catalogue.asset(video.asset, with_segments=False).plan
        if plan is not None:  # without one the catalogue refuses them
            check_segmented(found, duration=plan.duration, segment=plan.ladder.segment_seconds)
        name = keys.whole_subtitles_name(keys.hash12(whole))
        key = keys.rendition_key(video.asset, rendition.name, name)
        ports.blobs.put(key, whole, content_type=content_type_of(name))
        ports.bell.ring(catalogue.put_subtitles(video.id, video.asset, rendition, name))
        return SubtitleModel.of(SubtitleRow(rendition=rendition, whole_name=name))

    @router.put(
        "/videos/{video_id}/subtitles/{track}",
        summary="Upload subtitles, or others in their place",
        tags=["subtitles"],
        openapi_extra={
            "requestBody": {"required": True, "content": {"text/vtt": {}, "application/x-subrip": {}, "text/plain": {}}}
        },
    )
    async def put_subtitles(
        video_id: str,
        track: str,
        request: Request,
        response: Response,
        language: Annotated[str | None, Query(max_length=35, description="BCP 47; default: from the name")] = None,
        label: Annotated[str | None, Query(max_length=200, description="as players show it")] = None,
        kind: TextKind = TextKind.SUBTITLES,
        default: Annotated[bool, Query(description="shown unless the viewer says otherwise")] = False,
    ) -> SubtitleModel:
        """WebVTT or SubRip in UTF-8, at most 4 MiB. `track` names it, for example `en` or `en-cc`. Players find it with
        the next publication: seconds later for a video that is ready, else with its last segment."""
        name, spoken = rendition_name(track), spoken_language(track, language)
        named = language_name(spoken, "Subtitles") + (" (captions)" if kind is TextKind.CAPTIONS else "")
        rendition = SubtitleRendition(
            name=name,
            language=spoken,
            label=tidy_line(label or "", MAX_LABEL_CHARACTERS) or named,
            default=default,
            forced=kind is TextKind.FORCED,
            for_deaf=kind is TextKind.CAPTIONS,
        )
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > MAX_CAPTION_BYTES:
                raise TooLarge(f"A file of subtitles has at most {MAX_CAPTION_BYTES >> 20} MiB.")
        response.headers.update(NO_STORE)
        return await run_in_threadpool(put, video_id, rendition, bytes(data))

    @router.delete(
        "/videos/{video_id}/subtitles/{track}", summary="Delete subtitles", status_code=204, tags=["subtitles"]
    )
    def delete_subtitles(video_id: str, track: str) -> None:
        lane = catalogue.delete_subtitles(VideoId(video_id), rendition_name(track))
        if lane is not None:
            ports.bell.ring(lane)
