"""Views of manifests: the same presentation, limited or arranged for who asks, made from the stored manifest's text.

The query says what is wanted. On ``master.m3u8`` and ``manifest.mpd``:
``max_height=720`` (only renditions up to that; the smallest is always left), ``codec=avc1,hvc1`` (only these),
``language=de`` (the audio that plays first), ``start=30.5`` (seconds; HLS only, in DASH ``#t=30.5`` of the address says it).
On all of them ``token=…``: the query token goes on to everything that the manifest names, by EXT-X-DEFINE in HLS and
UrlQueryInfo in DASH: the view is the same for all tokens, so caches may drop them from their keys.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict
from dataclasses import replace

from origin.access import fields_of_query
from origin.cache import SingleFlight
from origin.messages import Request
from origin.objects import StoredObject, prepared
from origin.views_dash import dash_view
from origin.views_hls import hls_view
from origin.wishes import Edge, Wishes
from packager.encryption import with_licence_url
from storage.errors import InvalidRequest
from storage.keys import hash12

_PRESENTATIONS = ("master.m3u8", "manifest.mpd")
_CODEC = re.compile(r"[a-z0-9]{4}(\.[A-Za-z0-9.]{1,32})?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}")
_VIEWS = 2000
_LONG_TEXT_BYTES = 64 * 1024
_VIEWS_BYTES = 64 * 1024 * 1024

View = Wishes


def parse_view(name: str, request: Request, edges: tuple[tuple[str, str], ...] = ()) -> View | None:
    """What a request for the manifest ``name`` wants of it; None: as it is. Raises `InvalidRequest` for values that
    cannot be meant."""
    steered = bool(edges) and name == "master.m3u8"
    if not request.query and not steered:
        return None
    given = dict(fields_of_query(request.query)) if request.query else {}
    carries_token = "token" in given
    own = name in _PRESENTATIONS
    wishes = Wishes(
        max_height=_number(given, "max_height", 1, 10_000) if own else None,
        codecs=_codecs(given["codec"]) if own and "codec" in given else (),
        language=_language(given["language"]) if own and "language" in given else None,
        start_ms=_start_ms(given["start"]) if own and "start" in given else None,
        carries_token=carries_token,
        edges=tuple(Edge(edge, base + _folder(request)) for edge, base in edges) if steered else (),
    )
    return wishes if wishes != Wishes() else None


class ViewCache:
    """The views that were made last."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, View], StoredObject] = OrderedDict()
        self._held_bytes = 0
        self._flights: SingleFlight[StoredObject] = SingleFlight()

    async def get(self, key: str, view: View, whole: StoredObject) -> StoredObject:
        known = self._made.get((key, view))
        if known is not None:
            self._made.move_to_end((key, view))
            return known
        body = whole.plain.body
        if len(body) <= _LONG_TEXT_BYTES:
            made = _make(key, view, body)
        else:  # it would keep everybody waiting
            made = await self._flights.run(f"{key} {view}", lambda: asyncio.to_thread(_make, key, view, body))
            if (key, view) in self._made:
                return made
        self._made[(key, view)] = made
        self._held_bytes += made.size_bytes
        while self._made and (len(self._made) > _VIEWS or self._held_bytes > _VIEWS_BYTES):
            _, gone = self._made.popitem(last=False)
            self._held_bytes -= gone.size_bytes
        return made


def _make(key: str, view: View, body: bytes) -> StoredObject:
    made = render(key, view, body)
    stem, _, suffix = key.rpartition(".")
    return prepared(f"{stem}-{hash12(made)}.{suffix}", made)


def render(key: str, view: View, body: bytes) -> bytes:
    """The manifest ``body`` as ``view`` wants it."""
    if view.licence_url is not None:
        body, view = with_licence_url(body, view.licence_url), replace(view, licence_url=None)
    if view == Wishes():
        return body
    return dash_view(body, view) if key.endswith(".mpd") else hls_view(body.decode(), view).encode()


def _folder(request: Request) -> str:
    prefix = f"/t/{request.token}" if request.token_in_path else ""
    return prefix + request.path.rpartition("/")[0]


def _number(given: dict[str, str], name: str, least: int, most: int) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 8 and least <= int(text) <= most):
        raise InvalidRequest(f"{name} is a whole number from {least} to {most}.")
    return int(text)


def _codecs(text: str) -> tuple[str, ...]:
    codecs = tuple(sorted(set(text.split(","))))
    if len(codecs) > 8 or not all(_CODEC.fullmatch(codec) for codec in codecs):
        raise InvalidRequest("codec is a list of codecs as manifests name them, for example avc1 or hvc1.")
    return codecs


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise InvalidRequest("language is a language tag, for example de or pt-BR.")
    return text.lower()


def _start_ms(text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not abs(seconds) < 1e7:
        raise InvalidRequest("start is a time in seconds, for example 30.5; below zero it counts from the end.")
    return round(seconds * 1000)
