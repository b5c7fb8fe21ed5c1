"""Object keys: the only place that makes them.

Keys are built from our own identifiers, numbers and digests, never from what a client sent, and checked
against one pattern, so that no key can climb out of its prefix.
"""

from __future__ import annotations

import hashlib
import re

from storage.errors import InvalidRequest
from storage.ids import AssetId, VideoId

UPLOADED = ("sources/", "partials/")
"""Below which uploads come in."""

_SAFE = re.compile(r"[a-z0-9][a-z0-9_.\-]*(/[a-z0-9][a-z0-9_.\-]*)*")


def checked(key: str) -> str:
    """``key``, if it is one that we could have made; raises `InvalidRequest` otherwise."""
    if not _SAFE.fullmatch(key) or ".." in key or len(key) > 512:
        raise InvalidRequest("That is not a name of ours.", key=key[:80])
    return key


def hash12(content: bytes) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of ``content``: what makes a name unique to its bytes."""
    return hashlib.sha256(content).hexdigest()[:12]


def source_key(video: VideoId) -> str:
    return checked(f"sources/{video}")


def partial_key(video: VideoId) -> str:
    """Where the bytes of a partial upload lie: a video is never made of them by themselves."""
    return checked(f"partials/{video}")


def tails_prefix(video: VideoId) -> str:
    """Where the tails of a video's upload lie: everything below it is rubbish once the source is whole."""
    return f"tails/{checked(video)}/"


def tail_key(video: VideoId, token: int, end: int) -> str:
    """Key of the bytes of an upload after its last S3 part, up to ``end``, as the writer with ``token`` stored them."""
    return checked(f"{tails_prefix(video)}{token}-{end}")


def segment_name(number: int, digest: str) -> str:
    """Name of a segment inside its rendition. ``number`` counts from 0."""
    return f"{number}-{digest}.m4s"


def subtitle_name(number: int, digest: str) -> str:
    """Name of a segment of subtitles inside its rendition. ``number`` counts from 0."""
    return f"{number}-{digest}.vtt"


def whole_subtitles_name(digest: str) -> str:
    """Name of the file that holds all of a rendition of subtitles."""
    return f"whole-{digest}.vtt"


def init_name(digest: str) -> str:
    return f"init-{digest}.mp4"


def rendition_key(asset: AssetId, rendition: str, name: str) -> str:
    """Key of an object of a rendition: its part after the asset is also its URL's part after ``/v/{id}/``."""
    return checked(f"{asset}/{rendition}/{name}")


def asset_key(asset: AssetId, name: str) -> str:
    """Key of an object of the whole asset (manifests, poster, storyboards)."""
    return checked(f"{asset}/{name}")


def versioned_name(name: str, digest: str) -> str:
    """``master.m3u8`` → ``master-0123456789ab.m3u8``: manifests too are written once and never replaced."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{digest}{dot}{suffix}" if dot else f"{name}-{digest}"
