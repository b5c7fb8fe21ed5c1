"""Words of encryption that everybody may know: how a video is encrypted, and which keys it has. No key is in here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_HEX = re.compile(r"[0-9a-f]{32}")


class Encryption(StrEnum):
    """How a video is encrypted. ``cbcs``: its samples, in the store already, for HLS and DASH alike. ``aes128``: stored
    clear, whole segments encrypted by the origin on the way out, for HLS only."""

    NONE = "none"
    CBCS = "cbcs"
    AES128 = "aes128"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrmSystem:
    """What a DRM service wants its players told about a key. ``system_id``: a UUID. ``pssh``: a whole pssh box, Base64.
    ``hls_key_format``/``hls_uri``: KEYFORMAT and URI of an EXT-X-KEY; ``licence_url``: where DASH players get licences."""

    system_id: str
    pssh: str | None = None
    hls_key_format: str | None = None
    hls_uri: str | None = None
    licence_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What everybody may know of a key: it holds from segment ``first_segment`` on. ``kid``: 32 hexadecimal digits.
    ``iv``: the constant one of cbcs, likewise."""

    kid: str
    iv: str
    first_segment: int = 0
    systems: tuple[DrmSystem, ...] = ()

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.kid) or not _HEX.fullmatch(self.iv):
            raise ValueError("the id and the IV of a key are 32 hexadecimal digits each")
