"""Answers that are ready before they are asked for: the messages of whole objects that are hot, by path.

An entry is as good as the lookup behind it, a second or so; then the ordinary way makes it anew. It holds bytes that the
object cache holds too, and goes when they go.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from origin.messages import Headers, header
from origin.objects import StoredObject

_ENTRIES = 20_000


@dataclass(slots=True, kw_only=True)
class Hot:
    """``start`` and ``body`` are ASGI messages; ``headers`` those of every answer from this object. ``coded``:
    start message, body and its size by content coding, the smallest first."""

    kind: str
    video: str
    public: bool
    fresh_until_s: float
    stored: StoredObject
    size: int
    headers: Headers
    start: dict[str, Any]
    body: dict[str, Any]
    coded: dict[str, tuple[dict[str, Any], dict[str, Any], int]]


class HotAnswers:
    def __init__(self) -> None:
        self._by_path: dict[str, Hot] = {}
        self._paths_of_key: defaultdict[str, set[str]] = defaultdict(set)
        self.get = self._by_path.get

    def put(self, path: str, key: str, hot: Hot) -> None:
        if len(self._by_path) >= _ENTRIES:
            self._by_path.clear()
            self._paths_of_key.clear()
        self._by_path[path] = hot
        self._paths_of_key[key].add(path)

    def forget(self, key: str) -> None:
        """The object under ``key`` is no longer kept."""
        for path in self._paths_of_key.pop(key, ()):
            self._by_path.pop(path, None)


def start_message(status: int, headers: Headers) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body_message(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body}


def prepare(
    *, kind: str, video: str, public: bool, fresh_until_s: float, stored: StoredObject, headers: Headers
) -> Hot:
    """``headers``: all of a 200 but those of length, encoding and tag."""
    plain = stored.plain
    of_plain = [*headers, header("etag", plain.etag), header("content-length", len(plain.body))]
    coded = {}
    for coding, small in stored.coded.items():
        of_coded = [*headers, header("etag", small.etag), header("content-length", len(small.body))]
        of_coded.append(header("content-encoding", coding))
        coded[coding] = (start_message(200, of_coded), body_message(small.body), len(small.body))
    return Hot(
        kind=kind,
        video=video,
        public=public,
        fresh_until_s=fresh_until_s,
        stored=stored,
        size=len(plain.body),
        headers=[*headers, header("etag", plain.etag)],
        start=start_message(200, of_plain),
        body=body_message(plain.body),
        coded=coded,
    )
