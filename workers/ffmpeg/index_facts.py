"""What a file's own index says of its pictures, put into the probe's report in place of a walk over all packets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from storage.errors import DamagedSource
from storage.media.mp4_index import Mp4Index, TrackIndex
from workers.ffmpeg.probing.walk import Walk

MOST_SAMPLES = 4_000_000
"""Beyond this, half a day at 60 pictures a second and more, the beginning and the end have to do."""


def with_index(report: Mapping[str, Any], index: Mp4Index, *, exact: bool) -> dict[str, Any]:
    """``report`` of a copy that holds the beginning of a file, with ``scan`` of its tracks from ``index``.

    Raises `DamagedSource` where the report needs bytes that such a copy does not have, and, if it has to be ``exact``,
    where demuxers show other pictures than the index names: an edit list cuts some off."""
    tracks = [dict(track) for track in report["tracks"]]
    for track in tracks:
        if track.get("sample", {}).get("from_middle"):
            raise DamagedSource("The beginning of this file does not decode.")
        if track["index"] >= len(index.tracks) or track["attached_picture"]:
            continue
        indexed = index.tracks[track["index"]]
        if not indexed.count or Fraction(track["time_base"]) != Fraction(1, indexed.timescale):
            continue
        if track["type"] == "audio":
            track["scan"] = _end_of_sound(indexed)
        if track["type"] == "video" and "head" in track:
            walk = _walk(indexed)
            if walk is not None and walk["first"] == track["head"]["first"]:
                track["scan"] = walk
            elif exact:
                raise DamagedSource("The index of this file does not tell all of its pictures.")
    return {**report, "tracks": tracks}


def _end_of_sound(indexed: TrackIndex) -> dict[str, Any]:
    last = indexed.shift + indexed.run_times[-1] + (indexed.durations.counts[-1] - 1) * indexed.durations.values[-1]
    step = indexed.durations.values[-1]
    if indexed.end is not None and step:
        last -= max(0, -(-(last + 1 - indexed.end) // step)) * step  # what begins after the end is not heard
    longest = max(indexed.durations.values)
    return {"first": max(0, indexed.shift), "last": last, "last_duration": step, "longest_interval": longest}


def _walk(indexed: TrackIndex) -> dict[str, Any] | None:
    """What reading all packets would have found; None where an edit list cuts pictures off."""
    if indexed.count > MOST_SAMPLES:
        return None
    walk = Walk()
    walk.times.extend(indexed.shown_times())
    walk.packets = indexed.count
    walk.keyframes.extend(walk.times[sample] for sample in indexed.keyframes())
    walk.last_pts = max(walk.times)
    walk.last_duration = indexed.duration_of(walk.times.index(walk.last_pts))
    if min(walk.times) < 0 or (indexed.end is not None and walk.last_pts >= indexed.end):
        return None
    return walk.report()
