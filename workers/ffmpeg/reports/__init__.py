"""Reads what `workers.ffmpeg.probing` printed: facts as a `Source`, or the reason why there are none. Pure.

Numbers are taken from the packets where the file was scanned, from its index and its last packets otherwise; what the
container merely claims comes last.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from storage.errors import DamagedSource
from storage.media.source import AudioTrack, OtherTrack, Source, SubtitleTrack
from workers.ffmpeg.reports.choosing import best_picture, decodes, is_sound_alone, is_taken
from workers.ffmpeg.reports.ending import film_end
from workers.ffmpeg.reports.notes import picture_notes, sound_notes
from workers.ffmpeg.reports.refusals import has_own_colours, own_colours_refused, unreadable
from workers.ffmpeg.reports.report import Report
from workers.ffmpeg.reports.timing import timing_of
from workers.ffmpeg.reports.tracks import audio_track, is_text, other_track, subtitle_track, video_track

__all__ = ["read_report"]

LONGEST_LEAD = Fraction(3600)
"""Sound that starts this much before the picture has another clock, not a long overture."""


def read_report(report: Report, *, reads_own_colours: bool = False) -> Source:
    """The facts of a probed file. Raises `UnsupportedSource` or `DamagedSource` with a sentence for its owner.
    ``reads_own_colours``: pictures of Dolby Vision without a base layer can be shown here."""
    if report["error"]:
        raise unreadable(report)
    tracks: list[Report] = report["tracks"]
    if is_sound_alone(tracks):
        return _sound_alone(report)
    picture = best_picture(tracks)
    own_colours = has_own_colours(report, picture)
    if own_colours and not reads_own_colours:
        raise own_colours_refused()
    timing = timing_of(picture)
    video = replace(video_track(picture, timing), own_colours=own_colours)
    audio = _audio_tracks(tracks)
    start = min([video.start, *(track.start for track in audio if video.start - track.start < LONGEST_LEAD)])
    end = film_end(report, start, timing.end)
    others = _others(tracks, picture)
    return Source(
        demuxer=report["demuxer"],
        size_bytes=report["size_bytes"],
        duration=end - start,
        start=start,
        video=video,
        audio=audio,
        others=others,
        notes=picture_notes(report, picture, timing, lead=video.start - start, rest=end - timing.end),
        subtitles=_subtitles(tracks),
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
        notes=sound_notes(report),
    )


def _audio_tracks(tracks: list[Report]) -> tuple[AudioTrack, ...]:
    return tuple(audio_track(track) for track in tracks if track["type"] == "audio" and decodes(track))


def _subtitles(tracks: list[Report]) -> tuple[SubtitleTrack, ...]:
    return tuple(subtitle_track(track) for track in tracks if is_text(track))


def _others(tracks: list[Report], picture: Report | None) -> tuple[OtherTrack, ...]:
    return tuple(
        other_track(track) for track in tracks if not is_taken(track, picture) and not (is_text(track) and picture)
    )
