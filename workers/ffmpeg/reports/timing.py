"""When pictures are shown, and at which rate."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median_low

from workers.ffmpeg.reports.report import Report

STEADY_SHARE = Fraction(9, 10)
MOST_FILLED = 50_000
"""So many frames, half an hour of them, may stand in the holes of a film that keeps its cadence otherwise. A few pictures that
claim to last for days are not worth millions."""
MOST_REORDERED = 16
"""H.264 and H.265 show a picture at most so many others later than it is decoded (ITU-T H.264, A.3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a video track's pictures are shown, in seconds on the source's clock."""

    start: Fraction
    end: Fraction
    frame_rate: Fraction
    steady: bool
    frame_count: int | None
    lost_at_start: bool  # pictures before ``start`` refer to something that is not in the file


def timing_of(track: Report) -> Timing:
    tick = Fraction(track["time_base"])
    walk = track.get("scan") or track.get("head") or {}
    if not walk.get("pictures"):
        return _timing_without_times(track, tick)
    last = walk if "scan" in track else track.get("tail") or walk
    fields = 2 if _is_field_coded(track, walk) else 1
    interval = walk["interval"] * fields
    delay = _reordering(track, walk, interval)
    start, lost_at_start = (walk["first"] + delay, False) if delay else _first_shown(track, walk, interval)
    # Containers without durations, and demuxers that guess them, end on a picture that seems to flash by.
    shown_last = last["last_duration"] if 2 * last["last_duration"] >= walk["interval"] else walk["interval"]
    end = last["last"] + shown_last
    if not shown_last:
        end = last["last"] + round(1 / (_claimed_rate(track) * tick))
    frame_count = -(-walk["pictures"] // fields) if "scan" in track else track["frames"] or None
    # Pictures and the time that they take are counted over the same part of the film.
    counted_until = end if frame_count else walk["last"] + walk["interval"]
    rate, steady = _rate(walk, frame_count, counted_until - walk["first"], fields, whole="scan" in track)
    return Timing(
        start=start * tick,
        end=(end + delay) * tick,
        frame_rate=_agreed_rate(rate / tick, track) if rate else _claimed_rate(track),
        steady=steady,
        frame_count=frame_count,
        lost_at_start=lost_at_start,
    )


def _timing_without_times(track: Report, tick: Fraction) -> Timing:
    start = (track["start"] or 0) * tick
    rate = _claimed_rate(track)
    length = (track["duration"] or 0) * tick or 1 / rate
    return Timing(start=start, end=start + length, frame_rate=rate, steady=True, frame_count=None, lost_at_start=False)


def _claimed_rate(track: Report) -> Fraction:
    """The container's word, where it is a sane one: some put their clock's rate there."""
    for name in ("average_rate", "nominal_rate"):
        rate = Fraction(track[name] or 0)
        if 0 < rate <= 240:
            return rate
    return Fraction(25)


def _agreed_rate(measured: Fraction, track: Report) -> Fraction:
    """The container's exact rate where the measurement, which rounded times blur, comes as close as rounding would."""
    claimed = Fraction(track["nominal_rate"] or 0)
    return claimed if abs(claimed - measured) * 200 <= measured else measured


def _is_field_coded(track: Report, walk: Report) -> bool:
    """Interlaced H.264 may put the two fields of a picture into packets of their own: decoded pictures are then twice
    as far apart as packets."""
    times = sorted(track["sample"]["times"])
    if not track["sample"]["interlaced"] or len(times) < 3 or not walk["interval"]:
        return False
    spacing = median_low([later - earlier for earlier, later in pairwise(times)])
    return bool(9 * walk["interval"] < 5 * spacing < 11 * walk["interval"])


def _reordering(track: Report, walk: Report, interval: int) -> int:
    """How much later than its packet a picture is shown, where only packets have times: in AVI, if pictures are reordered."""
    sample = track["sample"]
    if not sample.get("by_decoding") or sample.get("from_middle") or not sample["times"]:
        return 0
    delay = int(min(sample["times"]) - walk["first"])
    return delay if 0 < delay <= MOST_REORDERED * interval else 0


def _first_shown(track: Report, walk: Report, interval: int) -> tuple[int, bool]:
    times = track["sample"]["times"]
    if times and not track["sample"].get("from_middle") and min(times) > walk["first"] + interval:
        return min(times), True
    return walk["first"], False


def _rate(
    walk: Report, frame_count: int | None, length_ticks: int, fields: int, *, whole: bool
) -> tuple[Fraction | None, bool]:
    """(Pictures per tick, whether they keep to it): the cadence where most of them do, the average otherwise.
    ``whole``: ``walk`` is of the whole film.

    Dropped pictures do not change a cadence: a 30 fps film with holes stays one, and its holes are filled.
    """
    intervals = walk["pictures"] - 1
    if intervals < 1 or length_ticks <= 0:
        return None, True
    average = Fraction(frame_count, length_ticks) if frame_count else Fraction(intervals + 1, length_ticks * fields)
    if walk["near_ticks"] and walk["near_count"] >= STEADY_SHARE * intervals:
        cadence = Fraction(walk["near_count"], walk["near_ticks"] * fields)
        # What was not scanned may go on differently than it began: the index knows.
        filled = (cadence - average) * length_ticks
        kept = average >= cadence / 2 or (whole and filled <= MOST_FILLED)
        return (cadence, True) if kept else (average, False)
    return average, False
