"""Which subtitles are published, under which names, and in which segments. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from storage.media.ladder import EncodePlan, SubtitleRendition
from storage.media.languages import language_name
from storage.media.source import SubtitleTrack
from storage.subtitles import MOST_TRACKS


def plan_subtitles(tracks: tuple[SubtitleTrack, ...]) -> tuple[SubtitleRendition, ...]:
    """One rendition per track, at most one of them shown unless the viewer says otherwise."""
    planned: list[SubtitleRendition] = []
    for track in tracks[:MOST_TRACKS]:
        planned.append(
            SubtitleRendition(
                name=_unused(_name(track), planned),
                language=track.language,
                label=_label(track),
                track_index=track.index,
                default=track.default and not any(one.default for one in planned),
                forced=track.forced,
                for_deaf=track.for_deaf,
            )
        )
    return tuple(planned)


def _name(track: SubtitleTrack) -> str:
    kind = "-forced" if track.forced else "-cc" if track.for_deaf else ""
    return f"text-{track.language}{kind}"


def _unused(name: str, planned: Sequence[SubtitleRendition]) -> str:
    taken, number, free = {one.name for one in planned}, 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _label(track: SubtitleTrack) -> str:
    return language_name(track.language, "Subtitles") + (" (captions)" if track.for_deaf else "")


def segment_edges(plan: EncodePlan) -> tuple[int, ...]:
    """Where segments of subtitles begin and end, in ticks of the ladder's timescale: where the video's do, because all
    playlists have one target duration (Apple's authoring rules, 8.2)."""
    starts = [*range(0, plan.total_frames, plan.ladder.segment_frames), plan.total_frames]
    return tuple(start * plan.ladder.frame_ticks for start in starts)


def seconds(ticks: int, plan: EncodePlan) -> Fraction:
    return Fraction(ticks, plan.ladder.timescale)
