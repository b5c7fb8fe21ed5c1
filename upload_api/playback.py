"""Where players find a video: plain addresses on the origin, or such as carry a token where the video is signed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from storage.errors import NotAllowed
from storage.grants import KeyRing, PlaybackGrant, Visibility, read_grant, sign_grant
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

    def __init__(self, keys: KeyRing, default: Visibility, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._default = default
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
        expires_at_s = (int(self._clock()) // _WINDOW_S + 2) * _WINDOW_S
        token = sign_grant(PlaybackGrant(video=video, expires_at_s=expires_at_s), self._keys)
        return with_token(video, urls, token)

    def opens(self, token: str, video: VideoId) -> bool:
        """Whether ``token`` opens ``video`` now. The origin looks at addresses and beginnings itself. Raises
        `GrantExpired` for one that did."""
        try:
            return read_grant(token, self._keys, self._clock()).video == video
        except NotAllowed:
            return False


def with_token(video: VideoId, urls: Urls, token: str) -> Media:
    return Media(base=f"{urls.origin}/t/{token}/v/{video}")
