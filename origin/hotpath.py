"""The shortest way: requests whose answer is ready. Whatever is unusual about a request sends it the ordinary way.

This is where most requests end, so it looks at as little as it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import Any

from origin.access import Access, split_token
from origin.hot import Hot, HotAnswers, body_message, start_message
from origin.messages import WHOLE_BYTES, Scope, Send, header, send_in_pieces
from origin.metrics import OriginMetrics
from origin.policy import accepted_codings
from storage.errors import GrantExpired

_UNUSUAL = frozenset({b"if-none-match", b"if-range", b"fishladder-edge", b"cmcd-request", b"cmcd-session"})
_RANGE = re.compile(rb"bytes=(\d{1,18})-(\d{0,18})")

Report = Callable[[Scope, str, int], None]


class HotPath:
    """``report`` is told of requests that say how playback goes: the scope, the video, and the bytes sent."""

    def __init__(
        self,
        hot: HotAnswers,
        access: Access,
        metrics: OriginMetrics,
        *,
        report: Report,
        behind_proxies: bool,
        client_timeout_s: float,
    ):
        self._hot = hot.get
        self._access = access
        self._metrics = metrics
        self._report = report
        self._behind_proxies = behind_proxies
        self._client_timeout_s = client_timeout_s

    async def answer(self, scope: Scope, send: Send) -> bool:
        """Whether the request was answered."""
        hot = self._find(scope)
        if hot is None:
            return False
        asked = encoding = coding = None
        for name, value in scope["headers"]:
            if name == b"range":
                asked = value
            elif name == b"accept-encoding":
                encoding = value
            elif name in _UNUSUAL or len(value) > 2048:
                return False
        if asked is not None:
            messages = _range_messages(hot, asked)
            if messages is None:
                return False
            start, body, size, status = messages
        elif hot.coded and encoding is not None and (coding := _coding(encoding, tuple(hot.coded))) is not None:
            start, body, size = hot.coded[coding]
            status = 200
        else:
            start, body, size, status = hot.start, hot.body, hot.size, 200
        if scope["query_string"]:
            self._report(scope, hot.video, size)
        self._metrics.count_hot(hot.kind, status, size)
        await send(start)
        if size <= WHOLE_BYTES:
            await send(body)
        else:
            await send_in_pieces(send, body["body"], self._client_timeout_s)
        return True

    def _find(self, scope: Scope) -> Hot | None:
        path: str = scope["path"]
        hot = self._hot(path)
        if hot is None:
            if not path.startswith("/t/"):
                return None
            token, path = split_token(path)
            hot = self._hot(path)
            if hot is None or token is None or not (hot.public or self._may_play(token, hot.video, scope)):
                return None
        elif not hot.public:
            return None
        if hot.fresh_until_s < monotonic() or scope["method"] != "GET":
            return None
        query: bytes = scope["query_string"]
        return None if query and (not query.startswith(b"CMCD=") or b"&" in query) else hot

    def _may_play(self, token: str, video: str, scope: Scope) -> bool:
        if self._behind_proxies or not self._access.in_use:
            return False  # the ordinary way looks whom a proxy speaks for
        try:
            return self._access.allows(token, video, scope["client"][0])
        except GrantExpired:
            return False


def _range_messages(hot: Hot, asked: bytes) -> tuple[dict[str, Any], dict[str, Any], int, int] | None:
    """One range from a position on, inside the object: what players ask for."""
    match = _RANGE.fullmatch(asked)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2]) if match[2] else hot.size - 1
    if not first <= last < hot.size:
        return None
    size = last - first + 1
    headers = [
        *hot.headers,
        (b"content-range", b"bytes %d-%d/%d" % (first, last, hot.size)),
        header("content-length", size),
    ]
    return start_message(206, headers), body_message(hot.stored.plain.body[first : last + 1]), size, 206


@lru_cache(maxsize=4096)
def _coding(value: bytes, there: tuple[str, ...]) -> str | None:
    """The first of the codings that are ``there`` that an Accept-Encoding header likes best."""
    accepted = accepted_codings(value.decode("latin-1"))
    return next((coding for coding in there if coding in accepted), None)
