"""Bytes on their way up over tus, from wherever they are; what was interrupted goes on where it stood."""

from __future__ import annotations

import hashlib
import mimetypes
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from infra.cli.api import Api, problem, unreachable

_BODY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sendable:
    """A file here or elsewhere. ``key`` tells it from every other one, and from itself once it has changed."""

    name: str
    size_bytes: int
    key: str
    open: Callable[[], BinaryIO]


def local_file(path: Path) -> Sendable:
    return Sendable(name=path.name, size_bytes=path.stat().st_size, key=fingerprint(path), open=lambda: path.open("rb"))


def send(api: Api, what: Sendable, metadata: Mapping[str, str], on_sent: Callable[[int], None]) -> str:
    """Send ``what`` from where an earlier try stopped; the upload's URL."""
    told = {"filename": what.name} | dict(metadata)
    if kind := mimetypes.guess_type(what.name)[0]:
        told["filetype"] = kind
    urls = UrlFiles(_cache_dir(), api.server)
    with what.open() as stream:
        try:
            uploader = _uploader(api, stream, told, urls.get(what.key))
            on_sent(uploader.offset)
            if uploader.url is None:
                uploader.url = str(uploader.create_url())
                urls.put(what.key, uploader.url)
            while uploader.offset < what.size_bytes:
                uploader.upload_chunk()
                on_sent(uploader.offset)
        except TusCommunicationError as error:
            raise (
                problem(error.status_code, error.response_content) if error.status_code else unreachable(api.server)
            ) from error
    urls.remove(what.key)
    return str(uploader.url)


def _uploader(api: Api, stream: BinaryIO, metadata: dict[str, str], url: str | None) -> Any:
    """tuspy's uploader, standing where an earlier try stopped (``url``), unless that upload is gone."""
    try:
        return TusClient(f"{api.server}/files", headers=dict(api.fields)).uploader(
            file_stream=stream, metadata=metadata, chunk_size=_BODY_BYTES, retries=10, retry_delay=2, url=url
        )
    except TusCommunicationError as error:
        if url is None or error.status_code not in (403, 404, 410):
            raise
        return _uploader(api, stream, metadata, None)


def fingerprint(file: Path) -> str:
    """Which file this is: its place, size, time of change and first bytes. tuspy's own takes size and first bytes only, and
    two takes of one camera may share both."""
    facts = file.stat()
    with file.open("rb") as stream:
        text = f"{file.absolute()}|{facts.st_size}|{facts.st_mtime_ns}|".encode() + stream.read(65536)
    return hashlib.sha256(text).hexdigest()


class UrlFiles:
    """Upload URLs of unfinished files, one small file each: two programs at once do not disturb each other."""

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder / hashlib.sha256(server.encode()).hexdigest()[:12]

    def get(self, key: str) -> str | None:
        try:
            return (self._folder / key).read_text()
        except FileNotFoundError:
            return None

    def put(self, key: str, url: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self._folder / key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(url)  # a capability: for its owner's eyes only

    def remove(self, key: str) -> None:
        (self._folder / key).unlink(missing_ok=True)


def _cache_dir() -> Path:
    """Where the XDG base directory specification puts what may be lost."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fishladder" / "uploads"
