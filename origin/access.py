"""What a delivery path names. Here it will also be decided who may have it; until then every published video is public.

A path that cannot be one of ours, an id that does not exist and one that may not be seen answer alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from origin.policy import IMMUTABLE_KINDS, Kind
from storage.content_types import OCTETS, content_type_of
from storage.errors import InvalidRequest, NotFound
from storage.ids import VideoId
from storage.keys import checked

_VIDEO_ID = re.compile(r"[a-z0-9][a-z0-9\-]{0,63}")
_NAME_OF_KIND: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.SEGMENT, re.compile(r"[a-z0-9][a-z0-9_.\-]*/[0-9]+-[0-9a-f]{12}\.m4s")),
    (Kind.INIT, re.compile(r"[a-z0-9][a-z0-9_.\-]*/init-[0-9a-f]{12}\.mp4")),
    (Kind.TILE, re.compile(r"storyboard/[0-9]+-[0-9a-f]{12}\.jpg")),
    (Kind.MANIFEST, re.compile(r".*\.(m3u8|mpd)")),
)


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
    """The one answer to everything that is not there or not to be seen."""
    return NotFound("There is nothing to play here. A video that was just uploaded may need a moment more.")


def parse_target(path: str) -> Target:
    """The target of ``/v/{id}/{name}``; raises `NotFound` for anything else."""
    parts = path.split("/", 3)
    if len(parts) != 4 or parts[:2] != ["", "v"] or not _VIDEO_ID.fullmatch(parts[2]):
        raise nothing_here()
    try:
        name = checked(parts[3])
    except InvalidRequest as error:
        raise nothing_here() from error
    if content_type_of(name) == OCTETS:
        raise nothing_here()
    kind = next((kind for kind, pattern in _NAME_OF_KIND if pattern.fullmatch(name)), Kind.PICTURE)
    return Target(VideoId(parts[2]), name, kind)
