"""The media type of every kind of object that we make, by the suffix of its name."""

from __future__ import annotations

OCTETS = "application/octet-stream"

CONTENT_TYPES: dict[str, str] = {
    # RFC 8216 names two types for playlists; Apple's authoring rules ask for this one.
    "m3u8": "application/vnd.apple.mpegurl",
    "mpd": "application/dash+xml",
    # RFC 8216bis and CMAF know ``video/iso.segment`` too, but caches, browsers and older players know ``video/mp4``
    # everywhere, and players take the type from the manifest anyway.
    "m4s": "video/mp4",
    "mp4": "video/mp4",
    "m4a": "audio/mp4",
    "jpg": "image/jpeg",
    "png": "image/png",
    "vtt": "text/vtt; charset=utf-8",
    "json": "application/json",
}


def content_type_of(name: str) -> str:
    """The media type for an object called ``name``; `OCTETS` for what has no suffix of ours."""
    _, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return CONTENT_TYPES.get(suffix, OCTETS) if dot else OCTETS
