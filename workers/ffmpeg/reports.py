"""Reads what `workers.ffmpeg.probe` printed: facts as a `Source`, or the reason why there are none. Pure.

Numbers are taken from the packets where the file was scanned, from its index and its last packets otherwise; what the
container merely claims comes last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import atan2, degrees
from statistics import median_low
from typing import Any

from storage.errors import DamagedSource, UnsupportedSource
from storage.media.colour import PRIMARIES, RANGES, SPACES, TRANSFERS
from storage.media.languages import normalise_language
from storage.media.sniffing import CONTAINER_NAMES
from storage.media.source import AudioTrack, FieldOrder, Note, OtherTrack, Source, VideoTrack

Report = Mapping[str, Any]

STEADY_SHARE = Fraction(9, 10)
"""Of all intervals between pictures, how many must agree for the cadence to count rather than the average."""
SEEN_PICTURES = 12
"""How many pictures must have shown whether they are woven from fields for that to count."""
WOVEN_SHARE = Fraction(1, 4)
"""From this share of woven pictures on, a film that says it has fields has them. Film that was made into fields for
television (3:2) shows two in five."""
WOVEN_SHARE_UNFLAGGED = Fraction(9, 10)
"""The same for a film that says nothing of fields: fine patterns that move look like some, but not throughout."""
LONGEST_LEAD = Fraction(3600)
"""Sound that starts this much before the picture has another clock, not a long overture."""
_INTERLACED_ORDERS = frozenset({2, 3, 4, 5})  # AV_FIELD_TT, BB, TB, BT
_DAMAGED_PACKETS = Note(code="damaged_packets", sentence="Parts of the file are damaged and may be missing.")
_WITH_TRUE_DURATION = frozenset({"matroska", "avi", "flv"})  # their headers say it, nothing is estimated


def read_report(report: Report) -> Source:
    """The facts of a probed file. Raises `UnsupportedSource` or `DamagedSource` with a sentence for its owner."""
    if report["error"]:
        raise _unreadable(report)
    tracks: list[Report] = report["tracks"]
    if _is_sound_alone(tracks):
        return _sound_alone(report)
    picture = _best_picture(tracks)
    _refuse_colours_of_its_own(report, picture)
    timing = _timing(picture)
    video = _video_track(picture, timing)
    audio = _audio_tracks(tracks)
    start = min([video.start, *(track.start for track in audio if video.start - track.start < LONGEST_LEAD)])
    others = _others(tracks, picture)
    return Source(
        demuxer=report["demuxer"],
        size_bytes=report["size_bytes"],
        duration=timing.end - start,
        start=start,
        video=video,
        audio=audio,
        others=others,
        notes=_notes(report, picture, timing, video.start - start),
    )


def _sound_alone(report: Report) -> Source:
    """The facts of a file that has sound and no picture but, perhaps, a cover."""
    tracks: list[Report] = report["tracks"]
    audio = _audio_tracks(tracks)
    start = min(track.start for track in audio)
    length = Fraction(report["duration_us"] or 0, 1_000_000)
    ends = [track.start + track.duration for track in audio if track.duration is not None] or [start + length]
    if max(ends) <= start:
        raise DamagedSource("This file is damaged: its sound has no length.")
    return Source(
        demuxer=report["demuxer"],
        size_bytes=report["size_bytes"],
        duration=max(ends) - start,
        start=start,
        video=None,
        audio=audio,
        others=_others(tracks, None),
        notes=_sound_notes(report),
    )


def _audio_tracks(tracks: list[Report]) -> tuple[AudioTrack, ...]:
    return tuple(_audio_track(track) for track in tracks if track["type"] == "audio" and _decodes(track))


def _others(tracks: list[Report], picture: Report | None) -> tuple[OtherTrack, ...]:
    return tuple(_other_track(track) for track in tracks if not _is_taken(track, picture))


# --- refusals --------------------------------------------------------------------------------------------------------


def _unreadable(report: Report) -> UnsupportedSource | DamagedSource:
    container = CONTAINER_NAMES.get(report["demuxer"], report["demuxer"])
    boxes = report.get("boxes")
    if boxes and boxes["protected"]:
        return _encrypted()
    if boxes and not boxes["has_header"]:
        if "moof" in boxes["names"] or "styp" in boxes["names"]:
            return UnsupportedSource(
                "This is a single media segment of a stream: without its init segment it cannot be read.",
                reason_code="no_index",
            )
        return UnsupportedSource(
            f"This {container} file is incomplete: its index (the “moov” part) is missing, as happens when a recording"
            " or a download is cut off.",
            reason_code="truncated",
        )
    if boxes and boxes["overrun"]:
        return UnsupportedSource(
            f"This {container} file is cut off: it ends before its own index does.", reason_code="truncated"
        )
    return DamagedSource(
        f"This looks like {container}, but it cannot be read as such: it is damaged or incomplete.",
        detail=report["error"],
    )


def _refuse_colours_of_its_own(report: Report, picture: Report) -> None:
    """Dolby Vision profile 5 has no base layer: decoded as usual, its colours are green and purple. What it takes
    (libplacebo) needs a GPU."""
    found = report.get("dolby_vision")
    if found and found["profile"] == 5 and picture["codec"] in ("hevc", "av1"):
        raise UnsupportedSource(
            "This video is Dolby Vision of profile 5, whose colours no other device shows. Please upload it as HDR10,"
            " HLG or SDR.",
            reason_code="dolby_vision_without_base",
        )


def _encrypted() -> UnsupportedSource:
    return UnsupportedSource(
        "This file is encrypted (DRM). Please upload a copy without protection.", reason_code="encrypted"
    )


def _is_sound_alone(tracks: list[Report]) -> bool:
    """Whether there is sound to be heard and not even a damaged picture to be seen; a cover is none."""
    heard = any(track["type"] == "audio" and _decodes(track) for track in tracks)
    return heard and not any(track["type"] == "video" and not track["attached_picture"] for track in tracks)


def _best_picture(tracks: list[Report]) -> Report:
    """The video track to use: of those that decode the default one, then the largest, then the first."""
    pictures = [track for track in tracks if track["type"] == "video" and not track["attached_picture"]]
    decodable = [track for track in pictures if _decodes(track)]
    if decodable:
        return max(decodable, key=lambda t: (t["default"], t["width"] * t["height"], -t["index"]))
    if not pictures:
        raise _no_picture(tracks)
    if any(track["encrypted"] for track in pictures):
        raise _encrypted()
    without_decoder = [track for track in pictures if "sample" not in track]
    if without_decoder:
        name = without_decoder[0]["codec"] or without_decoder[0]["tag"] or "unknown"
        raise UnsupportedSource(
            f"The picture of this file is coded as “{name}”, which we do not decode.", reason_code="unsupported_codec"
        )
    raise DamagedSource("This file is damaged: not one of its pictures can be decoded.")


def _no_picture(tracks: list[Report]) -> UnsupportedSource | DamagedSource:
    sounds = [track for track in tracks if track["type"] == "audio"]
    if any(track["encrypted"] for track in sounds):
        return _encrypted()
    without_decoder = [track for track in sounds if "sample" not in track]
    if without_decoder:
        name = without_decoder[0]["codec"] or without_decoder[0]["tag"] or "unknown"
        return UnsupportedSource(
            f"The sound of this file is coded as “{name}”, which we do not decode.", reason_code="unsupported_codec"
        )
    if sounds:
        return DamagedSource("This file is damaged: none of its sound can be decoded.")
    return UnsupportedSource("There is neither picture nor sound in this file.", reason_code="not_media")


def _decodes(track: Report) -> bool:
    return bool(track.get("sample", {}).get("frames")) and not track["encrypted"]


def _is_taken(track: Report, picture: Report | None) -> bool:
    return (picture is not None and track["index"] == picture["index"]) or (
        track["type"] == "audio" and _decodes(track)
    )


# --- time ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a video track's pictures are shown, in seconds on the source's clock."""

    start: Fraction
    end: Fraction
    frame_rate: Fraction
    steady: bool
    frame_count: int | None
    lost_at_start: bool  # pictures before ``start`` refer to something that is not in the file


def _timing(track: Report) -> Timing:
    tick = Fraction(track["time_base"])
    walk = track.get("scan") or track.get("head") or {}
    if not walk.get("pictures"):
        return _timing_without_times(track, tick)
    last = walk if "scan" in track else track.get("tail") or walk
    fields = 2 if _is_field_coded(track, walk) else 1
    interval = walk["interval"] * fields
    start, lost_at_start = _first_shown(track, walk, interval)
    # Containers without durations, and demuxers that guess them, end on a picture that seems to flash by.
    shown_last = last["last_duration"] if 2 * last["last_duration"] >= walk["interval"] else walk["interval"]
    end = last["last"] + shown_last
    if not shown_last:
        end = last["last"] + round(1 / (_claimed_rate(track) * tick))
    frame_count = -(-walk["pictures"] // fields) if "scan" in track else track["frames"] or None
    rate, steady = _rate(walk, frame_count, end - walk["first"], fields)
    return Timing(
        start=start * tick,
        end=end * tick,
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


def _first_shown(track: Report, walk: Report, interval: int) -> tuple[int, bool]:
    times = track["sample"]["times"]
    if times and not track["sample"].get("from_middle") and min(times) > walk["first"] + interval:
        return min(times), True
    return walk["first"], False


def _rate(walk: Report, frame_count: int | None, length_ticks: int, fields: int) -> tuple[Fraction | None, bool]:
    """(Pictures per tick, whether they keep to it): the cadence where most of them do, the average otherwise.

    Dropped pictures do not change a cadence: a 30 fps film with holes stays one, and its holes are filled.
    """
    intervals = walk["pictures"] - 1
    if intervals < 1 or length_ticks <= 0:
        return None, True
    average = Fraction(frame_count, length_ticks) if frame_count else Fraction(intervals + 1, length_ticks * fields)
    if walk["near_ticks"] and walk["near_count"] >= STEADY_SHARE * intervals:
        cadence = Fraction(walk["near_count"], walk["near_ticks"] * fields)
        # What was not scanned may go on differently than it began: the index knows.
        return (cadence, True) if average >= cadence / 2 else (average, False)
    return average, False


# --- tracks ----------------------------------------------------------------------------------------------------------


def _video_track(track: Report, timing: Timing) -> VideoTrack:
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
        keyframe_interval=longest * tick if longest else None,
        pixel_format=track["pixel_format"] or "yuv420p",
        bit_depth=track["bit_depth"] or 8,
        color_transfer=TRANSFERS.get(track["transfer"]),
        color_primaries=PRIMARIES.get(track["primaries"]),
        color_space=SPACES.get(track["space"]),
        color_range=RANGES.get(track["range"]),
        field_order=_field_order(track),
        bit_rate_bps=track["bit_rate"] or None,
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


def _audio_track(track: Report) -> AudioTrack:
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
    )


def _other_track(track: Report) -> OtherTrack:
    return OtherTrack(
        index=track["index"],
        kind="cover" if track["attached_picture"] else track["type"],
        codec=track["codec"] or track["tag"] or "unknown",
        language=normalise_language(track["language"]),
    )


# --- notes -----------------------------------------------------------------------------------------------------------


def _notes(report: Report, picture: Report, timing: Timing, lead: Fraction) -> tuple[Note, ...]:
    """What was lost already, or was not as it should be, in the file itself."""
    notes = []
    if _is_cut_off(report, picture):
        notes.append(Note(code="truncated", sentence="The file is cut off: what is there was kept."))
    elif report.get("scan_error") or picture.get("scan", {}).get("corrupt"):
        notes.append(_DAMAGED_PACKETS)
    if timing.lost_at_start or picture["sample"].get("from_middle"):
        notes.append(
            Note(
                code="starts_mid_stream",
                sentence="The recording begins within a scene: the first picture that could be decoded is held until"
                " its time.",
            )
        )
    elif lead > 1 / timing.frame_rate:
        notes.append(
            Note(
                code="picture_starts_late",
                sentence=f"The picture starts {float(lead):.2f} s after the sound: its first image is held until then.",
            )
        )
    tracks = report["tracks"]
    notes += _mute_notes(tracks)
    if any(track["type"] == "video" and _decodes(track) and track is not picture for track in tracks):
        notes.append(Note(code="extra_video", sentence="Of several video tracks one was used."))
    if any(track["type"] == "subtitle" for track in tracks):
        notes.append(Note(code="subtitles_left_out", sentence="Subtitles in the file were left out."))
    return tuple(notes)


def _sound_notes(report: Report) -> tuple[Note, ...]:
    notes = _mute_notes(report["tracks"])
    if report.get("scan_error") or any(track.get("scan", {}).get("corrupt") for track in report["tracks"]):
        notes.append(_DAMAGED_PACKETS)
    return tuple(notes)


def _mute_notes(tracks: list[Report]) -> list[Note]:
    if all(_decodes(track) for track in tracks if track["type"] == "audio"):
        return []
    return [Note(code="audio_undecodable", sentence="A sound track could not be decoded and was left out.")]


def _is_cut_off(report: Report, picture: Report) -> bool:
    if "scan" not in picture:
        return False
    if picture["frames"] and report["demuxer"] == "mov":
        return bool(picture["scan"]["packets"] < picture["frames"])
    if report["demuxer"] not in _WITH_TRUE_DURATION or not report["duration_us"]:
        return False
    ends = [
        track["scan"]["last"] * Fraction(track["time_base"])
        for track in report["tracks"]
        if track.get("scan", {}).get("last") is not None
    ]
    claimed = Fraction(report["duration_us"], 1_000_000)
    return bool(max(ends) < claimed * Fraction(95, 100) - 1)
