"""Who may play what: visibility of videos, and playback grants as signed tokens.

A grant names one video, a span of time and optionally the network that it is good for. Its token is
``{key id}.{payload}.{signature}``: URL-safe as a path segment and as a query value. The key ring signs with its first key
and believes all of them: to rotate, put a new key in front and take the old one away when its last token has expired.
Common Access Tokens (`storage.cat`) say the same in another form; `read_grant` takes both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from storage.cat import read_cat
from storage.errors import GrantExpired, NotAllowed
from storage.ids import VideoId
from storage.rings import secrets_by_id

MAX_TOKEN_CHARS = 1024
_KEY_ID = re.compile(r"[A-Za-z0-9_\-]{1,32}")


class Downloads(StrEnum):
    """Who may keep a video as a file: nobody, who has a token for just that, or whoever may play it."""

    NEVER = "never"
    SIGNED = "signed"
    OPEN = "open"


class Visibility(StrEnum):
    """``unlisted`` plays like ``public``: who has the link may; it is only not listed."""

    PUBLIC = "public"
    UNLISTED = "unlisted"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """Secrets by id, at least 16 bytes each; the first signs."""

    keys: dict[str, bytes]

    def __post_init__(self) -> None:
        for key_id, secret in self.keys.items():
            if not _KEY_ID.fullmatch(key_id) or len(secret) < 16:
                raise ValueError("a playback key is an id of letters and digits and a secret of at least 16 bytes")

    @classmethod
    def parse(cls, pairs: tuple[str, ...]) -> KeyRing:
        """From ``id:hexadecimal`` pairs."""
        return cls(keys=secrets_by_id(pairs))

    @property
    def signing(self) -> tuple[str, bytes]:
        return next(iter(self.keys.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackGrant:
    """Times are seconds since the epoch. ``network``: an address or CIDR network. ``scope``: what it opens: ``play``;
    ``download``, keeping the video as a file; or ``plays``, the page about how it was played."""

    video: VideoId
    expires_at_s: int
    not_before_s: int = 0
    network: str | None = None
    scope: str = "play"

    def allows(self, video: str, now_s: float, address: str | None, scope: str = "play") -> bool:
        """Whether ``video`` may be played now from ``address``."""
        if self.video != video or self.scope != scope or now_s < self.not_before_s:
            return False
        return self.network is None or is_within(address, self.network)


def is_within(address: str | None, network: str) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def sign_grant(grant: PlaybackGrant, keys: KeyRing) -> str:
    """The token of ``grant``."""
    key_id, secret = keys.signing
    claims: dict[str, Any] = {"v": grant.video, "e": grant.expires_at_s}
    if grant.not_before_s:
        claims["n"] = grant.not_before_s
    if grant.network is not None:
        claims["a"] = grant.network
    if grant.scope != "play":
        claims["s"] = grant.scope
    payload = _to_text(json.dumps(claims, separators=(",", ":")).encode())
    return f"{key_id}.{payload}.{_signature(secret, key_id, payload)}"


def read_grant(token: str, keys: KeyRing, now_s: float) -> PlaybackGrant:
    """The grant that ``token`` proves. Raises `NotAllowed`; `GrantExpired` only for one that we signed."""
    if len(token) > MAX_TOKEN_CHARS:
        raise NotAllowed
    grant = _read_own(token, keys) if "." in token else _read_cat(token, keys)
    if grant.expires_at_s <= now_s:
        raise GrantExpired
    return grant


def _read_own(token: str, keys: KeyRing) -> PlaybackGrant:
    key_id, _, rest = token.partition(".")
    payload, _, signature = rest.partition(".")
    secret = keys.keys.get(key_id)
    if secret is None or not token.isascii() or not hmac.compare_digest(_signature(secret, key_id, payload), signature):
        raise NotAllowed
    claims = json.loads(_to_bytes(payload))  # signed by us, so it is as we wrote it
    return PlaybackGrant(
        video=VideoId(claims["v"]),
        expires_at_s=claims["e"],
        not_before_s=claims.get("n", 0),
        network=claims.get("a"),
        scope=claims.get("s", "play"),
    )


def _read_cat(token: str, keys: KeyRing) -> PlaybackGrant:
    try:
        cat = read_cat(_to_bytes(token), keys.keys)
    except (ValueError, binascii.Error) as error:
        raise NotAllowed from error
    if cat.expires_at_s is None or cat.video is None:
        raise NotAllowed
    return PlaybackGrant(
        video=VideoId(cat.video),
        expires_at_s=cat.expires_at_s,
        not_before_s=cat.not_before_s or 0,
        network=cat.network,
    )


def _signature(secret: bytes, key_id: str, payload: str) -> str:
    return _to_text(hmac.digest(secret, f"fishladder-playback.{key_id}.{payload}".encode(), hashlib.sha256))


def _to_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _to_bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
