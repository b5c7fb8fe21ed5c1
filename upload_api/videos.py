"""`/api/v1/videos` and `/api/v1/uploads`: sync routes; each reads or writes the catalogue and answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from storage.catalogue import VideoFilter, VideoSort
from storage.ids import UploadId, VideoId
from storage.lifecycle import VideoState
from upload_api.answers import NO_STORE, Answers
from upload_api.auth.principal import Caller
from upload_api.details import VideoDetails
from upload_api.editing import add_editing, add_ending
from upload_api.models import ProblemModel, UploadModel, VideoModel, VideoPage
from upload_api.ports import Ports
from upload_api.settings import UploadApiSettings
from upload_api.subtitles import add_subtitles

MAX_PAGE = 200
PROBLEMS = {code: {"model": ProblemModel} for code in (404, 409, 422, 503)}


def video_routes(settings: UploadApiSettings, ports: Ports) -> APIRouter:
    """The routes below ``/api/v1``."""
    router = APIRouter(prefix="/api/v1", responses=PROBLEMS)  # type: ignore[arg-type]  # FastAPI's dict is invariant
    answers = Answers(settings, ports)
    _add_reading(router, ports, answers)
    add_editing(router, ports, answers)
    add_ending(router, ports, answers)
    add_subtitles(router, ports)
    return router


def _add_reading(router: APIRouter, ports: Ports, answers: Answers) -> None:
    catalogue = ports.catalogue

    @router.get("/videos", summary="List videos", tags=["videos"])
    def list_videos(
        who: Caller,
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
        state: Annotated[list[VideoState], Query(description="only these states")] = [],  # noqa: B006  # FastAPI copies it
        text: Annotated[str | None, Query(max_length=200, description="in the title")] = None,
        sort: Annotated[VideoSort, Query(description="a cursor is good for its own order")] = VideoSort.NEWEST,
    ) -> VideoPage:
        where = VideoFilter(tenant=who.tenant, states=tuple(state), text=text or None)
        page, next_cursor = catalogue.videos(where, limit=limit, after=cursor, sort=sort)
        return VideoPage(videos=answers.summaries(page, request, response), next_cursor=next_cursor)

    @router.get("/videos/{video_id}", summary="One video", tags=["videos"])
    def get_video(video_id: str, request: Request, response: Response) -> VideoModel:
        return answers.in_full(catalogue.video(VideoId(video_id)), request, response)

    @router.get("/videos/{video_id}/details", summary="Everything that is known of one video", tags=["videos"])
    def get_details(video_id: str, request: Request, response: Response) -> VideoDetails:
        """Facts of the source, the plan, what is stored of each rendition, files, and what workers do right now."""
        return answers.details(catalogue.video(VideoId(video_id)), request, response)

    @router.get("/uploads/{upload_id}", summary="One upload, and the video it becomes", tags=["uploads"])
    def get_upload(upload_id: str, response: Response) -> UploadModel:
        response.headers.update(NO_STORE)
        return UploadModel.of(catalogue.upload(UploadId(upload_id)))
