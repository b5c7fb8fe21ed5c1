"""`/api/v1/videos` and `/api/v1/uploads`: sync routes; each reads or writes the catalogue once and answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from storage.catalogue import Video, VideoFilter
from storage.errors import InvalidRequest, NotFound
from storage.ids import UploadId, VideoId
from storage.lifecycle import VideoState
from storage.media.ladder import RECIPE
from upload_api.models import ProblemModel, Rename, UploadModel, VideoModel, VideoPage, VideoSummary
from upload_api.ports import Ports
from upload_api.requests import asked_by
from upload_api.settings import UploadApiSettings
from upload_api.tus.completion import drop_bytes
from upload_api.tus.metadata import MAX_TITLE_CHARACTERS, tidy_line
from upload_api.urls import Urls, plan_urls

MAX_PAGE = 200
PROBLEMS = {code: {"model": ProblemModel} for code in (404, 409, 422, 503)}
NO_STORE = {"Cache-Control": "no-store"}


def video_routes(settings: UploadApiSettings, ports: Ports) -> APIRouter:
    """The routes below ``/api/v1``."""
    router = APIRouter(prefix="/api/v1", responses=PROBLEMS)  # type: ignore[arg-type]  # FastAPI's dict is invariant
    catalogue = ports.catalogue

    def urls(request: Request) -> Urls:
        return plan_urls(asked_by(request.scope), settings)

    def in_full(video: Video, request: Request, response: Response) -> VideoModel:
        response.headers.update(NO_STORE)
        asset = catalogue.asset(video.asset, with_segments=False)
        return VideoModel.in_full(video, asset.renditions, urls(request))

    @router.get("/videos", summary="List videos, newest first", tags=["videos"])
    def list_videos(
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
        state: Annotated[list[VideoState], Query(description="only these states")] = [],  # noqa: B006  # FastAPI copies it
        text: Annotated[str | None, Query(max_length=200, description="in the title")] = None,
    ) -> VideoPage:
        response.headers.update(NO_STORE)
        page, next_cursor = catalogue.videos(
            VideoFilter(states=tuple(state), text=text or None), limit=limit, after=cursor
        )
        at = urls(request)
        return VideoPage(videos=[VideoSummary.of(video, at) for video in page], next_cursor=next_cursor)

    @router.get("/videos/{video_id}", summary="One video", tags=["videos"])
    def get_video(video_id: str, request: Request, response: Response) -> VideoModel:
        return in_full(catalogue.video(VideoId(video_id)), request, response)

    @router.patch("/videos/{video_id}", summary="Rename a video", tags=["videos"])
    def rename_video(video_id: str, change: Rename, request: Request, response: Response) -> VideoModel:
        title = tidy_line(change.title, MAX_TITLE_CHARACTERS)
        if not title:
            raise InvalidRequest("A title has at least one visible character.")
        return in_full(catalogue.rename_video(VideoId(video_id), title), request, response)

    @router.delete("/videos/{video_id}", summary="Delete a video and all its objects", status_code=204, tags=["videos"])
    def delete_video(video_id: str) -> None:
        _free_upload(ports, catalogue.delete_video(VideoId(video_id)))

    @router.post("/videos/{video_id}/cancel", summary="Stop working on a video", tags=["videos"])
    def cancel_video(video_id: str, request: Request, response: Response) -> VideoModel:
        video = catalogue.cancel_video(VideoId(video_id))
        _free_upload(ports, video)
        return in_full(video, request, response)

    @router.post("/videos/{video_id}/retry", summary="Encode a failed video again", tags=["videos"])
    def retry_video(video_id: str, request: Request, response: Response) -> VideoModel:
        job = catalogue.retry_video(VideoId(video_id), recipe=RECIPE)
        ports.bell.ring(job.lane)
        return in_full(catalogue.video(VideoId(video_id)), request, response)

    @router.get("/uploads/{upload_id}", summary="One upload, and the video it becomes", tags=["uploads"])
    def get_upload(upload_id: str, response: Response) -> UploadModel:
        response.headers.update(NO_STORE)
        return UploadModel.of(catalogue.upload(UploadId(upload_id)))

    return router


def _free_upload(ports: Ports, video: Video) -> None:
    """An upload that ended with its video frees what it has in the store. The source of one that was complete is not
    ours to drop: it stays for a retry, or goes with the catalogue's doomed objects."""
    if video.upload is None or video.uploaded_at_ms is not None:
        return
    try:
        upload = ports.catalogue.upload(video.upload)
    except NotFound:
        return
    if upload.state not in ("open", "completed"):
        drop_bytes(ports.blobs, upload)
