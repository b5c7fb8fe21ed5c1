"""Media playlists and I-frame playlists (RFC 8216bis sections 4.4.3 and 4.4.4) of one rendition.

URIs are bare names: a playlist lies beside its segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from packager.hls.attributes import attribute_list, quoted
from packager.hls.tags import Start, Tag, Version, render_playlist
from storage.jobs import Segment


class PlaylistType(StrEnum):
    EVENT = "EVENT"  # grows at its end only
    VOD = "VOD"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDuration:
    seconds: int

    def lines(self) -> Iterable[str]:
        yield f"#EXT-X-TARGETDURATION:{self.seconds}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSequence:
    number: int

    def lines(self) -> Iterable[str]:
        yield f"#EXT-X-MEDIA-SEQUENCE:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    value: PlaylistType

    def lines(self) -> Iterable[str]:
        yield f"#EXT-X-PLAYLIST-TYPE:{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IFramesOnly:
    def lines(self) -> Iterable[str]:
        yield "#EXT-X-I-FRAMES-ONLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """The init segment for all that follows."""

    uri: str

    def lines(self) -> Iterable[str]:
        yield f"#EXT-X-MAP:{attribute_list({'URI': quoted(self.uri)})}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSegment:
    """A segment, or the bytes of one that hold an I-frame. ``byte_range``: (offset, size)."""

    uri: str
    duration_us: int
    byte_range: tuple[int, int] | None = None

    def lines(self) -> Iterable[str]:
        yield f"#EXTINF:{self.duration_us // 1_000_000}.{self.duration_us % 1_000_000:06d},"
        if self.byte_range is not None:
            offset, size = self.byte_range
            yield f"#EXT-X-BYTERANGE:{size}@{offset}"
        yield self.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class EndList:
    def lines(self) -> Iterable[str]:
        yield "#EXT-X-ENDLIST"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlaylist:
    """What a media playlist says. Growing: EVENT, started from its beginning; complete: VOD with an end."""

    target_duration_s: int
    init_uri: str
    segments: tuple[MediaSegment, ...]
    complete: bool
    iframes_only: bool = False

    def __post_init__(self) -> None:
        for segment in self.segments:
            # RFC 8216 section 4.3.3.1: EXTINF, rounded to the nearest integer, never exceeds the target duration.
            if (segment.duration_us + 500_000) // 1_000_000 > self.target_duration_s:
                raise ValueError(f"{segment.uri} lasts {segment.duration_us} µs, over {self.target_duration_s} s")

    def tags(self) -> Iterator[Tag]:
        yield Version()
        yield TargetDuration(seconds=self.target_duration_s)
        yield MediaSequence(number=0)
        yield Type(value=PlaylistType.VOD if self.complete else PlaylistType.EVENT)
        if not self.complete:
            yield Start()
        if self.iframes_only:
            yield IFramesOnly()
        yield Map(uri=self.init_uri)
        yield from self.segments
        if self.complete:
            yield EndList()

    def render(self) -> str:
        return render_playlist(self.tags())


def media_playlist(
    segments: Sequence[Segment], *, timescale: int, init_name: str, target_duration_s: int, complete: bool
) -> MediaPlaylist:
    """The media playlist over ``segments``, contiguous from number 0."""
    durations = exact_microseconds([segment.duration_ticks for segment in segments], timescale)
    return MediaPlaylist(
        target_duration_s=target_duration_s,
        init_uri=init_name,
        segments=tuple(
            MediaSegment(uri=segment.name, duration_us=duration)
            for segment, duration in zip(segments, durations, strict=True)
        ),
        complete=complete,
    )


def iframe_playlist(
    segments: Sequence[Segment], *, timescale: int, init_name: str, target_duration_s: int, complete: bool
) -> MediaPlaylist:
    """The I-frame playlist over the same ``segments``: each entry is one picture, shown until the next one."""
    iframes = [(segment.name, iframe) for segment in segments for iframe in segment.iframes]
    durations = exact_microseconds([iframe.duration_ticks for _, iframe in iframes], timescale)
    return MediaPlaylist(
        target_duration_s=target_duration_s,
        init_uri=init_name,
        segments=tuple(
            MediaSegment(uri=name, duration_us=duration, byte_range=(iframe.offset, iframe.size))
            for (name, iframe), duration in zip(iframes, durations, strict=True)
        ),
        complete=complete,
        iframes_only=True,
    )


def exact_microseconds(durations_ticks: Iterable[int], timescale: int) -> list[int]:
    """Durations in whole microseconds whose sums never drift: each is the difference of two rounded end times.

    A player adds EXTINFs up. Rounded one by one, 10,000 segments of 1001/240 s would be off by milliseconds.
    """
    durations_us: list[int] = []
    end_ticks = end_us = 0
    for ticks in durations_ticks:
        end_ticks += ticks
        next_us = (2 * end_ticks * 1_000_000 + timescale) // (2 * timescale)  # rounded
        durations_us.append(next_us - end_us)
        end_us = next_us
    return durations_us
