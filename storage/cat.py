"""Common Access Tokens (CTA-5007): a CWT in a COSE_Mac0 with HMAC 256/256.

Claims that restrict and that we do not understand make a token worthless to us, never more powerful: "a validator that
does not recognize a claim" of the restricting ones must not accept the token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from storage import cbor

# CWT (RFC 8392) and CAT claims, by their registered keys.
_ISS, _SUB, _AUD, _EXP, _NBF, _IAT, _CTI = 1, 2, 3, 4, 5, 6, 7
_CATV, _CATNIP, _CATU, _CATM = 310, 311, 312, 313
_HARMLESS = frozenset({_ISS, _SUB, _AUD, _IAT, _CTI})

_MAC0_TAG, _CWT_TAG = 17, 61
_ALG, _KID = 1, 4
_HMAC_256_256 = 5
_PATH = 3  # a component of a URI in catu
_EXACT, _PREFIX = 0, 1  # ways to match
_VIDEO_PATH = re.compile(r"/v/([a-z0-9][a-z0-9\-]{0,63})/")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonAccessToken:
    """What we take from one. ``video``: from its claim on the path, which is a prefix ``/v/{id}/``."""

    video: str | None
    expires_at_s: int | None
    not_before_s: int | None = None
    network: str | None = None


def mint_cat(token: CommonAccessToken, key_id: str, secret: bytes) -> bytes:
    """The token as bytes; base64url of it is what URLs carry."""
    claims: dict[int, Any] = {_CATV: 1}
    if token.expires_at_s is not None:
        claims[_EXP] = token.expires_at_s
    if token.not_before_s:
        claims[_NBF] = token.not_before_s
    if token.video is not None:
        claims[_CATU] = {_PATH: {_PREFIX: f"/v/{token.video}/"}}
    if token.network is not None:
        claims[_CATNIP] = [_network_value(token.network)]
    protected, payload = cbor.encode({_ALG: _HMAC_256_256}), cbor.encode(claims)
    mac0 = [protected, {_KID: key_id.encode()}, payload, _mac(secret, protected, payload)]
    return cbor.encode(cbor.Tagged(_CWT_TAG, cbor.Tagged(_MAC0_TAG, mac0)))


def read_cat(data: bytes, keys: dict[str, bytes]) -> CommonAccessToken:
    """The claims of a token that one of ``keys`` made. Raises `ValueError` for any other, and for claims that we could
    not keep to."""
    message = cbor.decode(data)
    if isinstance(message, cbor.Tagged) and message.tag == _CWT_TAG:
        message = message.value
    if isinstance(message, cbor.Tagged) and message.tag == _MAC0_TAG:
        message = message.value
    if not (isinstance(message, list) and len(message) == 4):
        raise ValueError("not a COSE_Mac0")
    protected, unprotected, payload, mac = message
    if not all(isinstance(part, bytes) for part in (protected, payload, mac)):
        raise ValueError("not a COSE_Mac0")
    headers = cbor.decode(protected) if protected else {}
    if not isinstance(headers, dict) or headers.get(_ALG) != _HMAC_256_256:
        raise ValueError("not HMAC 256/256")
    if set(headers) - {_ALG, _KID} or not isinstance(unprotected, dict):
        raise ValueError("headers that we do not know")
    secret = _key(headers.get(_KID, unprotected.get(_KID)), keys)
    if not hmac.compare_digest(_mac(secret, protected, payload), mac):
        raise ValueError("not made by a key of ours")
    return _claims(cbor.decode(payload))


def _key(key_id: Any, keys: dict[str, bytes]) -> bytes:
    secret = keys.get(key_id.decode("ascii", "replace")) if isinstance(key_id, bytes) else None
    if secret is None:
        raise ValueError("no such key")
    return secret


def _mac(secret: bytes, protected: bytes, payload: bytes) -> bytes:
    # MAC_structure of RFC 9052, 6.3.
    return hmac.digest(secret, cbor.encode(["MAC0", protected, b"", payload]), hashlib.sha256)


def _claims(claims: Any) -> CommonAccessToken:
    if not isinstance(claims, dict) or set(claims) - _HARMLESS - {_EXP, _NBF, _CATV, _CATNIP, _CATU, _CATM}:
        raise ValueError("claims that we do not know")
    if claims.get(_CATV, 1) != 1:
        raise ValueError("a version that we do not know")
    methods = claims.get(_CATM, ["GET", "HEAD"])
    if not isinstance(methods, list) or "GET" not in methods or "HEAD" not in methods:
        raise ValueError("not good for what we serve, GET and HEAD")
    expires, not_before = claims.get(_EXP), claims.get(_NBF)
    if not all(time is None or type(time) is int for time in (expires, not_before)):
        raise ValueError("times are whole seconds")
    return CommonAccessToken(
        video=_video(claims.get(_CATU)),
        expires_at_s=expires,
        not_before_s=not_before,
        network=_network(claims[_CATNIP]) if _CATNIP in claims else None,
    )


def _video(catu: Any) -> str | None:
    """The video whose path a catu claim pins; other components of the URI we cannot keep to."""
    if catu is None:
        return None
    path = catu.get(_PATH) if isinstance(catu, dict) and set(catu) == {_PATH} else None
    prefix = path.get(_PREFIX) if isinstance(path, dict) and set(path) == {_PREFIX} else None
    match = _VIDEO_PATH.fullmatch(prefix) if isinstance(prefix, str) else None
    if match is None:
        raise ValueError("a claim on the URI that we cannot keep to")
    return match[1]


def _network_value(network: str) -> cbor.Tagged:
    """An address or network by RFC 9164."""
    parsed = ipaddress.ip_network(network, strict=False)
    tag = 52 if parsed.version == 4 else 54
    if parsed.prefixlen == parsed.max_prefixlen:
        return cbor.Tagged(tag, parsed.network_address.packed)
    return cbor.Tagged(tag, [parsed.prefixlen, parsed.network_address.packed.rstrip(b"\0")])


def _network(catnip: Any) -> str:
    if not (isinstance(catnip, list) and len(catnip) == 1 and isinstance(catnip[0], cbor.Tagged)):
        raise ValueError("networks that we cannot keep to")
    (entry,) = catnip
    size = {52: 4, 54: 16}.get(entry.tag)
    prefix, packed = entry.value if isinstance(entry.value, list) and len(entry.value) == 2 else (None, entry.value)
    if size is None or not isinstance(packed, bytes) or len(packed) > size:
        raise ValueError("not a network")
    if prefix is not None and type(prefix) is not int:
        raise ValueError("not a network")
    address = ipaddress.ip_address(packed.ljust(size, b"\0"))
    return str(ipaddress.ip_network((address, 8 * size if prefix is None else prefix), strict=False))
