"""``/v/{id}/…``: from a request for a public name to the bytes that answer it."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from origin.access import Target, nothing_here, parse_target
from origin.lookup import NameLookup
from origin.messages import Headers, Request, Response, header
from origin.objects import ObjectReader, Representation, StoredObject, content_type_in_asset
from origin.policy import accepts_gzip, cache_control, is_unchanged
from origin.problems import RangeNotSatisfiable
from origin.ranges import ByteRange, if_range_holds, resolve_range
from storage.errors import NotFound

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """An object with what is said about it."""

    stored: StoredObject
    content_type: str
    cache_control: str


class Delivery:
    """``common``: headers that every answer carries."""

    def __init__(self, lookup: NameLookup, objects: ObjectReader, common: Headers):
        self._lookup = lookup
        self._objects = objects
        self._common = common

    async def answer(self, request: Request) -> tuple[Response, Target]:
        """Raises `FishladderError`s, to be answered as problems."""
        target = parse_target(request.path)
        found = await self._find(target)
        return respond(request, found, self._common), target

    async def _find(self, target: Target) -> _Found:
        if target.in_asset:
            asset = await self._lookup.asset(target.video)
            key, content_type, immutable = f"{asset}/{target.name}", content_type_in_asset(target.name), True
        else:
            name = await self._lookup.published(target.video, target.name)
            key, content_type, immutable = name.key, name.content_type, name.immutable
        try:
            stored = await self._objects.read(key)
        except NotFound as error:
            if not target.in_asset:
                # Manifests go last and name only what is stored, so this is a loss and not a mistyped address.
                log.error("published_object_missing", video_id=target.video, name=target.name)
            raise nothing_here() from error
        policy = cache_control(target.kind, immutable=immutable, body=stored.plain.body)
        return _Found(stored, content_type, policy)


def respond(request: Request, found: _Found, common: Headers) -> Response:
    """The answer to a GET or HEAD of an object that is there."""
    # "A server MUST ignore a Range header field received with a request method that is unrecognized or for which range
    # handling is not defined": it is for GET only. A part of a compressed body helps nobody, so ranges are of the plain.
    asked = request.range if request.method == "GET" else None
    zipped = found.stored.zipped if asked is None and accepts_gzip(request.accept_encoding) else None
    sent = zipped or found.stored.plain
    headers = [
        header("etag", sent.etag),
        header("cache-control", found.cache_control),
        *common,
    ]
    if found.stored.zipped is not None:
        headers.append(header("vary", "Accept-Encoding"))
    if is_unchanged(request.if_none_match, sent.etag):
        return Response(status=304, headers=headers)
    headers.append(header("accept-ranges", "bytes"))
    ranges = resolve_range(asked, len(sent.body)) if if_range_holds(request.if_range, sent.etag) else None
    if ranges is not None:
        return _partial(sent, found.content_type, ranges, headers)
    headers += [header("content-type", found.content_type), header("content-length", len(sent.body))]
    if zipped is not None:
        headers.append(header("content-encoding", "gzip"))
    return Response(status=200, headers=headers, body=sent.body)


def _partial(sent: Representation, content_type: str, ranges: tuple[ByteRange, ...], headers: Headers) -> Response:
    size = len(sent.body)
    if not ranges:
        raise RangeNotSatisfiable(size_bytes=size)
    if len(ranges) == 1:
        body = sent.body[ranges[0].start : ranges[0].stop]
        own = [header("content-type", content_type), header("content-range", ranges[0].content_range(size))]
    else:
        # From the tag, so that the same request has the same answer; bytes do not contain their own digest.
        boundary = sent.etag.strip('"')
        body = _multipart(sent.body, content_type, ranges, boundary)
        own = [header("content-type", f"multipart/byteranges; boundary={boundary}")]
    return Response(status=206, headers=[*headers, *own, header("content-length", len(body))], body=body)


def _multipart(body: bytes, content_type: str, ranges: tuple[ByteRange, ...], boundary: str) -> bytes:
    """A ``multipart/byteranges`` body (RFC 9110, 14.6)."""
    pieces: list[bytes] = []
    for each in ranges:
        head = f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {each.content_range(len(body))}\r\n\r\n"
        pieces += [head.encode(), body[each.start : each.stop], b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])
