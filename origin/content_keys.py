"""Content keys at the origin: delivered to who may play, and used on the way out for videos under AES-128.

``/v/{id}/keys/{kid}`` is one key, ``POST /v/{id}/keys`` a ClearKey licence request. Both are behind the same check as the
video's media; no cache may keep them.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

import structlog

from origin.access import Target, nothing_here
from origin.messages import Headers, Response, header
from origin.objects import Representation, StoredObject
from origin.policy import Kind
from origin.ports import KeyRows
from packager.encryption import clearkey_licence, encrypted_whole, offers_key
from storage.content_keys import ContentKey, SealingRing
from storage.ids import AssetId, VideoId
from storage.media.encryption import Encryption

log = structlog.get_logger(__name__)

LICENCE_BYTES = 64 * 1024
_REMEMBERED = 10_000
_KEYS_PATH = re.compile(r"/v/([a-z0-9][a-z0-9\-]{0,63})/keys(?:/([0-9a-f]{32}))?")
_SEGMENT = re.compile(
    r"(?P<folder>[^/]+/)(?P<number>\d{1,9})-(?P<digest>[0-9a-f]{12})(?:\.(?P<part>\d{1,9}-\d{1,12}-\d{1,12}))?\.m4s"
)


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a path below ``keys`` asks for; ``kid`` None: a licence."""

    target: Target
    kid: str | None


def parse_key_request(path: str) -> KeyRequest | None:
    """None for a path that is about no key."""
    found = _KEYS_PATH.fullmatch(path)
    if found is None:
        return None
    # Whoever may open the video may have its keys: that is what the target stands for.
    return KeyRequest(Target(VideoId(found[1]), "master.m3u8", Kind.MANIFEST), found[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenKeys:
    """The keys of an asset in the clear, by id and in the order of their segments."""

    encryption: Encryption
    by_kid: Mapping[str, ContentKey] = field(default_factory=dict, repr=False)

    def offered(self) -> dict[str, ContentKey]:
        """Those that are ours to hand out."""
        return {kid: key for kid, key in self.by_kid.items() if offers_key(key.facts)}

    def of_segment(self, number: int) -> ContentKey:
        keys = list(self.by_kid.values())
        return next(key for key in reversed(keys) if key.facts.first_segment <= number)


_CLEAR = OpenKeys(encryption=Encryption.NONE)


class KeyShelf:
    """Remembers: how an asset is encrypted is settled before anything of it is published, and never changes."""

    def __init__(self, rows: KeyRows | None, ring: SealingRing, threads: Executor) -> None:
        """``rows`` None: nothing is encrypted."""
        self._rows = rows
        self._ring = ring
        self._threads = threads
        self._known: OrderedDict[AssetId, OpenKeys] = OrderedDict()

    async def of(self, asset: AssetId) -> OpenKeys:
        """Raises `KeyUnavailable` or `CatalogueUnavailable`."""
        if self._rows is None:
            return _CLEAR
        known = self._known.get(asset)
        if known is None:
            known = await asyncio.get_running_loop().run_in_executor(self._threads, self._read, self._rows, asset)
            self._known[asset] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _read(self, rows: KeyRows, asset: AssetId) -> OpenKeys:
        found = rows.content_keys(asset)
        keys = [self._ring.open(key, asset) for key in found.keys]
        return OpenKeys(encryption=found.encryption, by_kid={key.facts.kid: key for key in keys})


def key_response(asked: KeyRequest, keys: OpenKeys, licence_request: bytes, common: Headers) -> Response:
    """Raises `NotFound` for a key that is not this video's, or not ours to give, and `InvalidRequest`."""
    if asked.kid is None:
        if keys.encryption is not Encryption.CBCS:
            raise nothing_here()
        body, content_type = clearkey_licence(licence_request, list(keys.offered().values())), "application/json"
    else:
        key = keys.offered().get(asked.kid)
        if key is None:
            raise nothing_here()
        body, content_type = key.key, "application/octet-stream"
    log.info("keys_delivered", video_id=asked.target.video, licence=asked.kid is None)
    headers = [
        header("content-type", content_type),
        header("content-length", len(body)),
        header("cache-control", "no-store"),
        *common,
    ]
    return Response(status=200, headers=headers, body=body)


@dataclass(frozen=True, slots=True)
class WholeSegment:
    """A segment under AES-128, or an I-frame of one as a file of its own. ``stored``: the name of the clear segment."""

    stored: str
    number: int
    digest: str
    sequence: int
    span: tuple[int, int] | None

    def encrypted(self, clear: bytes, keys: OpenKeys) -> StoredObject:
        """Raises `NotFound` for a part that is not in the segment."""
        start, size = self.span or (0, len(clear))
        if not 0 < size <= len(clear) - start:
            raise nothing_here()
        key = keys.of_segment(self.number)
        body = encrypted_whole(clear[start : start + size], key, self.sequence)
        etag = f'"{self.digest}-{key.facts.kid[:12]}-{self.sequence}-{start}-{size}"'
        return StoredObject(Representation(body, etag))


def parse_whole_segment(name: str) -> WholeSegment | None:
    """None for a name that is no media segment's."""
    found = _SEGMENT.fullmatch(name)
    if found is None:
        return None
    number = int(found["number"])
    sequence, span = number, None
    if found["part"] is not None:
        sequence, offset, size = map(int, found["part"].split("-"))
        span = (offset, size)
    stored = f"{found['folder']}{found['number']}-{found['digest']}.m4s"
    return WholeSegment(stored, number, found["digest"], sequence, span)
