"""Media playlists and I-frame playlists (RFC 8216bis sections 4.4.3 and 4.4.4) of one rendition.

URIs are bare names: a playlist lies beside its segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, chain, pairwise
from operator import attrgetter

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
class MediaSegments:
    """EXTINF and URI of every segment, or of every part of one that holds an I-frame; one column for each attribute.

    Columns, as a film of hours has tens of thousands. ``offsets`` and ``sizes``: byte ranges, for all or for none.
    """

    uris: tuple[str, ...]
    durations_us: tuple[int, ...]
    offsets: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.uris)
        if (
            len(self.durations_us) != count
            or len(self.offsets) not in (0, count)
            or len(self.sizes) != len(self.offsets)
        ):
            raise ValueError("every segment has a name, a duration, and where others have one, a byte range")

    def lines(self) -> Iterable[str]:
        said = {duration_us: _extinf(duration_us) for duration_us in set(self.durations_us)}
        durations = [said[duration_us] for duration_us in self.durations_us]
        if not self.sizes:
            return chain.from_iterable(zip(durations, self.uris, strict=True))
        ranges = [f"#EXT-X-BYTERANGE:{size}@{offset}" for size, offset in zip(self.sizes, self.offsets, strict=True)]
        return chain.from_iterable(zip(durations, ranges, self.uris, strict=True))


def _extinf(duration_us: int) -> str:
    return f"#EXTINF:{duration_us // 1_000_000}.{duration_us % 1_000_000:06d},"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndList:
    def lines(self) -> Iterable[str]:
        yield "#EXT-X-ENDLIST"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlaylist:
    """What a media playlist says. Growing: EVENT, started from its beginning; complete: VOD with an end."""

    target_duration_s: int
    init_uri: str | None
    segments: MediaSegments
    complete: bool
    iframes_only: bool = False

    def __post_init__(self) -> None:
        # RFC 8216 section 4.3.3.1: EXTINF, rounded to the nearest integer, never exceeds the target duration.
        longest_us = max(self.segments.durations_us, default=0)
        if (longest_us + 500_000) // 1_000_000 > self.target_duration_s:
            uri = self.segments.uris[self.segments.durations_us.index(longest_us)]
            raise ValueError(f"{uri} lasts {longest_us} µs, over {self.target_duration_s} s")

    def tags(self) -> Iterator[Tag]:
        yield Version()
        yield TargetDuration(seconds=self.target_duration_s)
        yield MediaSequence(number=0)
        yield Type(value=PlaylistType.VOD if self.complete else PlaylistType.EVENT)
        if not self.complete:
            yield Start()
        if self.iframes_only:
            yield IFramesOnly()
        if self.init_uri is not None:
            yield Map(uri=self.init_uri)
        yield self.segments
        if self.complete:
            yield EndList()

    def render(self) -> str:
        return render_playlist(self.tags())


def media_playlist(
    segments: Sequence[Segment], *, timescale: int, init_name: str | None, target_duration_s: int, complete: bool
) -> MediaPlaylist:
    """The media playlist over ``segments``, contiguous from number 0. WebVTT has no init segment."""
    durations = exact_microseconds([segment.duration_ticks for segment in segments], timescale)
    return MediaPlaylist(
        target_duration_s=target_duration_s,
        init_uri=init_name,
        segments=MediaSegments(uris=tuple(map(attrgetter("name"), segments)), durations_us=tuple(durations)),
        complete=complete,
    )


def iframe_playlist(
    segments: Sequence[Segment], *, timescale: int, init_name: str, target_duration_s: int, complete: bool
) -> MediaPlaylist:
    """The I-frame playlist over the same ``segments``: each entry is one picture, shown until the next one."""
    iframes = [iframe for segment in segments for iframe in segment.iframes]
    durations = exact_microseconds([iframe.duration_ticks for iframe in iframes], timescale)
    return MediaPlaylist(
        target_duration_s=target_duration_s,
        init_uri=init_name,
        segments=MediaSegments(
            uris=tuple([segment.name for segment in segments for _ in segment.iframes]),
            durations_us=tuple(durations),
            offsets=tuple(map(attrgetter("offset"), iframes)),
            sizes=tuple(map(attrgetter("size"), iframes)),
        ),
        complete=complete,
        iframes_only=True,
    )


def exact_microseconds(durations_ticks: Iterable[int], timescale: int) -> list[int]:
    """Durations in whole microseconds whose sums never drift: each is the difference of two rounded end times.

    A player adds EXTINFs up. Rounded one by one, 10,000 segments of 1001/240 s would be off by milliseconds.
    """
    ends_us = [
        (2 * end * 1_000_000 + timescale) // (2 * timescale)  # rounded
        for end in accumulate(durations_ticks, initial=0)
    ]
    return [end_us - start_us for start_us, end_us in pairwise(ends_us)]
