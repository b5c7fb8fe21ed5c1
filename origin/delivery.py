"""``/v/{id}/…``: from a request for a public name to the bytes that answer it."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import structlog

from origin.access import Access, Target, nothing_here, parse_target
from origin.arriving import Arriving
from origin.content_keys import KeyShelf, parse_whole_segment
from origin.hot import Hot, HotAnswers, prepare
from origin.lookup import NameLookup, Published
from origin.messages import Headers, Request, Response, header
from origin.objects import ObjectReader, OnDisk, StoredObject, content_type_in_asset, etag_of
from origin.policy import GROWING, Kind, accepted_codings, cache_control, for_one_viewer, is_unchanged
from origin.problems import RangeNotSatisfiable
from origin.ranges import ByteRange, if_range_holds, resolve_range
from origin.views import View, ViewCache, parse_view
from origin.wishes import Wishes
from packager.encryption import KEYS_FOLDER
from storage.errors import NotAllowed, NotFound
from storage.grants import Downloads
from storage.media.encryption import Encryption

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Described:
    """An object, what is sent of it being known, with what is said about it."""

    found: StoredObject | Arriving | OnDisk
    content_type: str
    headers: Headers


class Delivery:
    """``common``: headers that every answer carries."""

    def __init__(
        self,
        lookup: NameLookup,
        objects: ObjectReader,
        access: Access,
        hot: HotAnswers,
        common: Headers,
        *,
        edge_secret: str = "",
        edges: tuple[tuple[str, str], ...] = (),
        shelf: KeyShelf,
        public_url: str = "",
    ):
        self._lookup = lookup
        self._objects = objects
        self._access = access
        self._hot = hot
        self._common = common
        self._edge_secret = edge_secret.encode()
        self._edges = edges
        self._shelf = shelf
        self._public_url = public_url.rstrip("/")
        self._views = ViewCache()

    async def authorize(self, target: Target, request: Request, scope: str = "play") -> Published:
        """What is known of the target, if whoever asks may have it. Raises `NotAllowed` or `NotFound`."""
        try:
            published = await self._lookup.find(target.video, None if target.in_asset else target.name)
        except NotFound as error:
            if request.token is not None and self._access.in_use:
                # Who has a token for it may know that it is gone; all others learn nothing.
                self._access.check(request.token, target.video, request.address, scope)
                raise
            raise self._access.refusal() from error
        if not (self._access.is_open(published.visibility) and scope == "play") and not self._is_edge(request):
            self._access.check(request.token, target.video, request.address, scope)
        return published

    async def authorize_download(self, target: Target, request: Request, rule: Downloads) -> Published:
        """The same for keeping the video as a file. What an edge may have does not count here: it is not to be cached."""
        request = replace(request, edge=None)
        if rule is Downloads.NEVER:
            raise self._access.refusal()
        try:
            return await self.authorize(target, request, "download")
        except (NotAllowed, NotFound):
            if rule is not Downloads.OPEN:
                raise
        return await self.authorize(target, request)

    async def answer(self, request: Request) -> tuple[Response, Target]:
        """Raises `FishladderError`s, to be answered as problems."""
        target = parse_target(request.path)
        published = await self.authorize(target, request)
        # Whole addresses of edges hold the token of this request; an edge that took it out of the path gets none.
        steers = self._access.is_open(published.visibility) or request.token is not None
        edges = self._edges if steers else ()
        view = parse_view(target.name, request, edges) if target.kind is Kind.MANIFEST else None
        view = await self._with_licence_url(target, published, request, view)
        described = await self._find(target, published, request, view)
        return await self._respond(request, described), target

    def _is_edge(self, request: Request) -> bool:
        sent = (request.edge or "").encode()
        return bool(self._edge_secret) and hmac.compare_digest(sent, self._edge_secret)

    async def _find(self, target: Target, published: Published, request: Request, view: View | None) -> _Described:
        segment = parse_whole_segment(target.name) if target.kind is Kind.SEGMENT else None
        keys = await self._shelf.of(published.asset) if segment is not None else None
        under_aes = keys is not None and keys.encryption is Encryption.AES128
        if segment is not None and under_aes:
            key, content_type = f"{published.asset}/{segment.stored}", content_type_in_asset(segment.stored)
        elif target.in_asset:
            key, content_type = f"{published.asset}/{target.name}", content_type_in_asset(target.name)
        elif published.name is not None:
            key, content_type = published.name.key, published.name.content_type
        else:
            raise nothing_here()
        try:
            in_pieces = target.in_asset and not under_aes
            found = await (self._objects.open(key) if in_pieces else self._objects.read(key))
        except NotFound as error:
            if not target.in_asset:
                # Manifests go last and name only what is stored, so this is a loss and not a mistyped address.
                log.error("published_object_missing", video_id=target.video, name=target.name)
            raise nothing_here() from error
        is_open = self._access.is_open(published.visibility)
        body = found.plain.body if isinstance(found, StoredObject) else b""
        immutable = published.name is not None and not target.in_asset and published.name.immutable
        kept = cache_control(target.kind, immutable=immutable, body=body)
        if kept == GROWING:
            # Players ask for the playlists of picture and sound together; both must be from the same moment.
            self._lookup.ask_again(target.video, target.name)
        headers = [
            header("content-type", content_type),
            header("cache-control", kept if is_open or self._is_edge(request) else for_one_viewer(kept)),
            header("surrogate-key", f"{target.video} {target.video}/{target.kind}"),
            header("accept-ranges", "bytes"),
            *self._common,
        ]
        if not is_open and self._is_edge(request):
            headers.append(header("fishladder-visibility", "signed"))  # for the edge: viewers' caches must not share it
        if segment is not None and keys is not None and under_aes:
            assert isinstance(found, StoredObject)  # it was read whole
            return _Described(segment.encrypted(found.plain.body, keys), content_type, headers)
        if isinstance(found, StoredObject):
            if view is not None:
                found = await self._views.get(key, view, found)
            if found.coded:
                headers.append(header("vary", "Accept-Encoding"))
            if view is None and kept != GROWING and not self._is_edge(request) and self._objects.held(key):
                self._heat(target, published, key, found, headers, is_open=is_open)
        return _Described(found, content_type, headers)

    async def _with_licence_url(
        self, target: Target, published: Published, request: Request, view: View | None
    ) -> View | None:
        """In an MPD of what is encrypted: where who asks gets its keys, with the token that the request came with."""
        if target.name != "manifest.mpd" or not self._public_url:
            return view
        if (await self._shelf.of(published.asset)).encryption is not Encryption.CBCS:
            return view
        token = f"/t/{request.token}" if request.token is not None and not self._is_edge(request) else ""
        return replace(view or Wishes(), licence_url=f"{self._public_url}{token}/v/{target.video}/{KEYS_FOLDER}")

    def _heat(
        self, target: Target, published: Published, key: str, found: StoredObject, headers: Headers, *, is_open: bool
    ) -> None:
        hot = prepare(
            kind=target.kind.value,
            video=target.video,
            public=is_open,
            fresh_until_s=published.fresh_until_s,
            stored=found,
            headers=headers,
        )
        self._hot.put(f"/v/{target.video}/{target.name}", key, hot)

    async def _respond(self, request: Request, described: _Described) -> Response:
        found, headers = described.found, described.headers
        if isinstance(found, StoredObject):
            return respond_stored(request, found, headers)
        etag = header("etag", etag_of(found.key))
        if is_unchanged(request.if_none_match, etag[1].decode()):
            return Response(status=304, headers=_of_304([*headers, etag]))
        ranges = _ranges(request, found.size_bytes, etag[1].decode())
        if ranges is None and isinstance(found, OnDisk) and request.can_send_files:
            headers = [*headers, etag, header("content-length", found.size_bytes)]
            return Response(status=200, headers=headers, path=found.path, length=found.size_bytes)
        if ranges is not None and len(ranges) != 1:
            # Several ranges, or none: rare enough to wait for all of it.
            whole = await self._objects.read(found.key)
            return respond_stored(request, whole, headers)
        part = ranges[0] if ranges else ByteRange(0, found.size_bytes)
        headers = [*headers, etag, header("content-length", len(part))]
        if ranges:
            headers.append(header("content-range", part.content_range(found.size_bytes)))
        if isinstance(found, OnDisk):
            try:
                body = await self._objects.read_file(found, part.start, part.stop)
            except OSError:  # it left the disk cache just now
                return respond_stored(request, await self._objects.read(found.key), described.headers)
            return Response(status=206 if ranges else 200, headers=headers, body=body)
        pieces: AsyncIterator[bytes] = found.read(part.start, part.stop)
        return Response(status=206 if ranges else 200, headers=headers, pieces=pieces, length=len(part))


def respond_hot(request: Request, hot: Hot) -> Response:
    """The answer to a GET of an object that is hot, where it is not the whole object."""
    return respond_stored(request, hot.stored, hot.headers)


def respond_stored(request: Request, stored: StoredObject, headers: Headers) -> Response:
    """The answer to a GET or HEAD of an object that is in memory; ``headers`` without tag and length."""
    headers = [pair for pair in headers if pair[0] != b"etag"]
    # A part of a compressed body helps nobody, so ranges are of the plain.
    asked = request.range if request.method == "GET" else None
    accepted = accepted_codings(request.accept_encoding) if asked is None and stored.coded else ()
    coding = next((coding for coding in stored.coded if coding in accepted), None)
    sent = stored.plain if coding is None else stored.coded[coding]
    headers.append(header("etag", sent.etag))
    if is_unchanged(request.if_none_match, sent.etag):
        return Response(status=304, headers=_of_304(headers))
    ranges = _ranges(request, len(sent.body), sent.etag)
    if ranges is not None:
        return _partial(sent.body, sent.etag, ranges, headers)
    headers.append(header("content-length", len(sent.body)))
    if coding is not None:
        headers.append(header("content-encoding", coding))
    return Response(status=200, headers=headers, body=sent.body)


def _ranges(request: Request, size: int, etag: str) -> tuple[ByteRange, ...] | None:
    # "A server MUST ignore a Range header field received with a request method that is unrecognized or for which range
    # handling is not defined": it is for GET only.
    if request.method != "GET" or not if_range_holds(request.if_range, etag):
        return None
    return resolve_range(request.range, size)


def _of_304(headers: Headers) -> Headers:
    """A 304 says what caches keep anew, and nothing of a body that it does not have."""
    return [pair for pair in headers if pair[0] not in (b"content-type", b"accept-ranges")]


def _partial(body: bytes, etag: str, ranges: tuple[ByteRange, ...], headers: Headers) -> Response:
    size = len(body)
    if not ranges:
        raise RangeNotSatisfiable(size_bytes=size)
    if len(ranges) == 1:
        part = body[ranges[0].start : ranges[0].stop]
        own = [header("content-range", ranges[0].content_range(size)), header("content-length", len(part))]
        return Response(status=206, headers=[*headers, *own], body=part)
    content_type = next(value for name, value in headers if name == b"content-type").decode()
    # From the tag, so that the same request has the same answer; bytes do not contain their own digest.
    boundary = "fishladder-" + etag.strip('"')
    part = _multipart(body, content_type, ranges, boundary)
    own = [header("content-type", f"multipart/byteranges; boundary={boundary}"), header("content-length", len(part))]
    return Response(status=206, headers=[*(pair for pair in headers if pair[0] != b"content-type"), *own], body=part)


def _multipart(body: bytes, content_type: str, ranges: tuple[ByteRange, ...], boundary: str) -> bytes:
    """A ``multipart/byteranges`` body (RFC 9110, 14.6)."""
    pieces: list[bytes] = []
    for each in ranges:
        head = f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {each.content_range(len(body))}\r\n\r\n"
        pieces += [head.encode(), body[each.start : each.stop], b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])
