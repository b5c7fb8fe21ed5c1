"""When a film ends: with its last picture, unless there is more to be heard."""

from __future__ import annotations

from fractions import Fraction

from workers.ffmpeg.reports.choosing import decodes
from workers.ffmpeg.reports.report import Report
from workers.ffmpeg.reports.tracks import audio_track

CODEC_PADDING = Fraction(1, 2)
"""Sound that goes on for no longer than this after the last picture is what codecs and muxers fill up with."""
LONGEST_SILENCE = 10
"""Sound with so many seconds in a packet or between two, or between the last picture and its beginning, has times that are not
believed: a few bytes would make hours of film."""
_WITH_TRUE_DURATION = "matroska"
"""Where tracks do not tell how long they are, but the header tells when the last of them ends."""


def film_end(report: Report, start: Fraction, picture_end: Fraction) -> Fraction:
    """On the source's clock, as ``start`` (time zero) and ``picture_end`` (of the last picture) are."""
    sounds = [track for track in report["tracks"] if track["type"] == "audio" and decodes(track)]
    ends = [_sound_end(report, track, picture_end) for track in sounds]
    sound_end = max((end for end in ends if end is not None), default=picture_end)
    return sound_end if start <= picture_end < sound_end - CODEC_PADDING else picture_end


def _sound_end(report: Report, track: Report, picture_end: Fraction) -> Fraction | None:
    sound, walk = audio_track(track), track.get("scan") or {}
    longest = max(walk.get("longest_interval", 0), walk.get("last_duration", 0)) * Fraction(track["time_base"])
    if max(longest, sound.start - picture_end) > LONGEST_SILENCE:
        return None
    if sound.duration is not None:
        return sound.start + sound.duration
    if report["demuxer"] == _WITH_TRUE_DURATION and report["duration_us"]:
        return Fraction(report["duration_us"], 1_000_000)
    return None
