"""Why a file is refused, in sentences for its owner."""

from __future__ import annotations

from storage.errors import DamagedSource, UnsupportedSource
from storage.media.sniffing import CONTAINER_NAMES
from workers.ffmpeg.reports.report import Report


def unreadable(report: Report) -> UnsupportedSource | DamagedSource:
    container = CONTAINER_NAMES.get(report["demuxer"], report["demuxer"])
    boxes = report.get("boxes")
    if boxes and boxes["protected"]:
        return encrypted()
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


def has_own_colours(report: Report, picture: Report) -> bool:
    """Dolby Vision profile 5 has no base layer: decoded as usual, its colours are green and purple."""
    found = report.get("dolby_vision")
    return found is not None and found["profile"] == 5 and picture["codec"] in ("hevc", "av1")


def own_colours_refused() -> UnsupportedSource:
    """What such pictures take (libplacebo) needs Vulkan."""
    return UnsupportedSource(
        "This video is Dolby Vision of profile 5, whose colours no other device shows. Please upload it as HDR10,"
        " HLG or SDR.",
        reason_code="dolby_vision_without_base",
    )


def encrypted() -> UnsupportedSource:
    return UnsupportedSource(
        "This file is encrypted (DRM). Please upload a copy without protection.", reason_code="encrypted"
    )


def no_picture(tracks: list[Report]) -> UnsupportedSource | DamagedSource:
    sounds = [track for track in tracks if track["type"] == "audio"]
    if any(track["encrypted"] for track in sounds):
        return encrypted()
    without_decoder = [track for track in sounds if "sample" not in track]
    if without_decoder:
        name = without_decoder[0]["codec"] or without_decoder[0]["tag"] or "unknown"
        return UnsupportedSource(
            f"The sound of this file is coded as “{name}”, which we do not decode.", reason_code="unsupported_codec"
        )
    if sounds:
        return DamagedSource("This file is damaged: none of its sound can be decoded.")
    return UnsupportedSource("There is neither picture nor sound in this file.", reason_code="not_media")
