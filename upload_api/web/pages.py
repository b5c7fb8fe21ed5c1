"""Page templates filled in. Pure: template text and values in, HTML out.

``{{name}}`` is a value, ``{{text:key}}`` a string of ``strings.json``; both are escaped, unless the value is `Markup`.
``{{part:name}}`` is a piece that several pages have in common, with slots of its own.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from upload_api.urls import Urls
from upload_api.web.showing import Shown

_SLOT = re.compile(r"\{\{(text:)?([\w.]+)\}\}")
_PART = re.compile(r"\{\{part:(\w+)\}\}\n")


class Markup(str):
    """HTML of our own making, which goes out as it is."""

    __slots__ = ()


def with_parts(template: str, part: Callable[[str], str]) -> str:
    """``template`` with the text that ``part`` gives for each name in place of its parts."""
    return _PART.sub(lambda slot: part(slot[1]), template)


def render_page(template: str, texts: Mapping[str, str], values: Mapping[str, str] | None = None) -> str:
    """``template`` with every slot filled. A slot that nothing fills is a bug (`KeyError`)."""
    given = values or {}

    def fill(slot: re.Match[str]) -> str:
        value = texts[slot[2]] if slot[1] else given[slot[2]]
        return value if isinstance(value, Markup) else html.escape(value)

    return _SLOT.sub(fill, template)


def data_block(facts: Mapping[str, Any]) -> Markup:
    """``facts`` for inside of ``<script type="application/json">``, which no policy of scripts concerns: nothing in it
    can end the element or begin a comment."""
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def social_tags(shown: Shown, urls: Urls, site: str) -> Markup:
    """Open Graph and player-card tags, by which chats and feeds show the video, and where oEmbed is to be had. A signed
    video tells nothing: feeds would keep it."""
    if shown.is_signed:
        return Markup('<meta name="robots" content="noindex">')
    video = shown.video
    watch, embed = urls.watch(video.id), urls.embed(video.id)
    width, height = (str(side) for side in shown.size)
    tags = [
        ("og:type", "video.other"),
        ("og:site_name", site),
        ("og:title", video.title),
        ("og:url", watch),
        ("og:video:url", embed),
        ("og:video:secure_url", embed),
        ("og:video:type", "text/html"),
        ("og:video:width", width),
        ("og:video:height", height),
        ("twitter:card", "player"),
        ("twitter:title", video.title),
        ("twitter:player", embed),
        ("twitter:player:width", width),
        ("twitter:player:height", height),
    ]
    if video.duration_ms is not None:
        tags.append(("video:duration", str(round(video.duration_ms / 1000))))
    poster = shown.url("poster.jpg")
    if poster is not None:
        tags += [("og:image", poster), ("og:image:width", width), ("og:image:height", height)]
        tags += [("og:image:alt", video.title), ("twitter:image", poster)]
    lines = [f'<meta property="{name}" content="{html.escape(content)}">' for name, content in tags]
    lines.append(f'<link rel="canonical" href="{html.escape(watch)}">')
    for kind in ("json", "xml"):
        href = html.escape(f"{urls.public}/oembed?url={quote(watch, safe='')}&format={kind}")
        title = html.escape(video.title)
        lines.append(f'<link rel="alternate" type="application/{kind}+oembed" href="{href}" title="{title}">')
    return Markup("\n".join(lines))


def frame_ancestors(embed_origins: tuple[str, ...] | None) -> str:
    """Who may frame the player, as a Content-Security-Policy says it."""
    return "*" if embed_origins is None else " ".join(("'self'", *embed_origins))


def content_security_policy(origin_host: str, framed_by: str = "'none'") -> str:
    """No inline script or style, nothing from anywhere but here and the origin of the films. ``blob:`` is what Media
    Source Extensions play from, and a picture that was just taken from a film; ``data:`` is an empty track of subtitles,
    which hls.js begins with."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            f"img-src 'self' blob: {origin_host}",
            f"media-src 'self' blob: data: {origin_host}",
            f"connect-src 'self' {origin_host}",
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            f"frame-ancestors {framed_by}",
        )
    )
