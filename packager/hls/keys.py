"""EXT-X-KEY and EXT-X-SESSION-KEY (RFC 8216bis sections 4.4.4.4 and 4.4.6.5): which key holds from here on, and where it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packager.encryption import CLEARKEY_SYSTEM, KEYS_FOLDER, Protection, offers_key
from packager.hls.attributes import attribute_list, quoted
from storage.media.encryption import DrmSystem, Encryption, KeyFacts

IDENTITY = "identity"
PSSH_URL = "data:text/plain;base64,"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """``iv``: hexadecimal digits; without one, of AES-128 each segment has its media sequence number. ``key_id``: for key
    systems that look at it."""

    method: str
    uri: str
    iv: str | None = None
    key_format: str | None = None
    key_id: str | None = None
    session: bool = False

    def lines(self) -> Iterable[str]:
        attributes = {
            "METHOD": self.method,
            "URI": quoted(self.uri),
            "IV": f"0x{self.iv}" if self.iv is not None else None,
            "KEYID": f"0x{self.key_id}" if self.key_id is not None else None,
            "KEYFORMAT": quoted(self.key_format) if self.key_format is not None else None,
            "KEYFORMATVERSIONS": quoted("1") if self.key_format is not None else None,
        }
        yield f"#EXT-X-{'SESSION-' if self.session else ''}KEY:{attribute_list(attributes)}"


def keys_of(protection: Protection, key: KeyFacts, *, folder: str, session: bool = False) -> Iterator[Key]:
    """The tags for ``key`` in a playlist from where the video's own folder is ``folder`` (empty, or ending in a slash)."""
    uri = f"{folder}{KEYS_FOLDER}/{key.kid}"
    if protection.encryption is Encryption.AES128:
        yield Key(method="AES-128", uri=uri, session=session)
        return
    if offers_key(key):
        yield Key(method="SAMPLE-AES", uri=uri, iv=key.iv, key_format=IDENTITY, session=session)
    for system in key.systems:
        told = _of_system(system)
        if told is not None:
            yield Key(method="SAMPLE-AES", uri=told[1], key_format=told[0], key_id=key.kid, session=session)


def _of_system(system: DrmSystem) -> tuple[str, str] | None:
    """KEYFORMAT and URI. Where the service says nothing for HLS they are the system's id and its pssh box, which is what
    players take for Widevine's and others' (the box as a data URL)."""
    if system.hls_key_format is None and system.system_id.lower() == CLEARKEY_SYSTEM:
        return None  # its keys are ours to deliver: see `offers_key`
    uri = system.hls_uri or (f"{PSSH_URL}{system.pssh}" if system.pssh is not None else None)
    return (system.hls_key_format or f"urn:uuid:{system.system_id.lower()}", uri) if uri is not None else None
