"""What people change of a video over REST, what its page is told, and signed addresses; in process."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import pytest
from PIL import Image

from storage.catalogue.sql import SqlCatalogue
from storage.grants import KeyRing, Visibility, read_grant
from storage.jobs import JobKind
from tests.builders import a_new_upload, a_published, a_published_name, a_thumbnailed, an_encoded
from tests.journeys import a_playable_video, an_encoding_video, do, take
from tests.uploads import small_app
from upload_api.app import Ports

KEYS = KeyRing(keys={"k1": b"0123456789abcdef"})


def call(ports: Ports, method: str, path: str, *, settings: dict[str, Any] | None = None, **how: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=small_app(ports, **(settings or {})))
        async with httpx.AsyncClient(transport=transport, base_url="http://fish.test") as http:
            return await http.request(method, f"/api/v1{path}", **how)

    return asyncio.run(once())


def a_jpeg(width: int = 64, height: int = 36) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "salmon").save(out, "JPEG")
    return out.getvalue()


def test_one_change_says_several_things_and_leaves_the_rest(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    chapters = [{"start_seconds": 0.0, "title": "Opening"}, {"start_seconds": 12.5, "title": "Rapids"}]
    change = {"title": "River", "visibility": "unlisted", "chapters": chapters, "embed_origins": ["https://A.example/"]}
    told = call(ports, "PATCH", f"/videos/{video}", json=change).json()
    assert (told["title"], told["visibility"], told["chapters"]) == ("River", "unlisted", chapters)
    assert told["embed_origins"] == ["https://a.example"]
    later = call(ports, "PATCH", f"/videos/{video}", json={"embed_origins": None}).json()
    assert later["embed_origins"] is None
    assert (later["title"], later["visibility"], later["chapters"]) == ("River", "unlisted", chapters)


@pytest.mark.parametrize(
    "change",
    [
        {"embed_origins": ["https://a.example; script-src *"]},
        {"embed_origins": ["javascript:alert(1)"]},
        {"chapters": [{"start_seconds": 5, "title": "b"}, {"start_seconds": 1, "title": "a"}]},
        {"visibility": "signed"},  # no keys are set
        {"visibility": "secret"},
        {"nonsense": 1},
    ],
    ids=["injection", "scheme", "disorder", "keyless", "unknown visibility", "unknown field"],
)
def test_a_change_that_cannot_be_is_refused_whole(
    ports: Ports, catalogue: SqlCatalogue, change: dict[str, Any]
) -> None:
    video = a_playable_video(catalogue)
    before = call(ports, "GET", f"/videos/{video}").json()
    assert call(ports, "PATCH", f"/videos/{video}", json=change).status_code in (400, 422)
    assert call(ports, "GET", f"/videos/{video}").json() == before


def test_addresses_of_a_signed_video_carry_a_token_that_opens_it(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded())
    do(catalogue, JobKind.PUBLISH, a_published(names=(a_published_name("master.m3u8", "a-0/m.m3u8"),)))
    settings = {"playback_keys": KEYS}
    told = call(ports, "PATCH", f"/videos/{video}", json={"visibility": "signed"}, settings=settings).json()
    assert told["visibility"] == "signed"
    listed = call(ports, "GET", "/videos", settings=settings).json()["videos"][0]
    assert told["hls_url"] == listed["hls_url"]
    prefix, token, rest = told["hls_url"].split("/t/")[0], *told["hls_url"].split("/t/")[1].split("/", 1)
    assert (prefix, rest) == ("http://fish.test:8081", f"v/{video}/master.m3u8")
    assert read_grant(token, KEYS, 0).video == video


def test_a_default_visibility_holds_for_videos_that_say_nothing(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    settings = {"playback_keys": KEYS, "visibility": Visibility.SIGNED}
    assert call(ports, "GET", f"/videos/{video}", settings=settings).json()["visibility"] == "signed"


def test_a_picture_becomes_the_poster(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    do(catalogue, JobKind.THUMBNAILS, a_thumbnailed())
    picture = a_jpeg()
    reply = call(ports, "PUT", f"/videos/{video}/poster", content=picture, headers={"content-type": "image/jpeg"})
    assert reply.status_code == 200
    name = catalogue.published(video, "poster.jpg")[1]
    assert name is not None
    assert ports.blobs.get(name.key) == picture


@pytest.mark.parametrize(
    ("picture", "status"),
    [
        (b"<svg onload=alert(1)>", 400),
        (b"\xff\xd8\xff", 400),
        (a_jpeg()[:-10], 400),
        (a_jpeg(8, 8), 400),
        (b"\xff\xd8\xff" + bytes(5 << 20), 413),
    ],
    ids=["svg", "beginning", "cut", "tiny", "huge"],
)
def test_what_is_no_poster_is_refused(ports: Ports, catalogue: SqlCatalogue, picture: bytes, status: int) -> None:
    video = a_playable_video(catalogue)
    assert call(ports, "PUT", f"/videos/{video}/poster", content=picture).status_code == status


def test_many_are_deleted_and_one_that_is_not_there_keeps_no_other(ports: Ports, catalogue: SqlCatalogue) -> None:
    made = [catalogue.create_upload(a_new_upload()).video for _ in range(3)]
    reply = call(ports, "POST", "/videos/actions", json={"action": "delete", "ids": [*made[:2], "nobody"]}).json()
    assert [(one["id"], one["code"]) for one in reply["results"]] == [
        (made[0], None),
        (made[1], None),
        ("nobody", "not_found"),
    ]
    assert [video["id"] for video in call(ports, "GET", "/videos").json()["videos"]] == [made[2]]


def test_details_tell_what_is_stored_and_what_workers_do(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (0,), "720p": (0,)}))
    take(catalogue, JobKind.ENCODE)
    told = call(ports, "GET", f"/videos/{video}/details").json()
    assert told["source"]["container"]
    assert told["chunks"][0]["start"] == 0
    assert told["chunks"][-1]["stop"] == told["segment_count"]
    assert {each["name"]: each["runs"] for each in told["renditions"]} == {"360p": [[0, 1]], "720p": [[0, 1]]}
    assert [task["kind"] for task in told["running"]] == ["encode"]
    assert told["running"][0]["end_seconds"] > told["running"][0]["start_seconds"]
    assert {"rendition"} <= {file["kind"] for file in told["files"]}


def test_news_of_progress_say_which_segments_landed(catalogue: SqlCatalogue) -> None:
    an_encoding_video(catalogue)
    do(catalogue, JobKind.ENCODE, an_encoded({"360p": (0, 1)}))
    assert catalogue.events_after(0)[-1].data["landed"] == [["360p", 0, 2]]
