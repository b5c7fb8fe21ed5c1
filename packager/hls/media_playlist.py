"""Media playlists and I-frame playlists (RFC 8216bis sections 4.4.3 and 4.4.4) of one rendition.

URIs are bare names: a playlist lies beside its segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, chain
from operator import attrgetter, sub

from packager.encryption import Protection, iframe_name, period_starts
from packager.hls.attributes import attribute_list, quoted
from packager.hls.keys import Key, keys_of
from packager.hls.tags import Start, Tag, Version, render_playlist
from storage.jobs import Segment
from storage.media.encryption import Encryption


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

    def part(self, start: int, stop: int) -> MediaSegments:
        """Those from number ``start`` of the list up to ``stop``."""
        return MediaSegments(
            uris=self.uris[start:stop],
            durations_us=self.durations_us[start:stop],
            offsets=self.offsets[start:stop],
            sizes=self.sizes[start:stop],
        )

    def lines(self) -> Iterable[str]:
        said = {duration_us: _extinf(duration_us) for duration_us in set(self.durations_us)}
        durations = [said[duration_us] for duration_us in self.durations_us]
        if not self.sizes:
            return chain.from_iterable(zip(durations, self.uris, strict=True))
        ranges = [f"#EXT-X-BYTERANGE:{size}@{offset}" for size, offset in zip(self.sizes, self.offsets, strict=True)]
        return chain.from_iterable(zip(durations, ranges, self.uris, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedLines:
    """Segments that are text already. ``longest_us``: the longest of them, under the name ``longest``."""

    text: str = ""
    longest_us: int = 0
    longest: str = ""

    def lines(self) -> Iterable[str]:
        if self.text:
            yield self.text

    def more(self, new: MediaSegments) -> RenderedLines:
        """These and ``new`` ones after them."""
        text = "\n".join(new.lines())
        longest_us = max(new.durations_us)
        longest = new.uris[new.durations_us.index(longest_us)] if longest_us > self.longest_us else self.longest
        return RenderedLines(
            text=f"{self.text}\n{text}" if self.text else text,
            longest_us=max(longest_us, self.longest_us),
            longest=longest,
        )


def _extinf(duration_us: int) -> str:
    return f"#EXTINF:{duration_us // 1_000_000}.{duration_us % 1_000_000:06d},"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndList:
    def lines(self) -> Iterable[str]:
        yield "#EXT-X-ENDLIST"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPeriod:
    """From number ``start`` of the list on: an init segment, if it is another one, and the keys."""

    start: int
    keys: tuple[Key, ...]
    init_uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlaylist:
    """What a media playlist says. Growing: EVENT, started from its beginning; complete: VOD with an end."""

    target_duration_s: int
    init_uri: str | None
    segments: MediaSegments | RenderedLines
    complete: bool
    iframes_only: bool = False
    periods: tuple[KeyPeriod, ...] = ()

    def __post_init__(self) -> None:
        # RFC 8216 section 4.3.3.1: EXTINF, rounded to the nearest integer, never exceeds the target duration.
        said = self.segments
        longest_us = said.longest_us if isinstance(said, RenderedLines) else max(said.durations_us, default=0)
        if (longest_us + 500_000) // 1_000_000 > self.target_duration_s:
            uri = said.longest if isinstance(said, RenderedLines) else said.uris[said.durations_us.index(longest_us)]
            raise ValueError(f"{uri} lasts {longest_us} µs, over {self.target_duration_s} s")
        if self.periods and isinstance(said, RenderedLines):
            raise ValueError("what is text already has no place for keys")

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
        yield from self._segments()
        if self.complete:
            yield EndList()

    def _segments(self) -> Iterator[Tag]:
        """Keys stand after the init segment that they go with: it is never encrypted itself, and under AES-128 whatever
        follows an EXT-X-KEY is (RFC 8216bis section 4.4.4.5)."""
        if not self.periods or isinstance(self.segments, RenderedLines):
            yield self.segments
            return
        starts = [period.start for period in self.periods]
        for period, stop in zip(self.periods, [*starts[1:], len(self.segments.uris)], strict=True):
            if period.init_uri is not None:
                yield Map(uri=period.init_uri)
            yield from period.keys
            yield self.segments.part(period.start, stop)

    def render(self) -> str:
        return render_playlist(self.tags())


def media_playlist(
    segments: Sequence[Segment],
    *,
    timescale: int,
    init_name: str | None,
    target_duration_s: int,
    complete: bool,
    protection: Protection | None = None,
    key_inits: Sequence[str] = (),
) -> MediaPlaylist:
    """The media playlist over ``segments``, contiguous from number 0. WebVTT has no init segment. ``key_inits``: an init
    segment for each key, where one does not do for all."""
    durations = exact_microseconds([segment.duration_ticks for segment in segments], timescale)
    return MediaPlaylist(
        target_duration_s=target_duration_s,
        init_uri=init_name,
        segments=MediaSegments(uris=tuple(map(attrgetter("name"), segments)), durations_us=tuple(durations)),
        complete=complete,
        periods=_periods(protection, [segment.number for segment in segments], key_inits) if protection else (),
    )


def iframe_playlist(
    segments: Sequence[Segment],
    *,
    timescale: int,
    init_name: str,
    target_duration_s: int,
    complete: bool,
    protection: Protection | None = None,
    key_inits: Sequence[str] = (),
) -> MediaPlaylist:
    """The I-frame playlist over the same ``segments``: each entry is one picture, shown until the next one. A byte range of
    its segment, but under AES-128 a file of its own."""
    iframes = [iframe for segment in segments for iframe in segment.iframes]
    names = [segment.name for segment in segments for _ in segment.iframes]
    whole = protection is not None and protection.encryption is Encryption.AES128
    if whole:
        pairs = enumerate(zip(names, iframes, strict=True))
        names = [iframe_name(name, sequence=at, offset=one.offset, size=one.size) for at, (name, one) in pairs]
    numbers = [segment.number for segment in segments for _ in segment.iframes] if protection else []
    durations = exact_microseconds([iframe.duration_ticks for iframe in iframes], timescale)
    return MediaPlaylist(
        target_duration_s=target_duration_s,
        init_uri=init_name,
        segments=MediaSegments(
            uris=tuple(names),
            durations_us=tuple(durations),
            offsets=() if whole else tuple(map(attrgetter("offset"), iframes)),
            sizes=() if whole else tuple(map(attrgetter("size"), iframes)),
        ),
        complete=complete,
        iframes_only=True,
        periods=_periods(protection, numbers, key_inits) if protection else (),
    )


def _periods(protection: Protection, segment_of: Sequence[int], key_inits: Sequence[str]) -> tuple[KeyPeriod, ...]:
    """A playlist lies one folder below the video's own."""
    starts = period_starts(protection.keys, segment_of)
    return tuple(
        KeyPeriod(
            start=start,
            keys=tuple(keys_of(protection, key, folder="../")),
            init_uri=key_inits[at] if at and key_inits else None,  # the first one stands before all
        )
        for at, (start, key) in enumerate(starts)
    )


def exact_microseconds(durations_ticks: Iterable[int], timescale: int) -> list[int]:
    """Durations in whole microseconds whose sums never drift: each is the difference of two rounded end times.

    A player adds EXTINFs up. Rounded one by one, 10,000 segments of 1001/240 s would be off by milliseconds.
    """
    return microseconds_from(0, durations_ticks, timescale)


def microseconds_from(start_ticks: int, durations_ticks: Iterable[int], timescale: int) -> list[int]:
    """The same from ``start_ticks`` on."""
    double, half = 2_000_000, 2 * timescale
    lengths = list(durations_ticks)
    exact = {ticks: double * ticks // half for ticks in set(lengths) if double * ticks % half == 0}
    if len(exact) == len(set(lengths)):  # nothing is rounded, so nothing drifts
        return [exact[ticks] for ticks in lengths]
    ends_us = [(double * end + timescale) // half for end in accumulate(lengths, initial=start_ticks)]  # rounded
    return list(map(sub, ends_us[1:], ends_us))
