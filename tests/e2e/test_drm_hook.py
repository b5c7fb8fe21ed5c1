"""The hook for a DRM, played: keys and boxes come from a service of somebody else, who also gives the licences. We name the two and
deliver neither."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from playwright.sync_api import Browser

from infra.key_service import HttpKeyService
from packager.cmaf.pssh import common_pssh
from packager.conformance.reference import NOT_MET
from storage.catalogue.sql import SqlCatalogue
from storage.content_keys import SealingRing
from storage.lifecycle import VideoState
from storage.media.encryption import Encryption, KeyFacts
from tests.conformant import assert_conformant
from tests.e2e.film import FILM_FPS, make_film
from tests.e2e.test_winding import WindingPage
from tests.pipeline import through_the_pipeline_of
from workers.ffmpeg.process import find_tools
from workers.keys import KeyCabinet
from workers.planning.policy import FAST_POLICY, EncryptionPolicy

pytestmark = pytest.mark.e2e

SYSTEM = "1077efec-c0b2-4d02-ace3-3c1e52e2fb4b"
"""W3C's common one: the only system whose licences a browser without a DRM takes, by the key ids of its box."""
SECONDS = 5.0
DASH = {"d": "urn:mpeg:dash:schema:mpd:2011", "cenc": "urn:mpeg:cenc:2013"}


def text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass
class Drm:
    """A key service at ``/keys``, licences at ``/licences``, and what is published at ``/site``."""

    site: Path
    keys: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def make_keys(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self.keys = {f"{number + 10:032x}": f"{number + 1:02x}" * 16 for number in range(wanted["keys"])}
        box = common_pssh([KeyFacts(kid=kid, iv="0" * 32) for kid in self.keys])
        system = {"system_id": SYSTEM, "pssh": base64.b64encode(box).decode(), "licence_url": f"{self.url}/licences"}
        return {"keys": [{"kid": kid, "key": key, "systems": [system]} for kid, key in self.keys.items()]}

    def licence(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self.asked += wanted["kids"]
        known = {text(bytes.fromhex(kid)): text(bytes.fromhex(key)) for kid, key in self.keys.items()}
        given = [{"kty": "oct", "kid": kid, "k": known[kid]} for kid in wanted["kids"]]
        return {"keys": given, "type": wanted.get("type", "temporary")}


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, drm: Drm, **how: Any) -> None:
        self._drm = drm
        super().__init__(*arguments, **how)

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        made = self._drm.make_keys(wanted) if self.path == "/keys" else self._drm.licence(wanted)
        body = json.dumps(made).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_OPTIONS(self) -> None:
        self.send_response(204)
        self.end_headers()

    def end_headers(self) -> None:
        for name in ("Origin", "Headers", "Methods"):
            self.send_header(f"Access-Control-Allow-{name}", "*")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def drm(tmp_path: Path) -> Iterator[Drm]:
    made = Drm(tmp_path / "site")
    handler = functools.partial(Handler, drm=made, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def test_keys_of_a_service_are_signalled_as_it_says_and_play_with_its_licences(
    drm: Drm, tmp_path: Path, ffmpeg: Path, browser: Browser, pages_url: str
) -> None:
    film = make_film(ffmpeg, tmp_path / "film.mp4", seconds=SECONDS, size="426x240")
    ring = SealingRing(keys={"test": bytes(range(32))})
    catalogue = SqlCatalogue.in_memory()
    cabinet = KeyCabinet(catalogue, ring, HttpKeyService(f"{drm.url}/keys"))
    encryption = EncryptionPolicy(default=Encryption.CBCS, key_period_s=4)  # every segment has a key of its own
    policy = replace(FAST_POLICY, encryption=encryption)
    video, _ = through_the_pipeline_of(catalogue, film, tmp_path, find_tools(), policy, keys=cabinet)
    catalogue.close()
    assert (video.state, video.reason) == (VideoState.READY, None)

    assert {finding.rule.id for finding in assert_conformant(drm.site).findings} <= set(NOT_MET)
    box = base64.b64encode(common_pssh([KeyFacts(kid=kid, iv="0" * 32) for kid in drm.keys])).decode()
    mpd = etree.parse(drm.site / "manifest.mpd")
    systems = mpd.findall(f".//d:ContentProtection[@schemeIdUri='urn:uuid:{SYSTEM}']", DASH)
    assert len(systems) == 3  # of pictures, of those for winding, of sound
    assert {each.findtext("cenc:pssh", namespaces=DASH) for each in systems} == {box}
    assert (
        "urn:uuid:e2719d58" not in (drm.site / "manifest.mpd").read_text()
    )  # ClearKey, which would be ours to deliver
    for playlist in sorted(drm.site.glob("*/media*.m3u8")):
        told = playlist.read_text()
        assert told.count(f'URI="data:text/plain;base64,{box}"') == len(drm.keys) == 2
        assert f'KEYFORMAT="urn:uuid:{SYSTEM}"' in told
        assert 'KEYFORMAT="identity"' not in told
        init = next(playlist.parent.glob("init-*.mp4")).read_bytes()
        assert base64.b64decode(box) in init

    page = browser.new_page()
    winding = WindingPage(page, pages_url)
    winding.call("loadShaka", f"{drm.url}/site/manifest.mpd", {"abr": {"enabled": False}})
    winding.call("play", 2)
    report = winding.until(lambda seen: seen["ended"], "the end")
    page.close()
    assert report["frames"] == SECONDS * FILM_FPS
    assert set(drm.asked) == {text(bytes.fromhex(kid)) for kid in drm.keys}
