"""A file that was uploaded before, through the whole upload API."""

from __future__ import annotations

import asyncio
import json
from typing import cast

from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.moving import cancel_jobs
from storage.ids import VideoId
from storage.jobs import JobKind
from tests.builders import a_published, an_encoded, an_inspected
from tests.journeys import do
from tests.uploads import RecordingBell, ask, create, memory_ports, patch, small_app

FILM = bytes(range(256)) * 2


def test_the_second_upload_of_a_file_is_ready_and_rings_no_bell() -> None:
    ports = memory_ports()
    catalogue = cast(SqlCatalogue, ports.catalogue)

    async def upload() -> dict[str, object]:
        app = small_app(ports)
        created = await create(app, len(FILM))
        # In two requests: what passed in the first one is remembered for the second.
        assert (await patch(app, created.fields["location"], 0, FILM[:300])).status == 204
        assert (await patch(app, created.fields["location"], 300, FILM[300:])).status == 204
        video = created.fields["fishladder-video"]
        return dict(json.loads((await ask(app, "GET", f"/api/v1/videos/{video}", tus=False)).content))

    first = asyncio.run(upload())
    assert first["state"] == "inspecting"
    do(catalogue, JobKind.INSPECT, an_inspected())
    do(catalogue, JobKind.ENCODE, an_encoded())
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (1, 2, 3), "720p": (1, 2, 3)}))
    do(catalogue, JobKind.PUBLISH, a_published(revision=2, final=True))
    with catalogue._db.write() as tx:
        cancel_jobs(tx, str(first["id"]), None)  # the thumbnails
    bell = cast(RecordingBell, ports.bell)
    rung = len(bell.rung)

    second = asyncio.run(upload())
    assert second["state"] == "ready"
    assert second["id"] != first["id"]
    assert [note["code"] for note in cast(list[dict[str, str]], second["notes"])][-1] == "reused"
    assert cast(str, second["hls_url"]).endswith(f"/v/{second['id']}/master.m3u8")
    assert len(bell.rung) == rung

    catalogue.delete_video(VideoId(str(first["id"])))
    assert catalogue.video(VideoId(str(second["id"]))).published
