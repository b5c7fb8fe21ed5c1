"""The catalogue's port for subtitles: which an asset has, from its source or uploaded, and what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from storage.ids import AssetId, VideoId
from storage.jobs import Lane, SubtitleSegments
from storage.keys import rendition_key
from storage.media.ladder import SubtitleRendition

MOST_TRACKS = 64
"""Of one video: nobody speaks more languages, and every one is a file in all manifests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleRow:
    """A rendition of subtitles. ``whole_name``: of the file that was uploaded, or made from the source; None: not yet.
    ``stored`` None: it is not cut into segments yet, and no manifest names it."""

    rendition: SubtitleRendition
    whole_name: str | None = None
    stored: SubtitleSegments | None = None

    @property
    def is_uploaded(self) -> bool:
        return self.rendition.track_index is None


def keys_of(asset: AssetId, stored: SubtitleSegments) -> Iterator[tuple[str, int]]:
    """(key, size) of everything that is stored of a rendition of subtitles."""
    yield rendition_key(asset, stored.rendition, stored.whole_name), stored.whole_size_bytes
    for segment in stored.segments:
        yield rendition_key(asset, stored.rendition, segment.name), segment.size_bytes


class SubtitleTracks(Protocol):
    def put_subtitles(self, video: VideoId, asset: AssetId, rendition: SubtitleRendition, whole_name: str) -> Lane:
        """Record uploaded subtitles, whose file ``whole_name`` is in the store, in place of those of the same name, and the
        job that cuts them; the lane to ring. Raises `NotFound`, `IllegalTransition` while the video is not encoded or
        played, `Conflict` if ``asset`` is not its asset any more, `TooLarge` beyond `MOST_TRACKS`."""
        ...

    def delete_subtitles(self, video: VideoId, name: str) -> Lane | None:
        """Forget subtitles; their files may go after a grace. The lane to ring for the publication that leaves them out.
        Raises `NotFound`, also for a name that is not there, and `IllegalTransition`."""
        ...
