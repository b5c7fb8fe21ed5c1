"""Where players find a video: plain addresses on the origin, or such as carry a token where the video is signed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from storage.errors import GrantExpired, NotAllowed
from storage.grants import Downloads, KeyRing, PlaybackGrant, Visibility, read_grant, sign_grant
from storage.ids import VideoId
from upload_api.urls import Urls

_WINDOW_S = 6 * 3600
"""Tokens made within one window are the same, so that browsers keep the pictures they have; each is good for one to two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Addresses of one video's public names."""

    base: str

    def url(self, name: str) -> str:
        return f"{self.base}/{name}"


class Playback:
    """``keys``: without any there is no signed video. ``default``: of videos that say nothing."""

    def __init__(
        self,
        keys: KeyRing,
        default: Visibility,
        *,
        downloads: Downloads = Downloads.NEVER,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._default = default
        self._downloads = downloads
        self._clock = clock

    @property
    def can_sign(self) -> bool:
        return bool(self._keys.keys)

    def effective(self, own: Visibility | None) -> Visibility:
        return own or self._default

    def is_signed(self, own: Visibility | None) -> bool:
        return self.can_sign and self.effective(own) is Visibility.SIGNED

    def of(self, video: VideoId, urls: Urls, own: Visibility | None) -> Media:
        """For somebody who may see every video."""
        if not self.is_signed(own):
            return Media(base=f"{urls.origin}/v/{video}")
        return self._signed(video, urls, "play")

    def downloads(self, video: VideoId, urls: Urls) -> Media | None:
        """Where the same person finds the video's files; None where nobody may keep them."""
        if self._downloads is Downloads.NEVER or not (self.can_sign or self._downloads is Downloads.OPEN):
            return None
        if not self.can_sign:
            return Media(base=f"{urls.origin}/v/{video}")
        return self._signed(video, urls, "download")

    def _signed(self, video: VideoId, urls: Urls, scope: str) -> Media:
        expires_at_s = (int(self._clock()) // _WINDOW_S + 2) * _WINDOW_S
        grant = PlaybackGrant(video=video, expires_at_s=expires_at_s, scope=scope)
        return with_token(video, urls, sign_grant(grant, self._keys))

    def opens(self, token: str, video: VideoId) -> bool:
        """Whether ``token`` opens ``video`` now. The origin looks at addresses and beginnings itself. Raises
        `GrantExpired` for one that did."""
        try:
            grant = read_grant(token, self._keys, self._clock())
        except GrantExpired:
            raise
        except NotAllowed:
            return False
        return grant.video == video and grant.scope == "play"


def with_token(video: VideoId, urls: Urls, token: str) -> Media:
    return Media(base=f"{urls.origin}/t/{token}/v/{video}")
