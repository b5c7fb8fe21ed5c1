"""Scripts, styles, fonts and browser libraries as they go out: packed once, asked about each time.

Browsers keep them and ask whether they are still good; an answer of 304 costs nothing, and a new version is there at the
next load. Text is packed with gzip the first time somebody asks for it.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""What is served at all, by suffix."""

_PACKED = frozenset({".css", ".js", ".mjs", ".svg"})


@dataclass(frozen=True, slots=True)
class Packed:
    """``zipped`` None: it is packed already, as fonts are."""

    plain: bytes
    zipped: bytes | None
    etag: str
    content_type: str

    @property
    def wire_bytes(self) -> int:
        """What a browser loads of it."""
        return len(self.zipped or self.plain)

    def answer(self, request: Request) -> Response:
        headers = {
            "Cache-Control": "no-cache",
            "ETag": self.etag,
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.zipped, headers=headers, media_type=self.content_type)
        return Response(self.plain, headers=headers, media_type=self.content_type)


def pack(plain: bytes, suffix: str) -> Packed:
    zipped = gzip.compress(plain, 9, mtime=0) if suffix in _PACKED else None
    return Packed(plain, zipped, f'W/"{hashlib.sha256(plain).hexdigest()[:20]}"', TYPES[suffix])


def packed_file(path: Path) -> Packed | None:
    """The file at ``path``; None if there is none of a kind that is served."""
    if path.suffix not in TYPES or not path.is_file():
        return None
    return _packed_once(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _packed_once(path: Path, _changed_at_ns: int) -> Packed:
    return pack(path.read_bytes(), path.suffix)
