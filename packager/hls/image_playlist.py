"""The image playlist: the storyboard's sprites for players that show thumbnails from HLS (shaka-player, Roku).

Image Media Playlist specification, version 0.4; no RFC has it, and players that do not know its tags pass over them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from packager.hls.attributes import attribute_list, decimal, quoted, resolution
from packager.hls.media_playlist import EndList, MediaSequence, PlaylistType, TargetDuration, Type
from packager.hls.tags import Tag, Version, render_playlist
from packager.presentation import Storyboard
from packager.storyboard import tile_url

IMAGE_PLAYLIST_NAME = "storyboard.m3u8"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVariant:
    """EXT-X-IMAGE-STREAM-INF. ``size``: of one thumbnail."""

    bandwidth_bps: int
    size: tuple[int, int]
    uri: str

    def lines(self) -> Iterable[str]:
        attributes: dict[str, str | int | None] = {
            "BANDWIDTH": self.bandwidth_bps,
            "RESOLUTION": resolution(*self.size),
            "CODECS": quoted("jpeg"),
            "URI": quoted(self.uri),
        }
        yield f"#EXT-X-IMAGE-STREAM-INF:{attribute_list(attributes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesOnly:
    def lines(self) -> Iterable[str]:
        yield "#EXT-X-IMAGES-ONLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A sprite with its grid of thumbnails, one every ``interval``; it is shown for ``duration``."""

    uri: str
    duration: Fraction
    size: tuple[int, int]
    grid: tuple[int, int]
    interval: Fraction

    def lines(self) -> Iterable[str]:
        yield f"#EXTINF:{decimal(self.duration)},"
        layout = {
            "RESOLUTION": resolution(*self.size),
            "LAYOUT": resolution(*self.grid),
            "DURATION": decimal(self.interval, 3),
        }
        yield f"#EXT-X-TILES:{attribute_list(layout)}"
        yield self.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlaylist:
    tiles: tuple[Tile, ...]

    def tags(self) -> Iterator[Tag]:
        longest = max((tile.duration for tile in self.tiles), default=Fraction(1))
        yield Version()
        yield TargetDuration(seconds=max(1, (longest + Fraction(1, 2)).__floor__()))
        yield MediaSequence(number=0)
        yield Type(value=PlaylistType.VOD)
        yield ImagesOnly()
        yield from self.tiles
        yield EndList()

    def render(self) -> str:
        return render_playlist(self.tags())


def image_playlist(storyboard: Storyboard, *, duration: Fraction) -> ImagePlaylist:
    """The image playlist of ``storyboard``; the last sprite ends with the film. Finished from the start: a storyboard is
    made whole."""
    per_tile = storyboard.interval * storyboard.columns * storyboard.rows
    return ImagePlaylist(
        tiles=tuple(
            Tile(
                uri=tile_url(name),
                duration=min(per_tile, duration - number * per_tile),
                size=(storyboard.width, storyboard.height),
                grid=(storyboard.columns, storyboard.rows),
                interval=storyboard.interval,
            )
            for number, name in enumerate(storyboard.tiles)
            if number * per_tile < duration
        )
    )


def image_variant(storyboard: Storyboard) -> ImageVariant:
    """How the multivariant playlist names it."""
    per_tile = storyboard.interval * storyboard.columns * storyboard.rows
    largest_bytes = max(storyboard.tile_sizes_bytes, default=0)
    return ImageVariant(
        bandwidth_bps=max(1, (largest_bytes * 8 / per_tile).__ceil__()),
        size=(storyboard.width, storyboard.height),
        uri=IMAGE_PLAYLIST_NAME,
    )
