"""What was lost already, or was not as it should be, in the file itself."""

from __future__ import annotations

from fractions import Fraction

from storage.media.languages import language_name, normalise_language
from storage.media.source import Note
from workers.ffmpeg.reports.choosing import decodes
from workers.ffmpeg.reports.report import Report
from workers.ffmpeg.reports.timing import Timing
from workers.ffmpeg.reports.tracks import is_text

_DAMAGED_PACKETS = Note(code="damaged_packets", sentence="Parts of the file are damaged and may be missing.")
_WITH_TRUE_DURATION = frozenset({"matroska", "avi", "flv"})  # their headers say it, nothing is estimated


def picture_notes(
    report: Report, picture: Report, timing: Timing, *, lead: Fraction, rest: Fraction
) -> tuple[Note, ...]:
    """What was lost already, or was not as it should be, in the file itself. ``lead`` and ``rest``: seconds without pictures
    before the first one and after the last."""
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
    if rest > 0:
        notes.append(
            Note(
                code="picture_ends_early",
                sentence=f"The sound goes on for {float(rest):.2f} s after the picture: its last image is held until then.",
            )
        )
    tracks = report["tracks"]
    notes += _mute_notes(tracks)
    if any(track["type"] == "video" and decodes(track) and track is not picture for track in tracks):
        notes.append(Note(code="extra_video", sentence="Of several video tracks one was used."))
    notes += _picture_subtitles(tracks)
    return tuple(notes)


def sound_notes(report: Report) -> tuple[Note, ...]:
    notes = _mute_notes(report["tracks"])
    if report.get("scan_error") or any(track.get("scan", {}).get("corrupt") for track in report["tracks"]):
        notes.append(_DAMAGED_PACKETS)
    return tuple(notes)


def _picture_subtitles(tracks: list[Report]) -> list[Note]:
    left_out = [track for track in tracks if track["type"] == "subtitle" and not is_text(track)]
    if not left_out:
        return []
    languages = sorted({language_name(normalise_language(track["language"]), "") for track in left_out} - {""})
    which = f" ({', '.join(languages)})" if languages else ""
    sentence = f"Subtitles that are pictures{which} were left out: only text can be shown by players."
    return [Note(code="subtitles_left_out", sentence=sentence)]


def _mute_notes(tracks: list[Report]) -> list[Note]:
    if all(decodes(track) for track in tracks if track["type"] == "audio"):
        return []
    return [Note(code="audio_undecodable", sentence="A sound track could not be decoded and was left out.")]


def _is_cut_off(report: Report, picture: Report) -> bool:
    if "scan" not in picture:
        return False
    if report["demuxer"] == "mov":
        # An edit list leaves samples out that the index has: too few alone say nothing.
        return report["boxes"]["overrun"] and (not picture["frames"] or picture["scan"]["packets"] < picture["frames"])
    if report["demuxer"] not in _WITH_TRUE_DURATION or not report["duration_us"]:
        return False
    ends = [
        track["scan"]["last"] * Fraction(track["time_base"])
        for track in report["tracks"]
        if track.get("scan", {}).get("last") is not None
    ]
    claimed = Fraction(report["duration_us"], 1_000_000)
    return bool(max(ends) < claimed * Fraction(95, 100) - 1)
