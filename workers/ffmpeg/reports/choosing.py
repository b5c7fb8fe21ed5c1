"""Which of a file's tracks is its picture."""

from __future__ import annotations

from storage.errors import DamagedSource, UnsupportedSource
from workers.ffmpeg.reports.refusals import encrypted, no_picture
from workers.ffmpeg.reports.report import Report
from workers.planning.encode_plan import picture_too_large
from workers.planning.policy import DEFAULT_POLICY


def is_sound_alone(tracks: list[Report]) -> bool:
    """Whether there is sound to be heard and not even a damaged picture to be seen; a cover is none."""
    heard = any(track["type"] == "audio" and decodes(track) for track in tracks)
    return heard and not any(track["type"] == "video" and not track["attached_picture"] for track in tracks)


def best_picture(tracks: list[Report]) -> Report:
    """The video track to use: of those that decode the default one, then the largest, then the first."""
    pictures = [track for track in tracks if track["type"] == "video" and not track["attached_picture"]]
    decodable = [track for track in pictures if decodes(track)]
    if decodable:
        return max(decodable, key=lambda t: (t["default"], t["width"] * t["height"], -t["index"]))
    if not pictures:
        raise no_picture(tracks)
    if any(track["encrypted"] for track in pictures):
        raise encrypted()
    without_decoder = [track for track in pictures if "sample" not in track]
    if without_decoder:
        name = without_decoder[0]["codec"] or without_decoder[0]["tag"] or "unknown"
        raise UnsupportedSource(
            f"The picture of this file is coded as “{name}”, which we do not decode.", reason_code="unsupported_codec"
        )
    largest = max(pictures, key=lambda track: track["width"] * track["height"])
    if largest["width"] * largest["height"] > DEFAULT_POLICY.limits.most_pixels:
        raise picture_too_large(largest["width"], largest["height"])
    raise DamagedSource("This file is damaged: not one of its pictures can be decoded.")


def decodes(track: Report) -> bool:
    return bool(track.get("sample", {}).get("frames")) and not track["encrypted"]


def is_taken(track: Report, picture: Report | None) -> bool:
    return (picture is not None and track["index"] == picture["index"]) or (track["type"] == "audio" and decodes(track))
