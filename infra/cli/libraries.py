"""Where `fishladder check` reads from: a folder, or a web server."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from urllib.parse import quote, unquote, urlsplit

import httpx

from packager.conformance.library import Answer, Span

_NOT_FOUND, _UNREACHABLE = 404, 599
_MANIFESTS = ("master.m3u8", "manifest.mpd")


class FolderLibrary:
    """Files below ``root`` by ``file:`` URLs. What lies elsewhere is not found, whatever a manifest names."""

    speaks_http = False

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def entries(self) -> list[str]:
        """The manifests that players open: ours by name, else every MPD and multivariant playlist of the folder itself, else
        its media playlists."""
        found = [path for name in _MANIFESTS if (path := self._root / name).is_file()]
        if not found:
            playlists = sorted(self._root.glob("*.m3u8"))
            opened = [path for path in playlists if b"#EXT-X-STREAM-INF" in path.read_bytes()]
            found = [*(opened or playlists), *sorted(self._root.glob("*.mpd"))]
        return [self.url(path) for path in found]

    def url(self, path: Path) -> str:
        return "file://" + quote(str(path.resolve()))

    def read(self, url: str, span: Span | None = None) -> Answer:
        path = Path(unquote(urlsplit(url).path)).resolve()
        if not url.startswith("file:") or not path.is_relative_to(self._root) or not path.is_file():
            return Answer(status=_NOT_FOUND)
        with path.open("rb") as file:
            if span is None:
                return Answer(status=200, body=file.read())
            file.seek(span[0])
            return Answer(status=206, body=file.read(span[1] - span[0]))


class WebLibrary:
    """Files of a web server, one connection for all."""

    speaks_http = True

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(follow_redirects=True, timeout=30, transport=transport)

    def __enter__(self) -> WebLibrary:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def entries(self, url: str) -> list[str]:
        """``url`` itself if it is a manifest, else those of our names below it that are there."""
        if urlsplit(url).path.endswith((".m3u8", ".mpd")):
            return [url]
        below = [f"{url.rstrip('/')}/{name}" for name in _MANIFESTS]
        return [one for one in below if self.read(one).found] or [url]

    def read(self, url: str, span: Span | None = None) -> Answer:
        headers = {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
        try:
            answer = self._http.get(url, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            return Answer(status=_UNREACHABLE)
        body = answer.content
        if span is not None and answer.status_code == 200:  # no ranges there: the rules say so, and we go on
            body = body[span[0] : span[1]]
        return Answer(
            status=answer.status_code,
            body=body,
            headers={name.lower(): value for name, value in answer.headers.items()},
            redirected=bool(answer.history),
        )
