"""Encrypted videos through the whole pipeline and out of the origin: what is in the store, what manifests say, and who gets
keys."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import imageio_ffmpeg
import m3u8
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from lxml import etree

from origin.app import create_app
from origin.ports import OriginPorts
from origin.settings import OriginSettings
from packager.conformance import Answer, Report, Severity, Subject, judge, read_subject
from packager.conformance.library import Span
from packager.conformance.reference import NOT_MET
from storage.blobs.local import LocalBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.content_keys import ContentKey, SealingRing
from storage.grants import KeyRing, PlaybackGrant, Visibility, sign_grant
from storage.ids import VideoId
from storage.lifecycle import VideoState
from storage.media.encryption import Encryption
from tests.conformant import mpd_schema
from tests.pipeline import through_the_pipeline_of
from workers.ffmpeg.process import Tools, find_tools
from workers.keys import KeyCabinet
from workers.planning.policy import FAST_POLICY, EncryptionPolicy

pytestmark = pytest.mark.integration

RING = SealingRing(keys={"test": bytes(range(32))})
PLAYBACK = KeyRing.parse(("k1:" + "5a" * 32,))


class Served:
    """A published video behind an origin in this process. It is a `packager.conformance.Library` too."""

    speaks_http = True

    def __init__(self, folder: Path, source: Path, tools: Tools, encryption: Encryption, key_period_s: int) -> None:
        self.folder = folder
        self.catalogue = SqlCatalogue.in_memory()
        policy = replace(FAST_POLICY, encryption=EncryptionPolicy(default=encryption, key_period_s=key_period_s))
        cabinet = KeyCabinet(self.catalogue, RING)
        video, asset = through_the_pipeline_of(self.catalogue, source, folder, tools, policy, keys=cabinet)
        assert (video.state, video.reason) == (VideoState.READY, None)
        self.video, self.asset = video.id, asset
        self._loop = asyncio.new_event_loop()
        settings = OriginSettings(
            sealing_ring=RING, playback_keys=PLAYBACK, public_url="http://origin.test", lookup_ttl_s=0, lookup_grace_s=0
        )
        ports = OriginPorts(catalogue=self.catalogue, blobs=LocalBlobs(folder / "store"), keys=self.catalogue)
        transport = httpx.ASGITransport(app=create_app(settings, ports))
        self._client = httpx.AsyncClient(transport=transport, base_url=f"http://origin.test/v/{self.video}/")

    def ask(self, url: str, method: str = "GET", **how: Any) -> httpx.Response:
        return self._loop.run_until_complete(self._client.request(method, url, **how))

    def read(self, url: str, span: Span | None = None) -> Answer:
        headers = {"range": f"bytes={span[0]}-{span[1] - 1}"} if span is not None else {}
        answer = self.ask(url, headers=headers)
        kept = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(status=answer.status_code, body=answer.content, headers=kept)

    def judged(self, *manifests: str) -> tuple[Subject, Report]:
        subject = read_subject([f"http://origin.test/v/{self.video}/{name}" for name in manifests], self)
        return subject, judge(subject)

    def content_keys(self) -> list[ContentKey]:
        return [RING.open(key, self.asset.id) for key in self.catalogue.content_keys(self.asset.id).keys]

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()
        self.catalogue.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("source") / "film.mp4"
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=11"]
    argv += ["-f", "lavfi", "-i", "sine=d=11:sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast", str(file)]
    subprocess.run(argv, check=True, timeout=120, stdin=subprocess.DEVNULL)
    return file


def served(
    encryption: Encryption, key_period_s: int, factory: pytest.TempPathFactory, source: Path
) -> Iterator[Served]:
    made = Served(factory.mktemp(encryption), source, find_tools(), encryption, key_period_s)
    yield made
    made.close()


@pytest.fixture(scope="module")
def cbcs(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Iterator[Served]:
    """Keys change after 8 seconds, which is two segments."""
    yield from served(Encryption.CBCS, 8, tmp_path_factory, source)


@pytest.fixture(scope="module")
def aes128(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Iterator[Served]:
    yield from served(Encryption.AES128, 8, tmp_path_factory, source)


def musts(report: Report) -> list[str]:
    return [f"{one.rule.id} at {one.where}: {one.detail}" for one in report.of(Severity.MUST)]


# --- cbcs --------------------------------------------------------------------------------------------------------------


def test_what_is_published_of_cbcs_breaks_no_must(cbcs: Served) -> None:
    _, report = cbcs.judged("master.m3u8", "manifest.mpd")
    assert musts(report) == []
    assert report.ids <= set(NOT_MET)
    held = {rule.id for rule in report.held}
    assert {"hls-sample-encryption", "dash-content-protection", "cmaf-mixed-encryption"} <= held
    mpd_schema().assertValid(etree.fromstring(cbcs.ask("manifest.mpd").content))


def test_playlists_name_each_periods_key_and_its_init_segment(cbcs: Served) -> None:
    keys = cbcs.content_keys()
    assert len(keys) == 2
    playlist = m3u8.loads(cbcs.ask("144p/media.m3u8").text)
    named = [(segment.key.method, segment.key.uri, segment.key.iv) for segment in playlist.segments]
    wanted = [("SAMPLE-AES", f"../keys/{key.facts.kid}", f"0x{key.facts.iv}") for key in keys]
    assert named == [wanted[0], wanted[0], wanted[1]]
    inits = [cbcs.ask(f"144p/{segment.init_section.uri}").content for segment in playlist.segments]
    assert [keys[0].facts.kid in init.hex() for init in inits] == [True] * 3  # the list of all keys
    assert inits[0] == inits[1] != inits[2]
    session = m3u8.loads(cbcs.ask("master.m3u8").text).session_keys
    assert [key.uri for key in session] == [f"keys/{key.facts.kid}" for key in keys]


def test_nothing_in_the_store_is_clear_and_ffmpeg_decrypts_it(cbcs: Served, tmp_path: Path) -> None:
    (first,) = [key for key in cbcs.content_keys() if key.facts.first_segment == 0]
    rendition = next(row for row in cbcs.asset.renditions if row.name == "144p")
    parts = [rendition.init_name, *(segment.name for segment in rendition.segments[:2])]
    (tmp_path / "film.mp4").write_bytes(b"".join(cbcs.ask(f"144p/{name}").content for name in parts))

    def frames(*options: str) -> list[str]:
        argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *options, "-i", str(tmp_path / "film.mp4")]
        run = subprocess.run([*argv, "-f", "framemd5", "-"], timeout=60, check=False, capture_output=True, text=True)
        return [line.split()[-1] for line in run.stdout.splitlines() if not line.startswith("#")]

    right, wrong = frames("-decryption_key", first.key.hex()), frames("-decryption_key", "0" * 32)
    assert len(right) == 200
    assert len(set(right)) > 150  # a test pattern that moves
    assert set(right).isdisjoint(wrong[1:])


def test_a_licence_holds_all_keys_of_the_video_that_one_is_asked_for_of(cbcs: Served, aes128: Served) -> None:
    keys = {text(bytes.fromhex(key.facts.kid)): text(key.key) for key in cbcs.content_keys()}
    strange = text(bytes.fromhex(aes128.content_keys()[0].facts.kid))
    answer = cbcs.ask("keys", "POST", json={"kids": [strange, min(keys)], "type": "temporary"})
    assert answer.headers["cache-control"] == "no-store"
    assert {one["kid"]: one["k"] for one in answer.json()["keys"]} == keys
    assert cbcs.ask("keys", "POST", json={"kids": [strange]}).json()["keys"] == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"kids": "x"}', b'{"kids": ["../.."]}', b'{"kids": []}', b"\xff"]
)
def test_a_licence_request_that_makes_no_sense_is_refused(cbcs: Served, body: bytes) -> None:
    assert cbcs.ask("keys", "POST", content=body).status_code == 400


def test_the_mpd_tells_where_licences_are_whole_and_with_the_token_it_came_by(cbcs: Served) -> None:
    assert f">http://origin.test/v/{cbcs.video}/keys</dashif:Laurl>" in cbcs.ask("manifest.mpd").text
    token = sign_grant(PlaybackGrant(video=cbcs.video, expires_at_s=2**40), PLAYBACK)
    through = cbcs.ask(f"http://origin.test/t/{token}/v/{cbcs.video}/manifest.mpd").text
    assert f">http://origin.test/t/{token}/v/{cbcs.video}/keys</dashif:Laurl>" in through
    small = cbcs.ask("manifest.mpd?max_height=100").text
    assert f">http://origin.test/v/{cbcs.video}/keys</dashif:Laurl>" in small


def test_keys_of_a_signed_video_need_its_token(cbcs: Served) -> None:
    (key, *_) = cbcs.content_keys()
    path = f"keys/{key.facts.kid}"
    assert cbcs.ask(path).content == key.key
    licence = {"kids": [text(bytes.fromhex(key.facts.kid))]}
    cbcs.catalogue.set_visibility(cbcs.video, Visibility.SIGNED)
    try:
        assert cbcs.ask(path).status_code == 403
        assert cbcs.ask("keys", "POST", json=licence).status_code == 403
        assert cbcs.ask(f"http://origin.test/authorize/v/{cbcs.video}/{path}").status_code == 403
        other = sign_grant(PlaybackGrant(video=VideoId("another"), expires_at_s=2**40), PLAYBACK)
        assert cbcs.ask(f"{path}?token={other}").status_code == 403
        token = sign_grant(PlaybackGrant(video=cbcs.video, expires_at_s=2**40), PLAYBACK)
        assert cbcs.ask(f"{path}?token={token}").content == key.key
        assert cbcs.ask(f"http://origin.test/t/{token}/v/{cbcs.video}/keys", "POST", json=licence).status_code == 200
        assert cbcs.ask(f"http://origin.test/authorize/v/{cbcs.video}/{path}?token={token}").status_code == 204
    finally:
        cbcs.catalogue.set_visibility(cbcs.video, None)


def test_keys_are_asked_for_in_one_way_each(cbcs: Served) -> None:
    (key, *_) = cbcs.content_keys()
    assert cbcs.ask("keys").status_code == 405
    assert cbcs.ask(f"keys/{key.facts.kid}", "POST").status_code == 405
    assert cbcs.ask(f"keys/{'0' * 32}").status_code == 404
    allowed = cbcs.ask("keys", "OPTIONS").headers["access-control-allow-methods"]
    assert "POST" in allowed


def test_keys_are_gone_with_their_seal(cbcs: Served) -> None:
    ports = OriginPorts(catalogue=cbcs.catalogue, blobs=LocalBlobs(cbcs.folder / "store"), keys=cbcs.catalogue)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(OriginSettings(), ports))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(f"http://origin.test/v/{cbcs.video}/keys/{cbcs.content_keys()[0].facts.kid}")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["code"]) == (503, "key_unavailable")


# --- AES-128 -----------------------------------------------------------------------------------------------------------


def decrypted(body: bytes, key: ContentKey, sequence: int) -> bytes:
    cipher = Cipher(algorithms.AES(key.key), modes.CBC(sequence.to_bytes(16, "big"))).decryptor()
    clear = cipher.update(body) + cipher.finalize()
    assert clear[-clear[-1] :] == bytes([clear[-1]]) * clear[-1]
    return clear[: -clear[-1]]


def test_aes_128_is_for_hls_only_and_breaks_no_must(aes128: Served) -> None:
    assert aes128.ask("manifest.mpd").status_code == 404
    _, report = aes128.judged("master.m3u8")
    assert musts(report) == []


def test_segments_leave_encrypted_and_decrypt_to_what_is_stored(aes128: Served) -> None:
    keys = aes128.content_keys()
    stored = LocalBlobs(aes128.folder / "store")
    for rendition in ("144p", "audio-und"):
        playlist = m3u8.loads(aes128.ask(f"{rendition}/media.m3u8").text)
        assert playlist.segments[0].init_section.uri.startswith("init-")
        for number, segment in enumerate(playlist.segments):
            key = keys[number // 2]
            assert (segment.key.method, segment.key.uri, segment.key.iv) == (
                "AES-128",
                f"../keys/{key.facts.kid}",
                None,
            )
            sent = aes128.ask(f"{rendition}/{segment.uri}").content
            clear = stored.get(f"{aes128.asset.id}/{rendition}/{segment.uri}")
            assert sent != clear
            assert decrypted(sent, aes128.ask(f"{rendition}/{segment.key.uri}") and key, number) == clear


def test_iframes_are_files_of_their_own_under_aes_128(aes128: Served) -> None:
    stored = LocalBlobs(aes128.folder / "store")
    playlist = m3u8.loads(aes128.ask("144p/iframes.m3u8").text)
    assert len(playlist.segments) == 6
    rendition = next(row for row in aes128.asset.renditions if row.name == "144p")
    spans = [(segment, iframe) for segment in rendition.segments for iframe in segment.iframes]
    for number, (entry, (segment, iframe)) in enumerate(zip(playlist.segments, spans, strict=True)):
        assert entry.byterange is None
        clear = stored.get_range(f"{aes128.asset.id}/144p/{segment.name}", iframe.offset, iframe.offset + iframe.size)
        key = aes128.content_keys()[segment.number // 2]
        assert decrypted(aes128.ask(f"144p/{entry.uri}").content, key, number) == clear


def test_ranges_are_of_what_is_sent_encrypted_and_never_of_the_clear(aes128: Served) -> None:
    (segment, *_) = m3u8.loads(aes128.ask("144p/media.m3u8").text).segments
    whole = aes128.ask(f"144p/{segment.uri}")
    part = aes128.ask(f"144p/{segment.uri}", headers={"range": "bytes=5-104"})
    assert (part.status_code, part.content) == (206, whole.content[5:105])
    assert part.headers["content-range"] == f"bytes 5-104/{len(whole.content)}"
    tail = aes128.ask(f"144p/{segment.uri}", headers={"range": "bytes=-16"})
    assert tail.content == whole.content[-16:]
    beyond = aes128.ask(f"144p/{segment.uri}", headers={"range": f"bytes={len(whole.content)}-"})
    assert beyond.status_code == 416
    assert aes128.ask(f"144p/{segment.uri}", headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    head = aes128.ask(f"144p/{segment.uri}", "HEAD")
    assert head.headers["content-length"] == str(len(whole.content))
    stem = segment.uri.removesuffix(".m4s")
    for part_name in (f"{stem}.0-0-999999999.m4s", f"{stem}.0-0-0.m4s"):
        assert aes128.ask(f"144p/{part_name}").status_code == 404


def test_there_is_no_licence_for_aes_128_and_no_iframe_file_of_other_videos(aes128: Served, cbcs: Served) -> None:
    kid = text(bytes.fromhex(aes128.content_keys()[0].facts.kid))
    assert aes128.ask("keys", "POST", json={"kids": [kid]}).status_code == 404
    name = cbcs.asset.renditions[0].segments[0].name.removesuffix(".m4s")
    assert cbcs.ask(f"{cbcs.asset.renditions[0].name}/{name}.0-24-100.m4s").status_code == 404


def text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
