"""The cabinet of content keys: makes them when a video is inspected, opens them for who encrypts.

Keys are random, or come from a key service: the hook for a DRM. Opened ones are remembered in memory for a while, as every
chunk of a video asks for the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

from storage.content_keys import AssetKeys, ContentKey, ContentKeys, SealedKey, SealingRing, new_content_keys
from storage.ids import AssetId, VideoId
from storage.media.encryption import Encryption, KeyFacts

_REMEMBERED = 64


class KeyService(Protocol):
    """Where keys come from. A DRM service's own, or what asks one for raw keys."""

    def keys_for(self, video: VideoId, asset: AssetId, count: int, *, period_segments: int) -> tuple[ContentKey, ...]:
        """``count`` keys, each for ``period_segments`` segments. Raises `KeyUnavailable`."""
        ...


class RandomKeys:
    def keys_for(self, video: VideoId, asset: AssetId, count: int, *, period_segments: int) -> tuple[ContentKey, ...]:
        return new_content_keys(count, period_segments=period_segments)


class KeyCabinet:
    """Thread-safe. ``service`` is asked for keys of ``cbcs``; AES-128 is ours alone, as the origin delivers its keys."""

    def __init__(self, rows: ContentKeys, ring: SealingRing, service: KeyService | None = None) -> None:
        self._rows = rows
        self._ring = ring
        self._service = service or RandomKeys()
        self._opened: OrderedDict[AssetId, tuple[ContentKey, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def wished(self, video: VideoId) -> Encryption | None:
        """What the owner of ``video`` asked for."""
        return self._rows.wished_encryption(video)

    def make(
        self, encryption: Encryption, video: VideoId, asset: AssetId, segments: int, *, period_segments: int
    ) -> tuple[SealedKey, ...]:
        """Keys for all ``segments`` of ``asset``, sealed, for the commit of its inspection. Raises `KeyUnavailable`."""
        count = max(1, -(-segments // period_segments)) if period_segments else 1
        source = self._service if encryption is Encryption.CBCS else RandomKeys()
        keys = source.keys_for(video, asset, count, period_segments=period_segments)
        return tuple(self._ring.seal(key, asset) for key in keys)

    def facts(self, asset: AssetId) -> tuple[KeyFacts, ...]:
        """What manifests say of the keys of ``asset``."""
        return self._of(asset).facts

    def open_all(self, asset: AssetId) -> tuple[ContentKey, ...]:
        """The keys of ``asset``. Raises `KeyUnavailable`."""
        with self._lock:
            known = self._opened.get(asset)
        if known is None:
            known = tuple(self._ring.open(key, asset) for key in self._of(asset).keys)
            with self._lock:
                self._opened[asset] = known
                while len(self._opened) > _REMEMBERED:
                    self._opened.popitem(last=False)
        return known

    def _of(self, asset: AssetId) -> AssetKeys:
        return self._rows.content_keys(asset)
