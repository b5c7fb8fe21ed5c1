"""The configurations of edges, run for real: viewers → nginx → Varnish → origin."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.edge.purging import EdgePurger
from infra.edge.render import render_edge
from storage.catalogue import Event
from storage.grants import KeyRing, PlaybackGrant, sign_grant
from storage.ids import DEFAULT_TENANT, TenantId
from tests.origin_app import SIGNED, VIDEO, Origin, Published, running, running_origin
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


@dataclass(frozen=True, slots=True)
class Tiers:
    published: Published
    origin_port: int
    origin_url: str
    regional_url: str
    edge_url: str
    stack: ExitStack

    def origin(self) -> Origin:
        """Start the origin; it ends with the test."""
        return self.stack.enter_context(
            running_origin(self.published, port=self.origin_port, playback_keys=KEYS, edge_secret=EDGE_SECRET)
        )


@pytest.fixture
def tiers(tmp_path: Path) -> Iterator[Tiers]:
    """nginx in front of Varnish in front of where an origin will be."""
    origin_port, regional_port, edge_port = free_ports(3)
    published = Published(tmp_path)
    published.publish("master.m3u8", MULTIVARIANT)
    with ExitStack() as stack:
        vcl = tmp_path / "regional.vcl"
        vcl.write_text(render_edge("varnish", {"ORIGIN_HOST": "127.0.0.1", "ORIGIN_PORT": str(origin_port)}))
        argv = ["varnishd", "-j", "none", "-F", "-T", "none", "-s", "malloc,128m", "-f", str(vcl)]
        argv += ["-n", str(tmp_path / "varnish"), "-a", f"127.0.0.1:{regional_port}"]
        regional_url = f"http://127.0.0.1:{regional_port}"
        stack.enter_context(running(argv, {}, f"{regional_url}/", tmp_path / "varnish.log"))
        state = tmp_path / "edge"
        state.mkdir()
        conf = tmp_path / "edge.conf"
        conf.write_text(
            render_edge(
                "nginx",
                {
                    "STATE": str(state),
                    "WORKERS": "1",
                    "LISTEN": f"127.0.0.1:{edge_port}",
                    "UPSTREAM": f"127.0.0.1:{regional_port}",
                    "ORIGIN": f"127.0.0.1:{origin_port}",
                    "EDGE_SECRET": EDGE_SECRET,
                },
            )
        )
        edge_url = f"http://127.0.0.1:{edge_port}"
        argv = ["nginx", "-e", str(state / "error.log"), "-c", str(conf)]
        stack.enter_context(running(argv, {}, f"{edge_url}/healthz", tmp_path / "nginx.log"))
        yield Tiers(
            published,
            origin_port,
            f"http://127.0.0.1:{origin_port}",
            regional_url,
            edge_url,
            stack,
        )


def token(video: str = SIGNED, *, seconds: int = 600) -> str:
    grant = PlaybackGrant(video=video, expires_at_s=int(time.time()) + seconds)  # type: ignore[arg-type]
    return sign_grant(grant, KeyRing.parse((KEYS,)))


def counted(origin_url: str, name: str) -> int:
    """The sum of an origin's counter over all of its labels."""
    lines = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", httpx.get(f"{origin_url}/metrics").text, re.MULTILINE)
    return round(sum(map(float, lines)))


async def crowd(url: str, size: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=size)
    async with httpx.AsyncClient(limits=limits, timeout=90) as client:
        return list(await asyncio.gather(*(client.get(url) for _ in range(size))))


def test_a_crowd_before_cold_edges_costs_the_origin_one_answer(tiers: Tiers) -> None:
    tiers.origin()
    body = secrets.token_bytes(600_000)
    path = tiers.published.store_segment(body, 0)
    answers = asyncio.run(crowd(f"{tiers.edge_url}/v/{VIDEO}/{path}", CROWD))
    assert {(answer.status_code, answer.content == body) for answer in answers} == {(200, True)}
    told = httpx.get(f"{tiers.origin_url}/metrics").text
    answered = re.findall(r'^fishladder_origin_requests_total\{kind="segment",[^}]*\} ([0-9.]+)$', told, re.MULTILINE)
    assert sum(map(float, answered)) == 1
    assert counted(tiers.origin_url, "fishladder_origin_store_reads_total") <= 2  # the segment, perhaps the manifest


def test_viewers_after_the_first_cost_the_origin_next_to_nothing(tiers: Tiers) -> None:
    tiers.origin()
    paths = [tiers.published.store_segment(secrets.token_bytes(300_000), number) for number in range(10)]
    received = 0
    with httpx.Client() as client:
        for _ in range(20):
            for path in ("master.m3u8", *paths):
                answer = client.get(f"{tiers.edge_url}/v/{VIDEO}/{path}")
                assert answer.status_code == 200
                received += len(answer.content)
    sent = counted(tiers.origin_url, "fishladder_origin_sent_bytes_total")
    assert 1 - sent / received >= 0.94


def test_the_edge_lets_in_whom_the_origin_would(tiers: Tiers) -> None:
    tiers.origin()
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
    tiers.origin()
    body = secrets.token_bytes(2_500_000)
    path = tiers.published.store_segment(body, 0)
    for start, stop in ((0, 10), (1_048_570, 1_048_590), (2_400_000, 2_500_000)):
        part = httpx.get(f"{tiers.edge_url}/v/{VIDEO}/{path}", headers={"range": f"bytes={start}-{stop - 1}"})
        assert (part.status_code, part.content == body[start:stop]) == (206, True)
    whole = httpx.get(f"{tiers.edge_url}/v/{VIDEO}/{path}")
    assert (whole.status_code, whole.content == body) == (200, True)


def test_manifests_come_compressed_through_the_edge(tiers: Tiers) -> None:
    tiers.origin()
    tiers.published.publish("720p/media.m3u8", b"#EXTM3U\n" * 200)
    url = f"{tiers.edge_url}/v/{VIDEO}/720p/media.m3u8"
    # Varnish stands between, and has gzip only.
    for asked, coding in (("gzip, deflate, br", "gzip"), ("gzip;q=0.8", "gzip"), ("gzip;q=0", None), ("", None)):
        for _ in range(2):
            answer = httpx.get(url, headers={"accept-encoding": asked})
            assert (answer.headers.get("content-encoding"), answer.content) == (coding, b"#EXTM3U\n" * 200)


def test_what_was_fetched_plays_on_while_the_origin_is_down(tiers: Tiers) -> None:
    origin = tiers.origin()
    path = tiers.published.store_segment(b"segment" * 1000, 0)
    good = token()
    urls = [
        f"{tiers.edge_url}/v/{VIDEO}/master.m3u8",
        f"{tiers.edge_url}/v/{VIDEO}/{path}",
        f"{tiers.edge_url}/t/{good}/v/{SIGNED}/master.m3u8",
        f"{tiers.regional_url}/v/{VIDEO}/master.m3u8",
    ]
    before = [httpx.get(url) for url in urls]
    origin.process.terminate()
    origin.process.wait(20)
    time.sleep(5.5)  # until manifests and grants are stale: the longest of them lives five seconds
    for url, fresh in zip(urls, before, strict=True):
        stale = httpx.get(url, timeout=20)
        assert (stale.status_code, stale.content) == (200, fresh.content), url


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
    ("state", "left"), [("ready", ["1080p"]), ("deleted", []), ("encoding", ["1080p", "master.m3u8"])]
)
def test_what_is_published_anew_or_deleted_goes_from_varnish(tiers: Tiers, state: str, left: list[str]) -> None:
    tiers.origin()
    names = {"master.m3u8": "master.m3u8", "1080p": tiers.published.store_segment(b"segment" * 1000, 0)}
    # The origin says of a growing manifest that it is good for a second; of this one, for a minute.
    tiers.published.publish("master.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-ENDLIST\n")
    time.sleep(1.2)  # the origin remembers what was published for a second
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
    tiers.origin()
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
