"""Small claims under our signature, as text that goes through headers and URLs.

A signed text is ``{key id}.{payload}.{signature}``. What it is for is part of what is signed: a text of one purpose is
none of another. The key ring signs with its first key and believes all of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from storage.grants import KeyRing

MAX_SIGNED_CHARACTERS = 8192


def sign_claims(purpose: str, claims: dict[str, Any], keys: KeyRing) -> str:
    key_id, secret = keys.signing
    payload = _to_text(json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode())
    return f"{key_id}.{payload}.{_signature(secret, purpose, key_id, payload)}"


def read_claims(purpose: str, text: str, keys: KeyRing) -> dict[str, Any] | None:
    """The claims of a text that one of ``keys`` signed for ``purpose``; None for any other text."""
    if len(text) > MAX_SIGNED_CHARACTERS or not text.isascii() or text.count(".") != 2:
        return None
    key_id, payload, signature = text.split(".")
    secret = keys.keys.get(key_id)
    if secret is None or not hmac.compare_digest(_signature(secret, purpose, key_id, payload), signature):
        return None
    claims: dict[str, Any] = json.loads(_to_bytes(payload))  # signed by us, so it is as we wrote it
    return claims


def _signature(secret: bytes, purpose: str, key_id: str, payload: str) -> str:
    return _to_text(hmac.digest(secret, f"fishladder-{purpose}.{key_id}.{payload}".encode(), hashlib.sha256))


def _to_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _to_bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
