"""Signed playback through nginx → Varnish → origin by other people's players, and what they report of it."""

from __future__ import annotations

import dataclasses
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.edge.render import render_edge
from infra.settings import Settings, StoreKind, to_env, variable
from infra.stack.parts import s3_endpoint
from infra.stack.state import StateDir, recall
from storage.catalogue.sql import SqlCatalogue
from storage.grants import KeyRing, PlaybackGrant, Visibility, sign_grant
from storage.ids import VideoId
from storage.plays import Play
from tests.e2e.player_page import PlayerPage
from tests.e2e.published import PublishedVideo
from tests.e2e.stack import RunningStack
from tests.origin_app import running
from tests.services import free_ports

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which("nginx") is None or shutil.which("varnishd") is None,
        reason="needs nginx-light, varnish and varnish-modules of Debian",
    ),
]

KEYS = f"k1:{secrets.token_hex(32)}"
SERVE = """
import os
from infra.serve_origin import serve
from infra.settings import Settings
serve(Settings.from_env(os.environ))
"""
PLAYERS = [
    ("hls.js", "master.m3u8"),
    ("shaka-player", "master.m3u8"),
    ("shaka-player", "manifest.mpd"),
    ("dash.js", "manifest.mpd"),
]


@dataclass(frozen=True, slots=True)
class Signed:
    """A second origin over the stack's videos, for which every video needs a token, behind two tiers of caches."""

    edge_url: str
    origin_url: str
    settings: Settings

    def plays(self, video: str) -> dict[str, Play]:
        catalogue = SqlCatalogue.open(self.settings.database_url)
        try:
            return {play.session: play for play in catalogue.plays(VideoId(video))}
        finally:
            catalogue.close()


def settings_of(state: Path) -> Settings:
    """Where a running stack keeps things."""
    ours = Settings.from_env({variable("state_dir"): str(state)})
    remembered = recall(StateDir(root=state))
    assert remembered is not None
    return dataclasses.replace(
        ours,
        store=StoreKind.S3,
        s3_endpoint=s3_endpoint(remembered),
        s3_access_key=remembered.s3_access_key,
        s3_secret_key=remembered.s3_secret_key,
    )


@pytest.fixture(scope="module")
def signed(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    folder = tmp_path_factory.mktemp("signed")
    origin_port, regional_port, edge_port = free_ports(3)
    secret = secrets.token_hex(16)
    settings = dataclasses.replace(
        settings_of(stack.state),
        origin_port=origin_port,
        visibility=Visibility.SIGNED,
        playback_keys=(KEYS,),
        edge_secret=secret,
    )
    with ExitStack() as started:
        origin_url, regional = f"http://127.0.0.1:{origin_port}", f"127.0.0.1:{regional_port}"
        started.enter_context(
            running([sys.executable, "-c", SERVE], to_env(settings), f"{origin_url}/healthz", folder / "origin.log")
        )
        vcl = folder / "regional.vcl"
        vcl.write_text(render_edge("varnish", {"ORIGIN_HOST": "127.0.0.1", "ORIGIN_PORT": str(origin_port)}))
        argv = ["varnishd", "-j", "none", "-F", "-T", "none", "-s", "malloc,128m", "-f", str(vcl)]
        argv += ["-n", str(folder / "varnish"), "-a", regional]
        started.enter_context(running(argv, {}, f"http://{regional}/", folder / "varnish.log"))
        values = {"UPSTREAM": regional, "ORIGIN": f"127.0.0.1:{origin_port}", "EDGE_SECRET": secret}
        edge_url = started.enter_context(running_nginx(folder, edge_port, values))
        yield Signed(edge_url, origin_url, settings)


@contextmanager
def running_nginx(folder: Path, port: int, values: dict[str, str]) -> Iterator[str]:
    """An nginx edge; its URL."""
    state = folder / "edge"
    state.mkdir()
    conf = folder / "edge.conf"
    own = {"STATE": str(state), "WORKERS": "1", "LISTEN": f"127.0.0.1:{port}"}
    conf.write_text(render_edge("nginx", own | values))
    argv = ["nginx", "-e", str(state / "error.log"), "-c", str(conf)]
    with running(argv, {}, f"http://127.0.0.1:{port}/healthz", folder / "nginx.log"):
        yield f"http://127.0.0.1:{port}"


def token(video: str) -> str:
    grant = PlaybackGrant(video=VideoId(video), expires_at_s=int(time.time()) + 600)
    return sign_grant(grant, KeyRing.parse((KEYS,)))


@pytest.mark.parametrize(("player", "manifest"), PLAYERS)
def test_a_signed_path_plays_through_the_edges(
    player: str, manifest: str, film: PublishedVideo, signed: Signed, page: PlayerPage
) -> None:
    page.load(player, f"{signed.edge_url}/t/{token(film.id)}/v/{film.id}/{manifest}")
    page.play()
    report = page.until_time(2)
    assert report.errors == []
    assert report.first_frame_ms is not None
    print(f"{player} {manifest}: first frame after {report.first_frame_ms:.0f} ms")


@pytest.mark.parametrize(("player", "manifest"), PLAYERS)
def test_a_token_in_the_query_goes_on_to_every_segment(
    player: str, manifest: str, film: PublishedVideo, signed: Signed, page: PlayerPage
) -> None:
    page.load(player, f"{signed.edge_url}/v/{film.id}/{manifest}?token={token(film.id)}")
    page.play()
    assert page.until_time(2).errors == []


@pytest.mark.parametrize(("player", "manifest"), PLAYERS)
def test_what_a_player_reports_is_what_its_page_saw(
    player: str, manifest: str, film: PublishedVideo, signed: Signed, page: PlayerPage
) -> None:
    session = f"s-{secrets.token_hex(6)}"
    page.report_as(session)
    page.load(player, f"{signed.origin_url}/t/{token(film.id)}/v/{film.id}/{manifest}")
    page.play(rate=3.0)
    report = page.until_ended()
    assert report.errors == []
    deadline = time.monotonic() + 20
    while (play := signed.plays(film.id).get(session)) is None or play.media_ms < report.duration * 1000 - 500:
        assert time.monotonic() < deadline, play
        time.sleep(0.2)
    assert play.failures == 0
    # A rung that is switched to may be fetched over one that is there; otherwise all is asked for once.
    assert report.duration * 1000 - 500 <= play.media_ms <= report.duration * 2000
    assert play.requests > 4
    assert play.sent_bytes > 10_000
    assert play.mean_kbps is not None
    assert play.stalls <= report.waiting
    if play.startup_ms is not None and report.first_frame_ms is not None:
        assert abs(play.startup_ms - report.first_frame_ms) < 1_000
    print(player, manifest, play, report.first_frame_ms)


@pytest.mark.parametrize("player", ["hls.js", "shaka-player"])
def test_a_player_goes_to_the_other_edge_when_one_is_dead(
    player: str, stack: RunningStack, film: PublishedVideo, page: PlayerPage, tmp_path: Path
) -> None:
    origin_port, edge_port, dead_port = free_ports(3)
    edges = (f"a=http://127.0.0.1:{dead_port}", f"b=http://127.0.0.1:{edge_port}")
    settings = dataclasses.replace(settings_of(stack.state), origin_port=origin_port, edges=edges)
    origin_url = f"http://127.0.0.1:{origin_port}"
    values = {"ORIGIN": f"127.0.0.1:{origin_port}", "EDGE_SECRET": "none"}
    argv = [sys.executable, "-c", SERVE]
    with (
        running(argv, to_env(settings), f"{origin_url}/healthz", tmp_path / "origin.log"),
        running_nginx(tmp_path, edge_port, values),
    ):
        page.load(player, f"{origin_url}/v/{film.id}/master.m3u8")
        page.play()
        # The player says that the first edge failed; what counts is that it plays on.
        page.until(lambda report: report.time >= 3, "3 s", ignores_errors=True)
    fetched = (tmp_path / "edge" / "access.log").read_text()
    assert ".m4s" in fetched
