"""The hook for a DRM: content keys from a service over HTTP, with what its players have to be told.

``POST {url}`` with ``{"video", "asset", "keys", "period_segments"}`` is answered by ``{"keys": [{"kid", "key", "iv",
"systems": [{"system_id", "pssh", "hls_key_format", "hls_uri", "licence_url"}]}]}``: ids, keys and IVs in hexadecimal, pssh
boxes in Base64; ``iv`` and ``systems`` may be missing. Of a
system ``pssh`` or ``hls_uri`` is there; without the two for HLS its playlists name the system's id and its box. A CPIX service stands behind a few lines that translate.
"""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import structlog

from packager.cmaf.pssh import checked_pssh
from packager.encryption import CLEARKEY_SYSTEM
from storage.content_keys import KEY_BYTES, ContentKey
from storage.errors import KeyUnavailable, WrongOutput
from storage.ids import AssetId, VideoId
from storage.media.encryption import DrmSystem, KeyFacts
from storage.records import from_record

log = structlog.get_logger(__name__)

_TIMEOUT_S = 20.0


class HttpKeyService:
    """`workers.keys.KeyService` over HTTP."""

    def __init__(self, url: str, token: str = "", *, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._url = url
        self._client = httpx.Client(headers=headers, timeout=_TIMEOUT_S, transport=transport)

    def keys_for(self, video: VideoId, asset: AssetId, count: int, *, period_segments: int) -> tuple[ContentKey, ...]:
        asked = {"video": video, "asset": asset, "keys": count, "period_segments": period_segments}
        try:
            answer = self._client.post(self._url, json=asked)
            answer.raise_for_status()
            given = answer.json()["keys"]
            if len(given) != count:
                raise KeyUnavailable("The key service gave another number of keys.", asked=count, given=len(given))
            keys = tuple(_key(one, at * period_segments) for at, one in enumerate(given))
        except (httpx.HTTPError, ValueError, KeyError, TypeError, WrongOutput) as error:
            # What came is not told: there may be keys in it.
            raise KeyUnavailable("The key service did not give keys.", reason=type(error).__name__) from None
        log.info("keys_from_service", video_id=video, keys=count)
        return keys


def _key(given: dict[str, Any], first_segment: int) -> ContentKey:
    systems = from_record(tuple[DrmSystem, ...], given.get("systems", []))
    for system in systems:
        if system.pssh is not None:
            checked_pssh(system.pssh)
        elif system.hls_uri is None and system.system_id.lower() != CLEARKEY_SYSTEM:
            raise WrongOutput("A key system says neither for DASH nor for HLS what its players need.")
    facts = KeyFacts(
        kid=str(given["kid"]).replace("-", "").lower(),
        iv=str(given.get("iv") or secrets.token_hex(KEY_BYTES)).lower(),
        first_segment=first_segment,
        systems=systems,
    )
    return ContentKey(facts=facts, key=bytes.fromhex(given["key"]))
