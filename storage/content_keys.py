"""Content keys: what the media of a video is encrypted with, and how they are kept.

In the catalogue a key is *sealed*: encrypted with AES-GCM under a sealing key that only the settings hold, bound to its
asset and its id, so that a copy of the database opens nothing and rows cannot change places. The ring of sealing keys
seals with its first and opens with all: to rotate, put a new one in front, seal everything anew, take the old one away.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.errors import KeyUnavailable
from storage.ids import AssetId, VideoId
from storage.media.encryption import Encryption, KeyFacts
from storage.rings import secrets_by_id

KEY_BYTES = 16
_SEALING_KEY_BYTES = 32
_NONCE_BYTES = 12
_RING_ID = re.compile(r"[A-Za-z0-9_\-]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentKey:
    """A key in the clear. Never logged, never stored."""

    facts: KeyFacts
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ValueError(f"a content key has {KEY_BYTES} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """A key as it is kept: ``{sealing key's id}.{Base64 of nonce and ciphertext}``."""

    facts: KeyFacts
    sealed: str

    @property
    def sealed_by(self) -> str:
        return self.sealed.partition(".")[0]


def new_content_keys(count: int, *, period_segments: int) -> tuple[ContentKey, ...]:
    """``count`` random keys, each for ``period_segments`` segments."""
    return tuple(
        ContentKey(
            facts=KeyFacts(
                kid=secrets.token_hex(KEY_BYTES), iv=secrets.token_hex(KEY_BYTES), first_segment=at * period_segments
            ),
            key=secrets.token_bytes(KEY_BYTES),
        )
        for at in range(count)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingRing:
    """Sealing keys by id, 32 bytes each (AES-256); the first seals, all open."""

    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for key_id, secret in self.keys.items():
            if not _RING_ID.fullmatch(key_id) or len(secret) != _SEALING_KEY_BYTES:
                raise ValueError("a sealing key is an id of letters and digits and a secret of 32 bytes")

    @classmethod
    def parse(cls, pairs: tuple[str, ...]) -> SealingRing:
        """From ``id:hexadecimal`` pairs."""
        return cls(keys=secrets_by_id(pairs))

    @property
    def sealing_id(self) -> str | None:
        """The id of the key that seals; None: the ring is empty."""
        return next(iter(self.keys), None)

    def seal(self, key: ContentKey, asset: AssetId) -> SealedKey:
        """Raises `KeyUnavailable` if the ring is empty."""
        if self.sealing_id is None:
            raise KeyUnavailable("There is no sealing key: encrypted videos need FISHLADDER_SEALING_KEYS.")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealer = AESGCM(self.keys[self.sealing_id])
        text = base64.b64encode(nonce + sealer.encrypt(nonce, key.key, _bound_to(key.facts, asset))).decode()
        return SealedKey(facts=key.facts, sealed=f"{self.sealing_id}.{text}")

    def open(self, sealed: SealedKey, asset: AssetId) -> ContentKey:
        """Raises `KeyUnavailable` if the sealing key is not in the ring, or if the seal is not one of its."""
        secret = self.keys.get(sealed.sealed_by)
        if secret is None:
            raise KeyUnavailable(sealed_by=sealed.sealed_by, kid=sealed.facts.kid)
        try:
            packed = base64.b64decode(sealed.sealed.partition(".")[2], validate=True)
            key = AESGCM(secret).decrypt(packed[:_NONCE_BYTES], packed[_NONCE_BYTES:], _bound_to(sealed.facts, asset))
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise KeyUnavailable("A content key's seal is broken.", kid=sealed.facts.kid) from error
        return ContentKey(facts=sealed.facts, key=key)

    def reseal(self, sealed: SealedKey, asset: AssetId) -> SealedKey:
        """The same key under the ring's first sealing key."""
        return replace(self.seal(self.open(sealed, asset), asset), facts=sealed.facts)


def _bound_to(facts: KeyFacts, asset: AssetId) -> bytes:
    return f"fishladder-content-key.{asset}.{facts.kid}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetKeys:
    """How an asset is encrypted, and its keys in the order of their segments."""

    encryption: Encryption
    keys: tuple[SealedKey, ...] = ()

    @property
    def facts(self) -> tuple[KeyFacts, ...]:
        return tuple(key.facts for key in self.keys)


CLEAR = AssetKeys(encryption=Encryption.NONE)


class ContentKeys(Protocol):
    """Keys in the catalogue. Each call is one transaction. All block."""

    def content_keys(self, asset: AssetId) -> AssetKeys:
        """`CLEAR` for an asset without keys, also for one that is not there."""
        ...

    def wished_encryption(self, video: VideoId) -> Encryption | None:
        """What a video's owner asked for; None: as the default says."""
        ...

    def wish_encryption(self, video: VideoId, encryption: Encryption | None) -> None:
        """For when the video is inspected next. Raises `NotFound`."""
        ...

    def keys_not_sealed_by(self, sealing_id: str, limit: int) -> tuple[tuple[AssetId, SealedKey], ...]:
        """Keys that are still under other sealing keys."""
        ...

    def replace_seal(self, asset: AssetId, old: SealedKey, new: SealedKey) -> bool:
        """``new`` instead of ``old``; False if the key is not sealed as ``old`` is any more."""
        ...
