"""A rendition's segments as all manifests write them, rendered once: what comes later is added to what is there.

A film that grows is published again and again, each time with a few segments more of tens of thousands. What was said of
the others stays as it was, so it is kept with the values that it was made of, and used for as long as these are a beginning
of what is to be said. Values only: the same segments give the same lines however they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from packager.bit_rates import BitRates, Measured, measure_more
from packager.dash.segment_timeline import checked_contiguous, name_run, time_run
from packager.hls.media_playlist import MediaSegments, RenderedLines, microseconds_from
from packager.presentation import AudioRendition, VideoRendition
from storage.jobs import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionLines:
    """``media`` and ``iframes``: of the two playlists; ``times`` and ``names``: S and SegmentURL elements of the MPD, but for
    the first S. ``iframe_ticks``: where the last I-frame's time ends."""

    segments: tuple[Segment, ...] = ()
    media: RenderedLines = field(default_factory=RenderedLines)
    iframes: RenderedLines = field(default_factory=RenderedLines)
    times: str = ""
    names: str = ""
    iframe_ticks: int = 0
    longest_ticks: int = 0
    measured: Measured = field(default_factory=Measured)
    iframes_measured: Measured = field(default_factory=Measured)

    def begins(self, segments: Sequence[Segment]) -> bool:
        """Whether these lines are of a beginning of ``segments``. Cheap where the segments are the same objects."""
        return self.segments == tuple(segments[: len(self.segments)])


NO_LINES = RenditionLines()


def lines_of(
    rendition: VideoRendition | AudioRendition, *, target_duration_s: int, before: RenditionLines = NO_LINES
) -> RenditionLines:
    """The lines of ``rendition``: ``before`` and what is new. Raises `ValueError` at a gap, an overlap, or a segment that
    lasts longer than the target duration."""
    segments, timescale = rendition.segments, rendition.timescale
    if not before.begins(segments):
        before = NO_LINES
    new = segments[len(before.segments) :]
    if not new:
        return before
    checked_contiguous(segments[max(0, len(before.segments) - 1) :])
    names = tuple([segment.name for segment in new])
    lengths = [segment.duration_ticks for segment in new]
    sizes = [segment.size_bytes for segment in new]
    media = MediaSegments(
        uris=names,
        durations_us=tuple(microseconds_from(new[0].start_ticks - segments[0].start_ticks, lengths, timescale)),
    )
    iframes = [iframe for segment in new for iframe in segment.iframes]
    iframe_lengths = [iframe.duration_ticks for iframe in iframes]
    iframe_sizes = tuple([iframe.size for iframe in iframes])
    pictures = MediaSegments(
        uris=tuple([segment.name for segment in new for _ in segment.iframes]),
        durations_us=tuple(microseconds_from(before.iframe_ticks, iframe_lengths, timescale)),
        offsets=tuple([iframe.offset for iframe in iframes]),
        sizes=iframe_sizes,
    )
    measures = {"timescale": timescale, "target_duration_s": target_duration_s}
    first = 0 if before.segments else 1
    return RenditionLines(
        segments=segments,
        media=before.media.more(media),
        iframes=before.iframes.more(pictures) if iframes else before.iframes,
        times=_joined(before.times, time_run(lengths[first:])),
        names=_joined(before.names, name_run(names)),
        iframe_ticks=before.iframe_ticks + sum(iframe_lengths),
        longest_ticks=max(before.longest_ticks, max(lengths)),
        measured=measure_more(before.measured, sizes, lengths, **measures),
        iframes_measured=measure_more(before.iframes_measured, iframe_sizes, iframe_lengths, **measures),
    )


def _joined(before: str, new: str) -> str:
    return f"{before}\n{new}" if before and new else before or new


def rates_of(lines: RenditionLines, timescale: int) -> BitRates:
    return lines.measured.rates(timescale)


def iframe_rates_of(lines: RenditionLines, timescale: int) -> BitRates:
    return lines.iframes_measured.rates(timescale)
