"""Tracks as values."""

from __future__ import annotations

import re
from fractions import Fraction
from math import atan2, degrees

from storage.media.codecs import TEXT_CODECS
from storage.media.colour import PRIMARIES, RANGES, SPACES, TRANSFERS
from storage.media.languages import normalise_language
from storage.media.source import AudioTrack, FieldOrder, OtherTrack, SubtitleTrack, VideoTrack
from workers.ffmpeg.reports.report import Report
from workers.ffmpeg.reports.timing import Timing

"""Of all intervals between pictures, how many must agree for the cadence to count rather than the average."""
SEEN_PICTURES = 12
"""How many pictures must have shown whether they are woven from fields for that to count."""
WOVEN_SHARE = Fraction(1, 4)
"""From this share of woven pictures on, a film that says it has fields has them. Film that was made into fields for
television (3:2) shows two in five."""
WOVEN_SHARE_UNFLAGGED = Fraction(9, 10)
"""The same for a film that says nothing of fields: fine patterns that move look like some, but not throughout."""
_FORCED_TITLE = re.compile(r"\bforced\b", re.IGNORECASE)
_FOR_DEAF_TITLE = re.compile(r"\b(sdh|cc|hard of hearing|hearing impaired|closed captions?)\b", re.IGNORECASE)
_DESCRIBES_VIDEO_TITLE = re.compile(
    r"\b(audio[- ]?descri(ption|bed)|descri(bed|ptive) (video|audio)|dvs|visually impaired)\b", re.IGNORECASE
)
_INTERLACED_ORDERS = frozenset({2, 3, 4, 5})  # AV_FIELD_TT, BB, TB, BT


def video_track(track: Report, timing: Timing) -> VideoTrack:
    tick = Fraction(track["time_base"])
    rotation, mirrored = _orientation(track["sample"]["matrix"])
    walk = track.get("scan") or {}
    longest = walk.get("longest_keyframe_interval")
    nominal = Fraction(track["nominal_rate"] or 0)
    return VideoTrack(
        index=track["index"],
        codec=track["codec"],
        width=track["width"],
        height=track["height"],
        sample_aspect=_sample_aspect(track["sample_aspect"]),
        rotation=rotation,
        mirrored=mirrored,
        frame_rate=timing.frame_rate,
        nominal_frame_rate=nominal or None,
        frame_count=timing.frame_count,
        start=timing.start,
        duration=timing.end - timing.start,
        steady=timing.steady,
        untimed=bool((walk or track.get("head") or {}).get("untimed")),
        keyframe_interval=longest * tick if longest else None,
        pixel_format=track["pixel_format"] or "yuv420p",
        bit_depth=track["bit_depth"] or 8,
        color_transfer=TRANSFERS.get(track["transfer"]),
        color_primaries=PRIMARIES.get(track["primaries"]),
        color_space=SPACES.get(track["space"]),
        color_range=RANGES.get(track["range"]),
        field_order=_field_order(track),
        bit_rate_bps=track["bit_rate"] or None,
        captions=tuple(track["sample"].get("captions", ())),
    )


def _sample_aspect(text: str | None) -> Fraction:
    aspect = Fraction(text or 1)
    return aspect if Fraction(1, 20) <= aspect <= 20 else Fraction(1)


def _orientation(matrix: list[int] | None) -> tuple[int, bool]:
    """(degrees clockwise, mirrored) of a display matrix (ISO 14496-12, 8.5.2.3), to the nearest right angle."""
    if matrix is None:
        return 0, False
    a, b, _, c, d = matrix[:5]
    if not (a or b):
        return 0, False
    return round(degrees(atan2(b, a)) / 90) * 90 % 360, a * d - b * c < 0


def _field_order(track: Report) -> FieldOrder:
    """What can be seen in the pictures counts; flags and headers are asked where nothing moves."""
    sample = track["sample"]
    seen = track.get("fields") or {}
    tops, bottoms, whole = (seen.get(kind, 0) for kind in ("tff", "bff", "progressive"))
    # What seems to be woven now this way and now that is a pattern, not a film of fields.
    woven, judged = max(tops, bottoms), tops + bottoms + whole
    if judged >= SEEN_PICTURES:
        flagged = sample["interlaced"] or track["field_order"] in _INTERLACED_ORDERS
        least = WOVEN_SHARE if flagged else WOVEN_SHARE_UNFLAGGED
        return FieldOrder.INTERLACED if woven >= least * judged else FieldOrder.PROGRESSIVE
    if 2 * sample["interlaced"] > sample["frames"]:
        return FieldOrder.INTERLACED
    if track["field_order"] in _INTERLACED_ORDERS and sample["interlaced"]:
        return FieldOrder.INTERLACED
    return FieldOrder.PROGRESSIVE if track["field_order"] == 1 or sample["frames"] > 1 else FieldOrder.UNKNOWN


def audio_track(track: Report) -> AudioTrack:
    tick = Fraction(track["time_base"])
    walk = track.get("scan") or {}
    # The first decoded sound comes after what the encoder's delay skips: packets alone start too early.
    heard = [] if track["sample"].get("from_middle") else track["sample"]["times"]
    start = min(heard) if heard else walk.get("first") or track["start"] or 0
    end = walk["last"] + walk["last_duration"] if walk.get("last") is not None else None
    length = end - start if end is not None else track["duration"]
    return AudioTrack(
        index=track["index"],
        codec=track["codec"],
        sample_rate_hz=track["sample_rate"],
        channels=track["channels"],
        language=normalise_language(track["language"]),
        title=track["title"] or None,
        default=track["default"],
        start=start * tick,
        duration=length * tick if length and length > 0 else None,
        bit_rate_bps=track["bit_rate"] or None,
        describes_video=track["describes_video"] or bool(_DESCRIBES_VIDEO_TITLE.search(track["title"] or "")),
    )


def is_text(track: Report) -> bool:
    """Whether these are subtitles, as text."""
    return track["type"] == "subtitle" and track["codec"] in TEXT_CODECS


def subtitle_track(track: Report) -> SubtitleTrack:
    """Where a container has no flag for it, people write what subtitles are for into the title."""
    title = track["title"] or ""
    return SubtitleTrack(
        index=track["index"],
        codec=track["codec"],
        language=normalise_language(track["language"]),
        title=track["title"] or None,
        default=track["default"],
        forced=track["forced"] or bool(_FORCED_TITLE.search(title)),
        for_deaf=track["for_deaf"] or bool(_FOR_DEAF_TITLE.search(title)),
    )


def other_track(track: Report) -> OtherTrack:
    return OtherTrack(
        index=track["index"],
        kind="cover" if track["attached_picture"] else track["type"],
        codec=track["codec"] or track["tag"] or "unknown",
        language=normalise_language(track["language"]),
    )
