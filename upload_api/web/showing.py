"""What the pages that anybody may be sent to know of a video: far less than its owner does. Pure but for `Viewing`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from storage.access import Scope
from storage.catalogue import Catalogue, Video
from storage.errors import NotFound
from storage.grants import Visibility
from storage.ids import VideoId
from storage.lifecycle import VideoState
from storage.showing import Showing
from upload_api.auth.principal import CALLER, Principal
from upload_api.playback import Media, Playback, with_token
from upload_api.urls import Urls

_SHAPE = (1280, 720)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A video as one viewer may see it. ``size``: of its largest rendition."""

    video: Video
    showing: Showing
    media: Media
    size: tuple[int, int]
    is_signed: bool
    is_owners: bool = False  # whoever asks may open the owner's page

    def url(self, name: str) -> str | None:
        return self.media.url(name) if name in self.video.published else None


class Viewing:
    """Finds a video for whoever asks. A signed one is there for who brings a token for it and for who may see it anyway;
    for all others it is as if it were not."""

    def __init__(self, catalogue: Catalogue, playback: Playback) -> None:
        self._catalogue = catalogue
        self._playback = playback

    def shown(self, video_id: str, request: Request, urls: Urls) -> Shown:
        """Raises `NotFound`, and `GrantExpired` for a link that was good before."""
        video = self._catalogue.video(VideoId(video_id))
        if video.state is VideoState.DELETED:
            raise NotFound
        own = self._catalogue.visibility(video.id)
        token = request.query_params.get("token")
        signed = self._playback.is_signed(own)
        if signed and token is not None and self._playback.opens(token, video.id):
            media = with_token(video.id, urls, token)
        elif signed and not _may_see(request, video):
            raise NotFound
        else:
            media = self._playback.of(video.id, urls, own)
        return Shown(
            video=video,
            showing=self._catalogue.showing(video.id),
            media=media,
            size=self._size(video),
            is_signed=signed,
            is_owners=_may_see(request, video),
        )

    def listed(self, video_id: str, urls: Urls) -> Shown:
        """For services that ask on behalf of nobody. Raises `NotFound` for a signed video too."""
        video = self._catalogue.video(VideoId(video_id))
        own = self._catalogue.visibility(video.id)
        if video.state is VideoState.DELETED or self._playback.effective(own) is Visibility.SIGNED:
            raise NotFound
        media = self._playback.of(video.id, urls, own)
        showing = self._catalogue.showing(video.id)
        return Shown(video=video, showing=showing, media=media, size=self._size(video), is_signed=False)

    def _size(self, video: Video) -> tuple[int, int]:
        rows = self._catalogue.asset(video.asset, with_segments=False).renditions
        sizes = [(row.rung.width, row.rung.height) for row in rows if row.rung is not None]
        return max(sizes, default=_SHAPE)


def _may_see(request: Request, video: Video) -> bool:
    """Who may upload alone, by a key or a grant, sees no more than a stranger does."""
    caller = request.scope.get(CALLER)
    return isinstance(caller, Principal) and caller.tenant == video.tenant and caller.may(Scope.READ)


def public_facts(shown: Shown, urls: Urls) -> dict[str, Any]:
    """What the player of a share page is told."""
    video = shown.video
    uploading = video.state is VideoState.UPLOADING
    return {
        "id": video.id,
        "title": video.title,
        "state": video.state,
        "progress": video.progress,
        "uploaded": video.received_bytes / video.source_bytes if uploading and video.source_bytes else None,
        "reason": video.reason,
        "duration_seconds": None if video.duration_ms is None else video.duration_ms / 1000,
        "width": shown.size[0],
        "height": shown.size[1],
        "created_at_ms": video.created_at_ms,
        "hls_url": shown.url("master.m3u8"),
        "dash_url": shown.url("manifest.mpd"),
        "poster_url": shown.url("poster.jpg"),
        "storyboard_url": shown.url("storyboard.vtt"),
        "details_url": f"{urls.public}/videos/{video.id}" if shown.is_owners else None,
        "watch_url": urls.watch(video.id),
        "embed_url": urls.embed(video.id),
        "chapters": [
            {"start_seconds": chapter.start_ms / 1000, "title": chapter.title} for chapter in shown.showing.chapters
        ],
    }
