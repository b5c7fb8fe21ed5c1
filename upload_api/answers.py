"""Videos as the API answers with them: what the catalogue knows, with the addresses that suit who asks."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request, Response

from storage.catalogue import Video
from storage.jobs import JobState
from upload_api.details import VideoDetails, details_of
from upload_api.models import VideoModel, VideoSummary
from upload_api.playback import Playback
from upload_api.ports import Ports
from upload_api.requests import asked_by
from upload_api.settings import UploadApiSettings
from upload_api.urls import Urls, plan_urls

NO_STORE = {"Cache-Control": "no-store"}
_MOST_JOBS = 1000


class Answers:
    def __init__(self, settings: UploadApiSettings, ports: Ports) -> None:
        self.playback = Playback(settings.playback_keys, settings.visibility, downloads=settings.downloads)
        self._settings = settings
        self._catalogue = ports.catalogue

    def in_full(self, video: Video, request: Request, response: Response) -> VideoModel:
        response.headers.update(NO_STORE)
        asset = self._catalogue.asset(video.asset, with_segments=False)
        showing, own, at = self._catalogue.showing(video.id), self._catalogue.visibility(video.id), self._urls(request)
        media = self.playback.of(video.id, at, own)
        return VideoModel.in_full(video, asset.renditions, showing, at, media, self.playback.effective(own))

    def summaries(self, videos: Sequence[Video], request: Request, response: Response) -> list[VideoSummary]:
        response.headers.update(NO_STORE)
        at, seen_as = self._urls(request), self._catalogue.seen_as([video.id for video in videos])

        def summary(video: Video) -> VideoSummary:
            own = seen_as.get(video.id)
            return VideoSummary.of(video, at, self.playback.of(video.id, at, own), self.playback.effective(own))

        return [summary(video) for video in videos]

    def details(self, video: Video, request: Request, response: Response) -> VideoDetails:
        response.headers.update(NO_STORE)
        asset = self._catalogue.asset(video.asset, with_segments=False)
        stored = self._catalogue.stored_runs(video.asset)
        running = self._catalogue.jobs(video=video.id, state=JobState.LEASED)
        waiting = self._catalogue.jobs(video=video.id, state=JobState.READY, limit=_MOST_JOBS)
        at = self._urls(request)
        media = self.playback.of(video.id, at, self._catalogue.visibility(video.id))
        return details_of(video, asset, stored, running + waiting, media, self.playback.downloads(video.id, at))

    def _urls(self, request: Request) -> Urls:
        return plan_urls(asked_by(request.scope), self._settings)
