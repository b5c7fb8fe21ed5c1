"""oEmbed 1.0 (oembed.com): from the address of a share page to what shows the player on somebody else's. Pure."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from upload_api.urls import Urls
from upload_api.web.showing import Shown

_LARGEST = 1280
_SMALLEST = 200


def video_of(url: str, urls: Urls) -> str | None:
    """The video whose share or embed page ``url`` is; None if it is no page of ours."""
    base, asked = urlsplit(urls.public), urlsplit(url)
    parts = asked.path.removeprefix(base.path).split("/")
    ours = asked.scheme in ("http", "https") and asked.netloc == base.netloc and asked.path.startswith(base.path)
    return parts[2] if ours and len(parts) == 3 and parts[1] in ("watch", "embed") and parts[2] else None


def fitted(size: tuple[int, int], max_width: int | None, max_height: int | None) -> tuple[int, int]:
    """The largest shape of ``size`` that keeps to both limits."""
    width, height = size
    scale = min(1.0, _LARGEST / width, (max_width or _LARGEST) / width, (max_height or height) / height)
    return max(_SMALLEST, round(width * scale)), max(round(_SMALLEST * height / width), round(height * scale))


def iframe(shown: Shown, urls: Urls, width: int, height: int) -> str:
    title = html.escape(shown.video.title)
    return (
        f'<iframe src="{html.escape(urls.embed(shown.video.id))}" width="{width}" height="{height}" title="{title}" '
        'style="border:0" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen loading="lazy"></iframe>'
    )


def oembed(
    shown: Shown, urls: Urls, provider: str, *, max_width: int | None = None, max_height: int | None = None
) -> dict[str, Any]:
    """The response of type ``video`` (section 2.3.4.2)."""
    width, height = fitted(shown.size, max_width, max_height)
    told: dict[str, Any] = {
        "version": "1.0",
        "type": "video",
        "title": shown.video.title,
        "provider_name": provider,
        "provider_url": urls.public,
        "cache_age": 300,
        "width": width,
        "height": height,
        "html": iframe(shown, urls, width, height),
    }
    poster = shown.url("poster.jpg")
    if poster is not None:  # all three or none, says the section
        told |= {"thumbnail_url": poster, "thumbnail_width": shown.size[0], "thumbnail_height": shown.size[1]}
    if shown.video.duration_ms is not None:
        told["duration"] = round(shown.video.duration_ms / 1000)
    return told


def as_xml(told: dict[str, Any]) -> str:
    lines = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in told.items())
    return f'<?xml version="1.0" encoding="utf-8" standalone="yes"?><oembed>{lines}</oembed>'
