"""What people change: titles, who may see a video, its poster and chapters; and the ends and new beginnings of videos."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from storage import keys
from storage.catalogue import Video
from storage.errors import InvalidRequest, NotFound, NotFoundOrConflict, Rejected, TooLarge
from storage.grants import Visibility
from storage.ids import VideoId
from storage.jobs import PublishedName
from storage.media.ladder import RECIPE
from upload_api.answers import Answers
from upload_api.auth.principal import Caller
from upload_api.models import Change, DoneToMany, DoneToOne, ManyVideos, VideoModel
from upload_api.ports import Ports
from upload_api.posters import MAX_POSTER_BYTES, checked_poster
from upload_api.tus.completion import drop_bytes
from upload_api.tus.metadata import MAX_TITLE_CHARACTERS, tidy_line


def add_editing(router: APIRouter, ports: Ports, answers: Answers) -> None:
    """The routes that change what is said of a video."""
    catalogue = ports.catalogue

    @router.patch("/videos/{video_id}", summary="Change what is said of a video", tags=["videos"])
    def change_video(video_id: str, change: Change, request: Request, response: Response) -> VideoModel:
        video = catalogue.video(VideoId(video_id))
        title = tidy_line(change.title or "", MAX_TITLE_CHARACTERS)
        if "title" in change.model_fields_set and not title:
            raise InvalidRequest("A title has at least one visible character.")
        if change.visibility is Visibility.SIGNED and not answers.playback.can_sign:
            raise InvalidRequest("Signed playback needs FISHLADDER_PLAYBACK_KEYS on the server.")
        if change.model_fields_set & {"chapters", "embed_origins"}:
            catalogue.set_showing(video.id, change.applied_to(catalogue.showing(video.id)))
        if "visibility" in change.model_fields_set:
            catalogue.set_visibility(video.id, change.visibility)
        if title:
            catalogue.rename_video(video.id, title)
        return answers.in_full(catalogue.video(video.id), request, response)

    def chosen(video_id: str, picture: bytes, request: Request, response: Response) -> VideoModel:
        checked_poster(picture)
        video = catalogue.video(VideoId(video_id))
        key = keys.asset_key(video.asset, keys.versioned_name("poster.jpg", keys.hash12(picture)))
        ports.blobs.put(key, picture, content_type="image/jpeg")
        poster = PublishedName(name="poster.jpg", key=key, content_type="image/jpeg", size_bytes=len(picture))
        catalogue.choose_poster(video.id, poster)
        return answers.in_full(catalogue.video(video.id), request, response)

    @router.put(
        "/videos/{video_id}/poster",
        summary="Show this picture as the poster",
        tags=["videos"],
        openapi_extra={"requestBody": {"required": True, "content": {"image/jpeg": {}}}},
    )
    async def choose_poster(video_id: str, request: Request, response: Response) -> VideoModel:
        """A JPEG of at most 4 MiB."""
        picture = bytearray()
        async for piece in request.stream():
            picture += piece
            if len(picture) > MAX_POSTER_BYTES:
                raise TooLarge(f"A poster has at most {MAX_POSTER_BYTES >> 20} MiB.")
        return await run_in_threadpool(chosen, video_id, bytes(picture), request, response)


def add_ending(router: APIRouter, ports: Ports, answers: Answers) -> None:
    """The routes that end a video's work, or begin it again: for one, and for many."""
    catalogue = ports.catalogue

    @router.delete("/videos/{video_id}", summary="Delete a video and all its objects", status_code=204, tags=["videos"])
    def delete_video(video_id: str) -> None:
        delete(ports, VideoId(video_id))

    @router.post("/videos/{video_id}/cancel", summary="Stop working on a video", tags=["videos"])
    def cancel_video(video_id: str, request: Request, response: Response) -> VideoModel:
        cancel(ports, VideoId(video_id))
        return answers.in_full(catalogue.video(VideoId(video_id)), request, response)

    @router.post("/videos/{video_id}/retry", summary="Encode a failed video again", tags=["videos"])
    def retry_video(video_id: str, request: Request, response: Response) -> VideoModel:
        retry(ports, VideoId(video_id))
        return answers.in_full(catalogue.video(VideoId(video_id)), request, response)

    @router.post("/videos/actions", summary="Delete, cancel or retry many videos", tags=["videos"])
    def act_on_many(wanted: ManyVideos, who: Caller) -> DoneToMany:
        """Each by itself: one that cannot be done says so, and keeps no other from it."""
        act = {"delete": delete, "cancel": cancel, "retry": retry}[wanted.action]
        results = []
        for video_id in dict.fromkeys(wanted.ids):
            try:
                who.owns(catalogue, VideoId(video_id))
                act(ports, VideoId(video_id))
                results.append(DoneToOne(id=video_id, code=None, detail=None))
            except (NotFoundOrConflict, Rejected) as error:
                results.append(DoneToOne(id=video_id, code=error.code, detail=error.sentence))
        return DoneToMany(results=results)


def delete(ports: Ports, video: VideoId) -> None:
    _free_upload(ports, ports.catalogue.delete_video(video))


def cancel(ports: Ports, video: VideoId) -> None:
    _free_upload(ports, ports.catalogue.cancel_video(video))


def retry(ports: Ports, video: VideoId) -> None:
    ports.bell.ring(ports.catalogue.retry_video(video, recipe=RECIPE).lane)


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
