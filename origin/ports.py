"""What the origin needs of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from storage.blobs import BlobStore
from storage.catalogue import Asset, Video
from storage.content_keys import AssetKeys
from storage.grants import Visibility
from storage.ids import AssetId, VideoId
from storage.jobs import PublishedName
from storage.plays import Plays


class KeyRows(Protocol):
    """The part of the catalogue that content keys are read from. Blocks."""

    def content_keys(self, asset: AssetId) -> AssetKeys: ...


class DownloadRows(Protocol):
    """The part of the catalogue that downloads read. Both calls block."""

    def video(self, video: VideoId) -> Video: ...

    def asset(self, asset: AssetId, *, with_segments: bool = True) -> Asset: ...


class PublishedNames(Protocol):
    """The part of the catalogue that delivery reads. Both calls block."""

    def published(self, video: VideoId, name: str) -> tuple[AssetId, PublishedName | None]:
        """See `storage.catalogue.Videos.published`."""
        ...

    def visibility(self, video: VideoId) -> Visibility | None:
        """Who may play a video; None: as the default says."""
        ...

    def check(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginPorts:
    """``close`` is called once, when the server has answered its last request."""

    catalogue: PublishedNames
    blobs: BlobStore
    plays: Plays | None = None  # None: what players report is not kept
    keys: KeyRows | None = None  # None: nothing is encrypted
    downloads: DownloadRows | None = None  # None: films are not given out as files
    close: Callable[[], None] = lambda: None
