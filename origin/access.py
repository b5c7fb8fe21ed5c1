"""What a delivery path names, and who may have it.

A path that cannot be one of ours, an id that does not exist and one that may not be seen answer alike. Where tokens are in
use that answer is 403, as an unsigned request for a signed video gets it; where they are not it is 404.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from origin.policy import IMMUTABLE_KINDS, Kind
from storage.content_types import OCTETS, content_type_of
from storage.errors import FishladderError, GrantExpired, InvalidRequest, NotAllowed, NotFound
from storage.grants import MAX_TOKEN_CHARS, KeyRing, PlaybackGrant, Visibility, read_grant
from storage.ids import VideoId
from storage.keys import checked

_VIDEO_ID = re.compile(r"[a-z0-9][a-z0-9\-]{0,63}")
_NAME_OF_KIND: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    # The numbers are of an I-frame that is a file of its own, as under AES-128.
    (Kind.SEGMENT, re.compile(r"[a-z0-9][a-z0-9_.\-]*/[0-9]+-[0-9a-f]{12}(\.[0-9]+-[0-9]+-[0-9]+)?\.m4s")),
    (Kind.INIT, re.compile(r"[a-z0-9][a-z0-9_.\-]*/init-[0-9a-f]{12}\.mp4")),
    (Kind.SUBTITLES, re.compile(r"[a-z0-9][a-z0-9_.\-]*/([0-9]+|whole)-[0-9a-f]{12}\.vtt")),
    (Kind.TILE, re.compile(r"storyboard/[0-9]+-[0-9a-f]{12}\.jpg")),
    (Kind.MANIFEST, re.compile(r".*\.(m3u8|mpd)")),
)
_TOKENS_REMEMBERED = 20_000
_QUERY_FIELDS = 50


@dataclass(frozen=True, slots=True)
class Target:
    """A name below ``/v/{video}/``."""

    video: VideoId
    name: str
    kind: Kind

    @property
    def in_asset(self) -> bool:
        """Whether the name is also the tail of an object key, so that only the video's asset has to be known."""
        return self.kind in IMMUTABLE_KINDS


def nothing_here() -> NotFound:
    """The one answer to everything that is not there."""
    return NotFound("There is nothing to play here. A video that was just uploaded may need a moment more.")


def not_allowed() -> NotAllowed:
    """The one answer to everything that may not be seen."""
    return NotAllowed("This needs a link that is signed for it. Ask for one where you found the video.")


def split_token(path: str) -> tuple[str | None, str]:
    """``/t/{token}/v/…`` → the token and ``/v/…``; other paths as they are."""
    if not path.startswith("/t/"):
        return None, path
    token, slash, rest = path[3:].partition("/")
    return token, slash + rest


def fields_of_query(query: str) -> list[tuple[str, str]]:
    """Names and values in a query string. Raises `InvalidRequest` for more of them than anything here asks for."""
    try:
        return parse_qsl(query, max_num_fields=_QUERY_FIELDS)
    except ValueError as error:
        raise InvalidRequest(f"This address has more than {_QUERY_FIELDS} query fields.") from error


def token_of_query(query: str) -> str | None:
    """The playback token in a query string. Raises as `fields_of_query` does."""
    return next((value for name, value in fields_of_query(query) if name == "token"), None)


def parse_target(path: str) -> Target:
    """The target of ``/v/{id}/{name}``; raises `NotFound` for anything else."""
    parts = path.split("/", 3)
    if len(parts) != 4 or parts[:2] != ["", "v"] or not _VIDEO_ID.fullmatch(parts[2]):
        raise nothing_here()
    try:
        name = checked(parts[3])
    except InvalidRequest as error:
        raise nothing_here() from error
    kind = next((kind for kind, pattern in _NAME_OF_KIND if pattern.fullmatch(name)), Kind.PICTURE)
    if content_type_of(name) == OCTETS:
        raise nothing_here()
    return Target(VideoId(parts[2]), name, kind)


class Access:
    """Decides from a video's visibility and a token. Tokens that were read are remembered: a player sends one with every
    segment."""

    def __init__(self, keys: KeyRing, default: Visibility, clock: Callable[[], float] = time.time):
        self._keys = keys
        self._default = default
        self._clock = clock
        self._grants: OrderedDict[str, PlaybackGrant] = OrderedDict()

    @property
    def in_use(self) -> bool:
        return bool(self._keys.keys)

    def refusal(self) -> FishladderError:
        """What answers for a video that is not there, or not for whoever asks."""
        return not_allowed() if self.in_use else nothing_here()

    def is_open(self, visibility: Visibility | None) -> bool:
        """Whether a video is to be had without a token."""
        return (visibility or self._default) is not Visibility.SIGNED

    def check(self, token: str | None, video: str, address: str | None, scope: str = "play") -> None:
        """Raises `NotAllowed` or `GrantExpired` unless ``token`` opens ``video`` for ``address`` now."""
        if not self.in_use or token is None or not self.allows(token, video, address, scope):
            raise self.refusal()

    def allows(self, token: str, video: str, address: str | None, scope: str = "play") -> bool:
        """Raises `GrantExpired` for a token that was good before."""
        now_s = self._clock()
        grant = self._grants.get(token)
        if grant is None:
            grant = self._read(token, now_s)
            if grant is None:
                return False
        elif grant.expires_at_s <= now_s:
            raise GrantExpired
        return grant.allows(video, now_s, address, scope)

    def _read(self, token: str, now_s: float) -> PlaybackGrant | None:
        if len(token) > MAX_TOKEN_CHARS:
            return None
        try:
            grant = read_grant(token, self._keys, now_s)
        except GrantExpired:
            raise
        except NotAllowed:
            return None
        self._grants[token] = grant
        if len(self._grants) > _TOKENS_REMEMBERED:
            self._grants.popitem(last=False)
        return grant
