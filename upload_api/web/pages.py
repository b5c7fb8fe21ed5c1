"""Page templates filled in. Pure: template text and values in, HTML out.

``{{name}}`` is a value, ``{{text:key}}`` a string of ``strings.json``; both are escaped, unless the value is `Markup`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from storage.catalogue import Video
from upload_api.urls import Urls

_SLOT = re.compile(r"\{\{(text:)?([\w.]+)\}\}")


class Markup(str):
    """HTML of our own making, which goes out as it is."""

    __slots__ = ()


def render_page(template: str, texts: Mapping[str, str], values: Mapping[str, str] | None = None) -> str:
    """``template`` with every slot filled. A slot that nothing fills is a bug (`KeyError`)."""
    given = values or {}

    def fill(slot: re.Match[str]) -> str:
        value = texts[slot[2]] if slot[1] else given[slot[2]]
        return value if isinstance(value, Markup) else html.escape(value)

    return _SLOT.sub(fill, template)


def social_tags(video: Video, urls: Urls, site: str) -> Markup:
    """Open Graph and player-card tags, by which chats and feeds show the video."""
    watch, embed = urls.watch(video.id), urls.embed(video.id)
    tags = [
        ("og:type", "video.other"),
        ("og:site_name", site),
        ("og:title", video.title),
        ("og:url", watch),
        ("og:video:url", embed),
        ("og:video:type", "text/html"),
        ("og:video:width", "1280"),
        ("og:video:height", "720"),
        ("twitter:card", "player"),
        ("twitter:player", embed),
        ("twitter:player:width", "1280"),
        ("twitter:player:height", "720"),
    ]
    if video.duration_ms is not None:
        tags.append(("video:duration", str(round(video.duration_ms / 1000))))
    if "poster.jpg" in video.published:
        tags.append(("og:image", urls.media(video.id, "poster.jpg")))
    lines = [f'<meta property="{name}" content="{html.escape(content)}">' for name, content in tags]
    lines.append(f'<link rel="canonical" href="{html.escape(watch)}">')
    return Markup("\n".join(lines))


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may frame a page."""

    frame_ancestors: str = "'none'"


def content_security_policy(origin_host: str, policy: Policy) -> str:
    """No inline script or style, nothing from anywhere but here and the origin of the films. ``blob:`` is what Media
    Source Extensions play from."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src 'self' {origin_host}",
            f"media-src 'self' blob: {origin_host}",
            f"connect-src 'self' {origin_host}",
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            f"frame-ancestors {policy.frame_ancestors}",
        )
    )
