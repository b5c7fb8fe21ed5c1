"""The configurations of edges, run for real: viewers → nginx → Varnish → origin."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.edge.purging import EdgePurger
from infra.edge.render import render_edge
from storage.catalogue import Event
from storage.grants import KeyRing, PlaybackGrant, sign_grant
from storage.ids import DEFAULT_TENANT, TenantId
from tests.origin_app import ASSET, SIGNED, VIDEO, Origin, Published, running, running_origin
from tests.services import free_ports

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        shutil.which("nginx") is None or shutil.which("varnishd") is None,
        reason="needs nginx-light, varnish and varnish-modules of Debian",
    ),
]

KEYS = f"k1:{secrets.token_hex(32)}"
EDGE_SECRET = secrets.token_hex(16)
MULTIVARIANT = b"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-STREAM-INF:BANDWIDTH=800000\n1080p/media.m3u8\n"
CROWD = 200


@dataclass(slots=True, kw_only=True)
class Tiers:
    """Edges that run for the whole module, and an origin behind them that runs unless a test ended it."""

    published: Published
    origin_port: int
    origin_url: str
    regional_url: str
    edge_url: str
    origin: Origin | None = None

    def start_origin(self, stack: ExitStack) -> None:
        if self.origin is None:
            self.origin = stack.enter_context(
                running_origin(self.published, port=self.origin_port, playback_keys=KEYS, edge_secret=EDGE_SECRET)
            )

    def end_origin(self) -> None:
        assert self.origin is not None
        self.origin.process.terminate()
        self.origin.process.wait(20)
        self.origin = None


@contextmanager
def running_nginx(folder: Path, upstream_port: int, origin_port: int, **settings: str) -> Iterator[str]:
    """An edge before what listens at ``upstream_port``; its address."""
    (port,) = free_ports(1)
    state = folder / "edge"
    state.mkdir()
    values = {
        "STATE": str(state),
        "WORKERS": "1",
        "LISTEN": f"127.0.0.1:{port}",
        "UPSTREAM": f"127.0.0.1:{upstream_port}",
        "ORIGIN": f"127.0.0.1:{origin_port}",
        "EDGE_SECRET": EDGE_SECRET,
        **settings,
    }
    (folder / "edge.conf").write_text(render_edge("nginx", values))
    argv = ["nginx", "-e", str(state / "error.log"), "-c", str(folder / "edge.conf")]
    with running(argv, {}, f"http://127.0.0.1:{port}/healthz", folder / "nginx.log"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def module_stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def standing_tiers(module_stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Tiers:
    """nginx in front of Varnish in front of where an origin will be."""
    folder = tmp_path_factory.mktemp("tiers")
    origin_port, regional_port = free_ports(2)
    published = Published(folder)
    published.publish("master.m3u8", MULTIVARIANT)
    vcl = folder / "regional.vcl"
    vcl.write_text(render_edge("varnish", {"ORIGIN_HOST": "127.0.0.1", "ORIGIN_PORT": str(origin_port)}))
    argv = ["varnishd", "-j", "none", "-F", "-T", "none", "-s", "malloc,128m", "-f", str(vcl)]
    argv += ["-n", str(folder / "varnish"), "-a", f"127.0.0.1:{regional_port}"]
    regional_url = f"http://127.0.0.1:{regional_port}"
    module_stack.enter_context(running(argv, {}, f"{regional_url}/", folder / "varnish.log"))
    edge_url = module_stack.enter_context(running_nginx(folder, regional_port, origin_port))
    return Tiers(
        published=published,
        origin_port=origin_port,
        origin_url=f"http://127.0.0.1:{origin_port}",
        regional_url=regional_url,
        edge_url=edge_url,
    )


@pytest.fixture
def tiers(standing_tiers: Tiers, module_stack: ExitStack) -> Tiers:
    """The tiers with an origin, and a Varnish that has forgotten what earlier tests played."""
    standing_tiers.start_origin(module_stack)
    for video in (VIDEO, SIGNED):
        httpx.request("PURGE", standing_tiers.regional_url, headers={"xkey-purge": video}).raise_for_status()
    return standing_tiers


def token(video: str = SIGNED, *, seconds: int = 600) -> str:
    grant = PlaybackGrant(video=video, expires_at_s=int(time.time()) + seconds)  # type: ignore[arg-type]
    return sign_grant(grant, KeyRing.parse((KEYS,)))


def counted(origin_url: str, name: str, labels: str = "") -> int:
    """The sum of an origin's counter over all of its labels, or over those that begin so."""
    told = httpx.get(f"{origin_url}/metrics").text
    lines = re.findall(rf"^{name}(?:{{{labels}[^}}]*}})? ([0-9.e+]+)$", told, re.MULTILINE)
    return round(sum(map(float, lines)))


async def crowd(url: str, size: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=size)
    async with httpx.AsyncClient(limits=limits, timeout=90) as client:
        return list(await asyncio.gather(*(client.get(url) for _ in range(size))))


def test_a_crowd_before_cold_edges_costs_the_origin_one_answer(tiers: Tiers) -> None:
    body = secrets.token_bytes(600_000)
    path = tiers.published.store_segment(body, 0)

    def asked_and_read() -> tuple[int, int]:
        asked = counted(tiers.origin_url, "fishladder_origin_requests_total", 'kind="segment",')
        return asked, counted(tiers.origin_url, "fishladder_origin_store_reads_total")

    asked, read = asked_and_read()
    answers = asyncio.run(crowd(f"{tiers.edge_url}/v/{VIDEO}/{path}", CROWD))
    assert {(answer.status_code, answer.content == body) for answer in answers} == {(200, True)}
    asked_then, read_then = asked_and_read()
    assert asked_then == asked + 1
    assert 1 <= read_then - read <= 2  # the segment, perhaps the manifest


def test_viewers_after_the_first_cost_the_origin_next_to_nothing(tiers: Tiers) -> None:
    paths = [tiers.published.store_segment(secrets.token_bytes(300_000), number) for number in range(10)]
    received = 0
    sent_before = counted(tiers.origin_url, "fishladder_origin_sent_bytes_total")
    with httpx.Client() as client:
        for _ in range(20):
            for path in ("master.m3u8", *paths):
                answer = client.get(f"{tiers.edge_url}/v/{VIDEO}/{path}")
                assert answer.status_code == 200
                received += len(answer.content)
    sent = counted(tiers.origin_url, "fishladder_origin_sent_bytes_total") - sent_before
    assert 1 - sent / received >= 0.94


def test_the_edge_lets_in_whom_the_origin_would(tiers: Tiers) -> None:
    path = tiers.published.store_segment(b"segment" * 1000, 0)
    good, foreign = token(), token(VIDEO)
    for name in ("master.m3u8", path):
        by_path = httpx.get(f"{tiers.edge_url}/t/{good}/v/{SIGNED}/{name}")
        by_query = httpx.get(f"{tiers.edge_url}/v/{SIGNED}/{name}?token={good}")
        assert (by_path.status_code, by_query.status_code) == (200, 200)
        assert by_path.headers["cache-control"].startswith("private")
        for url in (
            f"/v/{SIGNED}/{name}",
            f"/t/{foreign}/v/{SIGNED}/{name}",
            f"/t/{good}x/v/{SIGNED}/{name}",
            f"/v/unknown00000000/{name}",
        ):
            refused = httpx.get(tiers.edge_url + url)
            assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed"), url
    public = httpx.get(f"{tiers.edge_url}/v/{VIDEO}/{path}")
    assert public.headers["cache-control"] == "public, max-age=31536000, immutable"
    # What the edge may have, the tier behind it does not give to everybody.
    assert httpx.get(f"{tiers.regional_url}/v/{SIGNED}/{path}").status_code == 403


def test_ranges_are_those_of_the_object(tiers: Tiers) -> None:
    body = secrets.token_bytes(2_500_000)
    path = tiers.published.store_segment(body, 0)
    for start, stop in ((0, 10), (1_048_570, 1_048_590), (2_400_000, 2_500_000)):
        part = httpx.get(f"{tiers.edge_url}/v/{VIDEO}/{path}", headers={"range": f"bytes={start}-{stop - 1}"})
        assert (part.status_code, part.content == body[start:stop]) == (206, True)
    whole = httpx.get(f"{tiers.edge_url}/v/{VIDEO}/{path}")
    assert (whole.status_code, whole.content == body) == (200, True)


def test_manifests_come_compressed_through_the_edge(tiers: Tiers) -> None:
    tiers.published.publish("720p/media.m3u8", b"#EXTM3U\n" * 200)
    url = f"{tiers.edge_url}/v/{VIDEO}/720p/media.m3u8"
    # Varnish stands between, and has gzip only.
    for asked, coding in (("gzip, deflate, br", "gzip"), ("gzip;q=0.8", "gzip"), ("gzip;q=0", None), ("", None)):
        for _ in range(2):
            answer = httpx.get(url, headers={"accept-encoding": asked})
            assert (answer.headers.get("content-encoding"), answer.content) == (coding, b"#EXTM3U\n" * 200)


def test_what_was_fetched_plays_on_while_the_origin_is_down(tiers: Tiers) -> None:
    path = tiers.published.store_segment(b"segment" * 1000, 0)
    good = token()
    urls = [
        f"{tiers.edge_url}/v/{VIDEO}/master.m3u8",
        f"{tiers.edge_url}/v/{VIDEO}/{path}",
        f"{tiers.edge_url}/t/{good}/v/{SIGNED}/master.m3u8",
        f"{tiers.regional_url}/v/{VIDEO}/master.m3u8",
    ]
    before = [httpx.get(url) for url in urls]
    tiers.end_origin()
    time.sleep(5.5)  # until manifests and grants are stale: the longest of them lives five seconds
    for url, fresh in zip(urls, before, strict=True):
        stale = httpx.get(url, timeout=20)
        assert (stale.status_code, stale.content) == (200, fresh.content), url


def test_nothing_stays_longer_in_nginx_than_its_setting_says(tiers: Tiers, tmp_path: Path) -> None:
    """Nothing can be purged there, and the origin says of all of these that they are good for a year."""
    published = tiers.published
    names = [published.store(name, b"for good") for name in ("720p/0.m4s", "storyboard/0.jpg", "text-en/whole.vtt")]
    playlist = published.publish("720p/media.m3u8", b"#EXTM3U\n#EXT-X-ENDLIST\n")
    names.append(playlist.removeprefix(f"{ASSET}/"))
    with running_nginx(tmp_path, tiers.origin_port, tiers.origin_port, MEDIA_LIFETIME="2s") as edge:
        urls = [f"{edge}/v/{VIDEO}/{name}" for name in names]
        for url in urls:
            assert httpx.get(url).headers["cache-control"] == "public, max-age=31536000, immutable"
        assert [httpx.get(url).headers["x-cache"] for url in urls] == ["HIT"] * 4
        time.sleep(3.5)  # nginx counts whole seconds
        assert "HIT" not in [httpx.get(url).headers["x-cache"] for url in urls]


class Told:
    """The part of the catalogue that the purger follows: one event."""

    def __init__(self, state: str):
        data = {"state": state}
        self._event = Event(id=1, tenant=DEFAULT_TENANT, video=VIDEO, kind="state", data=data, at_ms=0)
        self._positions: dict[str, int] = {}

    def events_after(self, event_id: int, *, tenant: TenantId | None = None, limit: int = 500) -> tuple[Event, ...]:
        return (self._event,) if event_id < 1 else ()

    def position(self, follower: str) -> int:
        return self._positions.get(follower, 0)

    def advance(self, follower: str, event_id: int) -> None:
        self._positions[follower] = event_id

    def now_ms(self) -> int:
        return 1_000_000


@pytest.mark.parametrize(
    ("state", "left"), [("ready", ["segment"]), ("deleted", []), ("encoding", ["manifest", "segment"])]
)
def test_what_is_published_anew_or_deleted_goes_from_varnish(tiers: Tiers, state: str, left: list[str]) -> None:
    # The origin says of a growing manifest that it is good for a second; of this one, for a minute.
    name = f"{secrets.token_hex(4)}/media.m3u8"
    tiers.published.publish(name, b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-ENDLIST\n")
    names = {"manifest": name, "segment": tiers.published.store_segment(b"segment" * 1000, 0)}
    for _ in range(2):
        for name in names.values():
            httpx.get(f"{tiers.regional_url}/v/{VIDEO}/{name}").raise_for_status()
    EdgePurger(Told(state), [f"{tiers.regional_url}/"]).purge_once()
    held = [
        what
        for what, name in names.items()
        if httpx.get(f"{tiers.regional_url}/v/{VIDEO}/{name}").headers["x-cache-regional"] == "HIT"
    ]
    assert sorted(held) == left


def test_a_purge_of_manifests_leaves_the_segments(tiers: Tiers) -> None:
    path = tiers.published.store_segment(b"segment" * 1000, 0)
    for name in ("master.m3u8", path):
        for _ in range(2):
            httpx.get(f"{tiers.regional_url}/v/{VIDEO}/{name}")
    purged = httpx.request("PURGE", tiers.regional_url, headers={"xkey-purge": f"{VIDEO}/manifest"})
    assert purged.reason_phrase == "1"
    again = {
        name: httpx.get(f"{tiers.regional_url}/v/{VIDEO}/{name}").headers["x-cache-regional"]
        for name in ("master.m3u8", path)
    }
    assert again == {"master.m3u8": "MISS", path: "HIT"}
