"""Delete means delete, caches included: a Varnish before an origin before a catalogue, and a worker that does not know yet."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.edge.purging import EdgePurger
from infra.edge.render import render_edge
from storage.blobs.local import LocalBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.ids import VideoId
from storage.jobs import LANES_BY_URGENCY, JobKind, Outcome, SilentBell
from storage.keys import hash12
from storage.lifecycle import VideoState
from tests.journeys import HOUR_MS, let_time_pass
from tests.origin_app import running
from tests.services import free_ports
from tests.workshop import MADE_UP, a_workshop, an_upload_of
from workers.audit import audit
from workers.drain import Drain
from workers.parts import RunnerParts
from workers.steps.context import Step, StepContext

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("varnishd") is None, reason="needs varnish and varnish-modules of Debian"),
]

GONE = (403, 404)


@dataclass(frozen=True, slots=True)
class Place:
    folder: Path
    catalogue: SqlCatalogue
    blobs: LocalBlobs
    varnish_port: int
    origin_port: int
    stack: ExitStack

    @property
    def cache_url(self) -> str:
        return f"http://127.0.0.1:{self.varnish_port}"

    def start_varnish(self) -> None:
        vcl = self.folder / "varnish.vcl"
        vcl.write_text(render_edge("varnish", {"ORIGIN_HOST": "127.0.0.1", "ORIGIN_PORT": str(self.origin_port)}))
        argv = ["varnishd", "-j", "none", "-F", "-T", "none", "-s", "malloc,64m", "-f", str(vcl)]
        argv += ["-n", str(self.folder / "varnish"), "-a", f"127.0.0.1:{self.varnish_port}"]
        self.stack.enter_context(running(argv, {}, f"{self.cache_url}/", self.folder / "varnish.log"))

    def log(self) -> str:
        return (self.folder / "origin.log").read_text()[-4000:]

    def purger(self, **options: int) -> EdgePurger:
        return EdgePurger(self.catalogue, [f"{self.cache_url}/"], **options)

    def parts(self, steps: dict[JobKind, Step] | None = None) -> RunnerParts:
        return a_workshop(
            self.folder / "scratch",
            catalogue=self.catalogue,
            blobs=self.blobs,
            steps=steps,
            min_free_disk_bytes=0,
            min_free_memory_bytes=0,
            sweep_interval_s=0.001,
        )

    def work_off(self, steps: dict[JobKind, Step] | None = None) -> None:
        runner = self.parts(steps).runner(SilentBell(), Drain())
        while runner.run_one(LANES_BY_URGENCY):
            pass

    def sweep_later(self) -> None:
        """After all graces."""
        for _ in range(2):
            let_time_pass(self.catalogue, HOUR_MS + HOUR_MS)
            self.parts().sweeper(SilentBell()).sweep_once()

    def segment(self, video: VideoId) -> str:
        """The URL at the cache of a segment of ``video``, named by its bytes as the origin wants it."""
        body = b"segment" * 1000
        path = f"240p/9-{hash12(body)}.m4s"
        self.blobs.put(f"{self.catalogue.video(video).asset}/{path}", body)
        return f"{self.cache_url}/v/{video}/{path}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A cache, and an origin that reads a real catalogue."""
    database = f"sqlite:///{tmp_path / 'catalogue.sqlite3'}"
    migrate(database)
    varnish_port, origin_port = free_ports(2)
    with ExitStack() as stack:
        catalogue = SqlCatalogue.open(database)
        stack.callback(catalogue.close)
        place = Place(tmp_path, catalogue, LocalBlobs(tmp_path / "objects"), varnish_port, origin_port, stack)
        environment = {
            **os.environ,
            "FISHLADDER_DATABASE_URL": database,
            "FISHLADDER_STORE": "local",
            "FISHLADDER_LOCAL_STORE_DIR": str(tmp_path / "objects"),
            "FISHLADDER_STATE_DIR": str(tmp_path / "state"),
            "FISHLADDER_ORIGIN_PORT": str(origin_port),
        }
        argv = [sys.executable, "-m", "infra", "serve", "origin"]
        origin_url = f"http://127.0.0.1:{origin_port}"
        stack.enter_context(running(argv, environment, f"{origin_url}/healthz", tmp_path / "origin.log"))
        place.start_varnish()
        yield place


def answered(url: str) -> int:
    return httpx.get(url, timeout=30).status_code


def until_answered(url: str, statuses: tuple[int, ...]) -> int:
    deadline = time.monotonic() + 60
    while (status := answered(url)) not in statuses and time.monotonic() < deadline:
        time.sleep(0.1)
    return status


def test_a_video_deleted_while_it_is_encoded_leaves_no_object_no_row_and_no_cached_copy(place: Place) -> None:
    """The worker is in the middle of a chunk. Viewers have what was playable in their cache; afterwards nobody has
    anything."""
    midway, go_on = threading.Event(), threading.Event()
    kept: list[str] = []

    def encode(ctx: StepContext) -> Outcome:
        if ctx.job.payload["chunk"] > 0:
            midway.set()
            assert go_on.wait(60)
        return MADE_UP[JobKind.ENCODE](ctx)

    purger = place.purger(again_after_ms=2000)
    purger.purge_once()
    video = an_upload_of(b"film", place.catalogue, place.blobs)
    worker = threading.Thread(target=lambda: place.work_off({JobKind.ENCODE: encode}))
    worker.start()
    assert midway.wait(60)
    asset = place.catalogue.video(video).asset
    place.work_off()  # what else is ready, publishing above all
    assert place.catalogue.video(video).state is VideoState.PLAYABLE
    segment, manifest = place.segment(video), f"{place.cache_url}/v/{video}/master.m3u8"
    assert [answered(url) for url in (segment, manifest) for _ in range(2)] == [200] * 4, place.log()
    kept += [segment, manifest]

    place.catalogue.delete_video(video)
    go_on.set()  # the worker stores on, and commits in vain
    worker.join(60)
    for _ in range(20):  # viewers do not stop asking: the origin remembers for a second, and Varnish might for a year
        purger.purge_once()
        answered(segment)
    time.sleep(2.1)
    purger.purge_once()
    for url in kept:
        assert until_answered(url, GONE) in GONE, url

    place.sweep_later()
    assert list(place.blobs.list("")) == []
    assert audit(place.catalogue, place.blobs, grace_ms=0).clean
    assert place.catalogue.asset(asset).names == ()
    assert place.catalogue.follower_lags_ms() == dict.fromkeys(place.catalogue.follower_lags_ms(), 0)


def test_what_was_deleted_while_nobody_purged_is_purged_later(place: Place) -> None:
    """The purger is away, then the cache's own machine does not let it in: the note of how far it came outlives both."""
    place.purger().purge_once()
    video = an_upload_of(b"film", place.catalogue, place.blobs)
    place.work_off()
    segment = place.segment(video)
    assert [answered(segment) for _ in range(2)] == [200, 200]
    place.catalogue.delete_video(video)
    time.sleep(1.2)  # until the origin does not remember it
    assert answered(segment) == 200

    # A cache that refuses is asked again.
    barred = EdgePurger(place.catalogue, [f"{place.cache_url}/"])
    barred._purged = lambda url, tag: False  # type: ignore[method-assign]
    barred.purge_once()
    assert answered(segment) == 200
    assert any(place.catalogue.follower_lags_ms().values())

    place.purger().purge_once()
    assert answered(segment) in GONE
