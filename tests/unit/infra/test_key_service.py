"""Content keys from a DRM's service, over a transport in memory."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from infra.key_service import HttpKeyService
from packager.cmaf.pssh import common_pssh
from storage.errors import KeyUnavailable
from storage.ids import AssetId, VideoId
from storage.media.encryption import KeyFacts

WIDEVINE = "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"
PSSH = base64.b64encode(common_pssh([KeyFacts(kid="1" * 32, iv="2" * 32)])).decode()


def service(answer: Any, status: int = 200) -> tuple[HttpKeyService, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return httpx.Response(status, content=body)

    return HttpKeyService("https://keys.example/v1", "t0ken", transport=httpx.MockTransport(take)), seen


def a_key(**changes: Any) -> dict[str, Any]:
    return {"kid": "11111111-1111-1111-1111-111111111111", "key": "33" * 16, "iv": "22" * 16} | changes


def test_keys_come_with_what_their_players_are_told() -> None:
    system = {"system_id": WIDEVINE, "pssh": PSSH, "licence_url": "https://licences.example/"}
    keys, seen = service({"keys": [a_key(systems=[system]), a_key(kid="4" * 32, iv=None)]})
    first, second = keys.keys_for(VideoId("v"), AssetId("a-1"), 2, period_segments=15)
    assert (first.facts.kid, first.facts.iv, first.key) == ("1" * 32, "2" * 32, bytes([0x33]) * 16)
    assert first.facts.systems[0].licence_url == "https://licences.example/"
    assert (second.facts.first_segment, len(second.facts.iv)) == (15, 32)
    (request,) = seen
    assert request.headers["authorization"] == "Bearer t0ken"
    assert json.loads(request.content) == {"video": "v", "asset": "a-1", "keys": 2, "period_segments": 15}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"keys": [a_key()]}, 500),
        ({"keys": []}, 200),
        ({"keys": [a_key(key="33")]}, 200),
        ({"keys": [a_key(kid="nothing")]}, 200),
        ({"keys": [a_key(systems=[{"system_id": WIDEVINE, "pssh": "AAAA"}])]}, 200),
        ({"keys": [a_key(systems=[{"system_id": WIDEVINE}])]}, 200),
        ({}, 200),
        (b"<html>", 200),
    ],
)
def test_what_gives_no_keys_is_unavailable_and_tells_nothing_of_what_came(answer: Any, status: int) -> None:
    keys, _ = service(answer, status)
    with pytest.raises(KeyUnavailable) as caught:
        keys.keys_for(VideoId("v"), AssetId("a-1"), 1, period_segments=0)
    assert "33" * 16 not in f"{caught.value.sentence} {caught.value.fields} {caught.value.__cause__}"
