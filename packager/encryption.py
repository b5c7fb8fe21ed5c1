"""How manifests tell of encryption, what players are answered who ask for keys, and whole segments under AES-128.

Sample encryption itself is `packager.cmaf.protection`. Keys are delivered below a video's own address, ``keys/{kid}``, so
that they are behind the same access check as its media; ``keys`` answers ClearKey licence requests.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID
from xml.etree import ElementTree as ET

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from storage.content_keys import ContentKey
from storage.errors import InvalidRequest
from storage.media.encryption import Encryption, KeyFacts

KEYS_FOLDER = "keys"
CLEARKEY_SYSTEM = "e2719d58-a985-b3c9-781a-b030af78d30e"
MP4_PROTECTION = "urn:mpeg:dash:mp4protection:2011"
CENC_NAMESPACE = "urn:mpeg:cenc:2013"
LICENCE_NAMESPACE = "https://dashif.org/CPS"
NAMESPACES = {"xmlns:cenc": CENC_NAMESPACE, "xmlns:dashif": LICENCE_NAMESPACE}

_BLOCK = 16
_MOST_KIDS = 1000
_KID = re.compile(r"[A-Za-z0-9_\-]{22}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """How a presentation is encrypted, and its keys in the order of the segments from which they hold."""

    encryption: Encryption
    keys: tuple[KeyFacts, ...]

    def __post_init__(self) -> None:
        firsts = [key.first_segment for key in self.keys]
        if self.encryption is Encryption.NONE or firsts[:1] != [0] or firsts != sorted(set(firsts)):
            raise ValueError(
                "what is encrypted has a key from its first segment on, and another for each period after it"
            )


def offers_key(key: KeyFacts) -> bool:
    """Whether we hand ``key`` out ourselves: a DRM service's keys are its own to deliver, unless it lists ClearKey."""
    return not key.systems or any(system.system_id.lower() == CLEARKEY_SYSTEM for system in key.systems)


# --- DASH ------------------------------------------------------------------------------------------------------------


def content_protection(protection: Protection) -> Iterator[ET.Element]:
    """ContentProtection elements of an adaptation set (ISO/IEC 23009-1 section 5.8.4.1): the scheme with the default key,
    and each key system with what it needs. ClearKey's has no pssh: dash.js would take it for a list of ids in JSON, and
    the default key's id is enough, as a licence holds the keys of all periods."""
    default = protection.keys[0]
    scheme = {"schemeIdUri": MP4_PROTECTION, "value": "cbcs", "cenc:default_KID": str(UUID(default.kid))}
    yield ET.Element("ContentProtection", scheme)
    if offers_key(default):
        yield _system(CLEARKEY_SYSTEM, "ClearKey1.0", (), KEYS_FOLDER)
    for system in dict.fromkeys(
        each.system_id.lower() for key in protection.keys for each in key.systems if each.system_id != CLEARKEY_SYSTEM
    ):
        told = [each for key in protection.keys for each in key.systems if each.system_id.lower() == system]
        boxes = dict.fromkeys(each.pssh for each in told if each.pssh)
        licence_url = next((each.licence_url for each in told if each.licence_url), None)
        yield _system(system, None, tuple(boxes), licence_url)


def _system(system: str, value: str | None, pssh: Iterable[str], licence_url: str | None) -> ET.Element:
    element = ET.Element("ContentProtection", {"schemeIdUri": f"urn:uuid:{system}"})
    if value is not None:
        element.set("value", value)
    for box in pssh:
        ET.SubElement(element, "cenc:pssh").text = box
    if licence_url is not None:
        ET.SubElement(element, "dashif:Laurl", {"Lic_type": "EME-1.0"}).text = licence_url
    return element


_OWN_LICENCES = re.compile(rb"(<dashif:Laurl [^>]*>)keys(</dashif:Laurl>)")


def with_licence_url(mpd: bytes, url: str) -> bytes:
    """``mpd``, one of ours, with the whole address of its keys: players take a relative one for relative to their page."""
    return _OWN_LICENCES.sub(lambda found: found[1] + url.encode() + found[2], mpd)


# --- keys for players ------------------------------------------------------------------------------------------------


def clearkey_licence(request: bytes, keys: Sequence[ContentKey]) -> bytes:
    """The answer to a ClearKey licence request (W3C EME section 9.1.4): all ``keys`` of a video to who asks for one of
    them. dash.js asks for the first period's alone, and never again. Raises `InvalidRequest`."""
    try:
        asked = json.loads(request)
        kids = asked["kids"]
        if not (isinstance(kids, list) and 0 < len(kids) <= _MOST_KIDS and all(map(_is_kid, kids))):
            raise InvalidRequest("A licence request lists the ids of keys in base64url.")
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest("A licence request is JSON with the ids of keys.") from error
    known = {_to_text(bytes.fromhex(key.facts.kid)): _to_text(key.key) for key in keys}
    given = [{"kty": "oct", "kid": kid, "k": key} for kid, key in known.items()] if known.keys() & set(kids) else []
    return json.dumps({"keys": given, "type": "temporary"}, separators=(",", ":")).encode()


def _is_kid(kid: object) -> bool:
    return isinstance(kid, str) and _KID.fullmatch(kid) is not None


def _to_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


# --- AES-128 ---------------------------------------------------------------------------------------------------------


def encrypted_whole(body: bytes, key: ContentKey, sequence: int) -> bytes:
    """``body`` as HLS's AES-128 has it (RFC 8216bis section 5.2): CBC over all of it, filled up as of PKCS #7, with the
    media sequence number as the IV."""
    filling = _BLOCK - len(body) % _BLOCK
    cipher = Cipher(algorithms.AES(key.key), modes.CBC(sequence.to_bytes(_BLOCK, "big"))).encryptor()
    return cipher.update(body) + cipher.update(bytes([filling]) * filling) + cipher.finalize()


def decrypted_whole(body: bytes, key: bytes | None, iv: bytes) -> bytes | None:
    """What `encrypted_whole` was given; None if it was not it, or not with this key."""
    if key is None or len(key) != _BLOCK or len(iv) != _BLOCK or not body or len(body) % _BLOCK:
        return None
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    clear = cipher.update(body) + cipher.finalize()
    filling = clear[-1]
    return clear[:-filling] if 0 < filling <= _BLOCK and clear.endswith(bytes([filling]) * filling) else None


def iframe_name(segment: str, *, sequence: int, offset: int, size: int) -> str:
    """Name of an I-frame of ``segment`` (``{n}-{digest}.m4s``) as a file of its own: under AES-128 no range of a
    segment can be decrypted alone. ``sequence``: its media sequence number in the I-frame playlist."""
    stem = segment.removesuffix(".m4s")
    return f"{stem}.{sequence}-{offset}-{size}.m4s"


def period_starts(keys: Sequence[KeyFacts], segment_of: Sequence[int]) -> list[tuple[int, KeyFacts]]:
    """(index, key): where in a list, whose entries are of the segments ``segment_of``, each key begins to hold."""
    starts: list[tuple[int, KeyFacts]] = []
    for key in keys:
        index = next((at for at, number in enumerate(segment_of) if number >= key.first_segment), None)
        if index is not None:
            starts.append((index, key))
    return starts
