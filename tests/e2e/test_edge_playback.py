"""Signed playback through nginx → Varnish → origin by other people's players, and what they report of it."""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.edge.render import render_edge
from infra.setting_texts import variable
from infra.settings import Settings, StoreKind, to_env
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
    regional_url: str
    origin_url: str
    edge_values: dict[str, str]
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
        started.enter_context(running_varnish(folder, regional_port, origin_port))
        values = {"UPSTREAM": regional, "ORIGIN": f"127.0.0.1:{origin_port}", "EDGE_SECRET": secret}
        edge_url = started.enter_context(running_nginx(folder, edge_port, values))
        yield Signed(edge_url, f"http://{regional}", origin_url, values, settings)


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


@contextmanager
def running_varnish(folder: Path, port: int, origin_port: int) -> Iterator[None]:
    vcl = folder / "varnish.vcl"
    vcl.write_text(render_edge("varnish", {"ORIGIN_HOST": "127.0.0.1", "ORIGIN_PORT": str(origin_port)}))
    argv = ["varnishd", "-j", "none", "-F", "-T", "none", "-s", "malloc,128m", "-f", str(vcl)]
    argv += ["-n", str(folder / "varnish"), "-a", f"127.0.0.1:{port}"]
    with running(argv, {}, f"http://127.0.0.1:{port}/", folder / "varnish.log"):
        yield


def token(video: str) -> str:
    grant = PlaybackGrant(video=VideoId(video), expires_at_s=int(time.time()) + 600)
    return sign_grant(grant, KeyRing.parse((KEYS,)))


@pytest.mark.parametrize(("player", "manifest"), PLAYERS)
def test_a_signed_path_plays_through_the_edges(
    player: str, manifest: str, film: PublishedVideo, signed: Signed, page: PlayerPage
) -> None:
    page.load(player, f"{signed.edge_url}/t/{token(film.id)}/v/{film.id}/{manifest}")
    page.play(rate=2.0)
    report = page.until_time(2)
    assert report.errors == []
    assert report.first_frame_ms is not None
    print(f"{player} {manifest}: first frame after {report.first_frame_ms:.0f} ms")


@pytest.mark.parametrize(("player", "manifest"), PLAYERS)
def test_a_token_in_the_query_goes_on_to_every_segment(
    player: str, manifest: str, film: PublishedVideo, signed: Signed, page: PlayerPage
) -> None:
    page.load(player, f"{signed.edge_url}/v/{film.id}/{manifest}?token={token(film.id)}")
    page.play(rate=2.0)
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


@pytest.mark.parametrize(("player", "manifest"), PLAYERS)
def test_a_stall_is_told_as_the_page_saw_it(
    player: str, manifest: str, film: PublishedVideo, signed: Signed, page: PlayerPage
) -> None:
    session = f"e-{secrets.token_hex(6)}"
    video = f"/t/{token(film.id)}/v/{film.id}"
    # shaka-player tells its states itself where nothing was renamed in it; else its page does.
    page.report_as(session, f"{signed.origin_url}{video}/cmcd", readable=manifest == "manifest.mpd")
    release = page.hold(re.compile(r"/[2-9]-[0-9a-f]{12}\.m4s"))
    page.load(player, f"{signed.origin_url}{video}/{manifest}")
    page.play(rate=2.0)
    page.until(lambda report: report.stalled and report.time > 4, "a stall")
    page.wait(1.5)
    release()
    report = page.until_ended()
    # hls.js may give up what was held, says so, and asks again.
    assert [error for error in report.errors if error != "hls.js: aborted fatal=false"] == []
    deadline = time.monotonic() + 60
    while (play := signed.plays(film.id).get(session)) is None or play.startup_ms is None or play.stalled_ms < 1_000:
        assert time.monotonic() < deadline, play and (play.startup_ms, play.stalls, play.stalled_ms)
        time.sleep(0.2)
    print(player, manifest, play, report)
    assert play.failures == 0
    assert report.stalls >= 1
    assert play.stalls >= 1
    # Two ways of one busy page to see the same: what the player says, and that the picture stands.
    assert abs(play.stalled_ms - report.stalled_ms) < max(1_500, report.stalled_ms / 2)
    assert report.first_frame_ms is not None
    assert abs(play.startup_ms - report.first_frame_ms) < max(1_500, report.first_frame_ms / 2)


@dataclass(frozen=True, slots=True)
class TwoEdges:
    """An origin that steers to an nginx and to a Varnish, in this order. Players tell edges apart by their hosts."""

    origin_url: str
    nginx_host: str
    varnish_host: str
    nginx: Callable[[Path], AbstractContextManager[str]]


@pytest.fixture(scope="module")
def two_edges(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoEdges]:
    folder = tmp_path_factory.mktemp("steered")
    origin_port, nginx_port, varnish_port = free_ports(3)
    nginx_host, varnish_host = f"a.localhost:{nginx_port}", f"b.localhost:{varnish_port}"
    edges = (f"a=http://{nginx_host}", f"b=http://{varnish_host}")
    settings = dataclasses.replace(settings_of(stack.state), origin_port=origin_port, edges=edges)
    origin_url = f"http://127.0.0.1:{origin_port}"
    values = {"ORIGIN": f"127.0.0.1:{origin_port}", "EDGE_SECRET": "none"}
    argv = [sys.executable, "-c", SERVE]
    with (
        running(argv, to_env(settings), f"{origin_url}/healthz", folder / "origin.log"),
        running_varnish(folder, varnish_port, origin_port),
    ):
        yield TwoEdges(origin_url, nginx_host, varnish_host, lambda place: running_nginx(place, nginx_port, values))


@pytest.mark.parametrize("player", ["hls.js", "shaka-player"])
def test_a_player_goes_on_at_the_other_edge_when_one_dies(
    player: str, two_edges: TwoEdges, film: PublishedVideo, page: PlayerPage, tmp_path: Path
) -> None:
    manifest = f"{two_edges.origin_url}/v/{film.id}/master.m3u8"
    with two_edges.nginx(tmp_path):
        release = page.hold(re.compile(r"/[1-9]-[0-9a-f]{12}\.m4s"))
        page.load(player, manifest)
        page.play()
        page.until_time(1)
        assert page.answered_by(".m4s") == {two_edges.nginx_host}
    release()
    page.play(rate=3.0)
    # The player says that the first edge failed; what counts is that it plays on.
    report = page.until(lambda report: report.ended, "the end", timeout_s=120, ignores_errors=True)
    assert report.time >= report.duration - 0.5
    assert page.answered_by(".m4s") == {two_edges.nginx_host, two_edges.varnish_host}
    # Who comes now asks the dead edge first.
    page.begin_anew()
    page.load(player, manifest)
    page.play()
    page.until(lambda report: report.time >= 1, "1 s", ignores_errors=True)


def test_plays_begin_soon_though_the_edges_are_cold(
    film: PublishedVideo, signed: Signed, page: PlayerPage, tmp_path: Path
) -> None:
    """The first frame of each play through an nginx that never saw anything and a Varnish that has forgotten the film."""
    plays = int(os.environ.get("LADDER_TEST_PLAYS", str(len(PLAYERS))))
    times: list[float] = []
    for number in range(plays):
        player, manifest = PLAYERS[number % len(PLAYERS)]
        httpx.request("PURGE", signed.regional_url, headers={"xkey-purge": film.id}).raise_for_status()
        folder = tmp_path / str(number)
        folder.mkdir()
        with running_nginx(folder, free_ports(1)[0], signed.edge_values) as edge_url:
            page.begin_anew()
            page.load(player, f"{edge_url}/t/{token(film.id)}/v/{film.id}/{manifest}")
            page.play()
            report = page.until_time(0.5)
            assert report.errors == []
            assert report.first_frame_ms is not None
            times.append(report.first_frame_ms)
            assert "MISS" in (folder / "edge" / "access.log").read_text()
            print(f"{player} {manifest}: first frame after {times[-1]:.0f} ms")
    times.sort()
    print(
        f"{plays} plays with cold edges: median {times[len(times) // 2]:.0f} ms, p95 {times[-(-plays * 95 // 100) - 1]:.0f} ms"
    )
