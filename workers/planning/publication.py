"""What of an asset may be listed now: from its segment rows to a presentation. Pure.

The rules, and why:

- Nothing is listed before the fast-start rungs and every audio rendition have segment 0.
- The fast-start rungs are listed first; the full ladder as soon as listing it does not shorten what is listed. hls.js and
  shaka-player read the multivariant playlist once, so a few good rungs early beat all rungs late.
- All listed renditions end at the same segment: one that lags costs hls.js a stall and dropped frames.
- What was listed once stays listed, whatever the order of commits: every chunk but the early ones is encoded in all rungs
  by one job, so a rung that has caught up with these never falls behind again. Before that the full ladder is not listed.
- Subtitles are listed once all of the film is: an MPD names them as one whole file, which players do not take of one that
  grows.
- An audio rendition may have one segment less than the video has, where the last video segment is shorter than one AAC
  frame: a rendition that has all its segments holds nobody back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from packager.encryption import Protection
from packager.presentation import AudioRendition, Presentation, Storyboard, SubtitleRendition, VideoRendition
from storage.catalogue import Asset, RenditionRow
from storage.jobs import Segment
from storage.media.encryption import Encryption, KeyFacts
from storage.media.ladder import EncodePlan
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationPolicy:
    """``first_segments``: how many segments there must be before anything is listed, in videos that have as many."""

    first_segments: int = 1

    def __post_init__(self) -> None:
        if self.first_segments < 1:
            raise ValueError("a presentation has at least one segment")


@dataclass(frozen=True, slots=True)
class _Prefix:
    """A rendition's segments from number 0 to the first hole, and how many it will have."""

    row: RenditionRow
    segments: tuple[Segment, ...]
    expected: int

    @property
    def whole(self) -> bool:
        return len(self.segments) >= self.expected


def plan_publication(asset: Asset, policy: PublicationPolicy, keys: tuple[KeyFacts, ...] = ()) -> Presentation | None:
    """What players may be told of ``asset`` now; None if it cannot be played yet. ``keys``: of an encrypted asset."""
    plan = asset.plan
    if plan is None:
        return None
    audio = [_prefix(row, audio_segment_count(plan)) for row in asset.renditions if row.audio is not None]
    rows = {row.name: row for row in asset.renditions if row.rung is not None}
    if len(audio) < len(plan.audio) or len(rows) < len(plan.ladder.rungs):
        return None  # its inspection is not committed
    ladder = [_prefix(rows[rung.name], plan.segment_count) for rung in plan.ladder.rungs]
    fast = [prefix for prefix in ladder if prefix.row.name in plan.ladder.fast_start]

    # Surround sound joins once all of it is there: until then it would hold back, or fall behind, what plays.
    heard = [prefix for prefix in audio if prefix.row.audio is not None and not prefix.row.audio.is_surround]
    count = _common(fast + heard, plan.segment_count)
    if count < min(policy.first_segments, plan.segment_count):
        return None
    caught_up = _common(ladder, plan.segment_count) >= max(count, _early_segments(plan))
    # A graphics card may fail at its last picture, and all it made is made anew: nobody must have been told of it.
    sure = all(prefix.whole for prefix in ladder if _by_hardware(prefix))
    video = ladder if caught_up and sure else fast
    complete = all(prefix.whole for prefix in ladder + audio)
    return Presentation(
        video=tuple(_video(prefix, count, plan) for prefix in video),
        audio=tuple(_audio(prefix, count) for prefix in (audio if complete else heard)),
        storyboard=_storyboard(asset),
        protection=Protection(encryption=plan.encryption, keys=keys)
        if plan.encryption is not Encryption.NONE
        else None,
        subtitles=_subtitles(asset) if complete else (),
        captions=plan.captions,
        complete=complete,
        target_duration_s=target_duration_s(plan),
        segment_duration=plan.ladder.segment_seconds,
        duration=plan.duration,
        available_from=EPOCH + timedelta(milliseconds=asset.available_from_ms),
    )


def is_final(asset: Asset, presentation: Presentation) -> bool:
    """True if nothing will be added any more: complete, and the storyboard and the source's subtitles are there or were
    given up. Sound alone has no storyboard.

    ``asset.storyboard`` None means that the thumbnails are still to come. They are a nicety and never keep a film from
    being finished: the runner commits an empty storyboard for a thumbnails job that cannot be done.
    """
    text_to_come = any(row.stored is None and not row.is_uploaded for row in asset.subtitles)
    pictures_to_come = asset.storyboard is None and bool(presentation.video)
    return presentation.complete and not text_to_come and not pictures_to_come


def audio_segment_count(plan: EncodePlan) -> int:
    """Segments of every audio rendition of ``plan``."""
    return max((piece.stop_segment for piece in plan.audio_pieces), default=plan.segment_count)


def target_duration_s(plan: EncodePlan) -> int:
    """EXT-X-TARGETDURATION: no segment's duration, rounded to whole seconds, is longer (RFC 8216, 4.3.3.1). Audio
    segments end on AAC frames, so one may be a frame longer than the video's."""
    longest = min(plan.ladder.segment_seconds, plan.duration) + Fraction(AAC_FRAME_SAMPLES, AUDIO_RATE_HZ)
    return max(1, (longest + Fraction(1, 2)).__floor__())


def _prefix(row: RenditionRow, expected: int) -> _Prefix:
    count = 0
    for segment in row.segments:
        if segment.number != count:
            break
        count += 1
    return _Prefix(row, row.segments[:count], expected)


def _common(prefixes: list[_Prefix], segment_count: int) -> int:
    """How many segments all of ``prefixes`` can show together."""
    return min((len(prefix.segments) for prefix in prefixes if not prefix.whole), default=segment_count)


def _early_segments(plan: EncodePlan) -> int:
    whole = plan.chunks[len(plan.early_chunks) :]
    return whole[0].first_segment if whole else plan.segment_count


def _by_hardware(prefix: _Prefix) -> bool:
    return prefix.row.rung is not None and prefix.row.rung.encoder.family is not None


def _known(value: str | int | None) -> Any:
    if value is None:
        raise ValueError("a rendition with segments has an init segment, codecs and a timescale")
    return value


def _video(prefix: _Prefix, count: int, plan: EncodePlan) -> VideoRendition:
    row, rung = prefix.row, prefix.row.rung
    assert rung is not None
    return VideoRendition(
        name=row.name,
        codecs=_known(row.codecs),
        width=rung.width,
        height=rung.height,
        frame_rate=plan.ladder.frame_rate,
        timescale=_known(row.timescale),
        init_name=_known(row.init_name),
        segments=prefix.segments[:count],
    )


def _audio(prefix: _Prefix, count: int) -> AudioRendition:
    row, target = prefix.row, prefix.row.audio
    assert target is not None
    return AudioRendition(
        name=row.name,
        codecs=_known(row.codecs),
        language=target.language,
        label=target.label,
        channels=target.channels,
        sample_rate_hz=AUDIO_RATE_HZ,
        default=target.default,
        describes_video=target.describes_video,
        timescale=_known(row.timescale),
        init_name=_known(row.init_name),
        segments=prefix.segments[:count],
    )


def _subtitles(asset: Asset) -> tuple[SubtitleRendition, ...]:
    return tuple(
        SubtitleRendition(
            name=row.rendition.name,
            language=row.rendition.language,
            label=row.rendition.label,
            whole_name=row.stored.whole_name,
            whole_size_bytes=row.stored.whole_size_bytes,
            timescale=row.stored.timescale,
            segments=row.stored.segments,
            default=row.rendition.default,
            forced=row.rendition.forced,
            for_deaf=row.rendition.for_deaf,
        )
        for row in asset.subtitles
        if row.stored is not None
    )


def _storyboard(asset: Asset) -> Storyboard | None:
    """The storyboard, if there are tiles: a film too short for one, or one given up, has none."""
    record = asset.storyboard
    if not record or not record.get("tiles"):
        return None
    sizes = {name.name: name.size_bytes for name in asset.names}
    return Storyboard(
        tiles=tuple(record["tiles"]),
        tile_sizes_bytes=tuple(sizes[tile] for tile in record["tiles"]),
        columns=record["columns"],
        rows=record["rows"],
        width=record["tile_width"],
        height=record["tile_height"],
        interval=Fraction(record["interval"]),
        count=record["count"],
    )
