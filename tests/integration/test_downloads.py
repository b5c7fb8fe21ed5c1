"""Films as files: put together from what is in the store, decoded by ffmpeg to the frame, and only for who may."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import imageio_ffmpeg
import pytest

from origin.app import create_app
from origin.ports import OriginPorts
from origin.settings import OriginSettings
from storage.blobs.local import LocalBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.grants import Downloads, KeyRing, PlaybackGrant, Visibility, sign_grant
from storage.lifecycle import VideoState
from tests.pipeline import through_the_pipeline_of
from workers.ffmpeg.process import find_tools
from workers.planning.policy import Policy

pytestmark = pytest.mark.integration

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
KEYS = KeyRing.parse(("k1:" + "5a" * 32,))
SETTINGS = OriginSettings(playback_keys=KEYS, edge_secret="s" * 32)


class Film:
    """A film that went through the pipeline, behind origins in this process."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "Ein Film: ¡así!.mp4"
        argv = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=11"]
        argv += ["-f", "lavfi", "-i", "sine=d=11:sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast"]
        subprocess.run([*argv, str(self.source)], check=True, timeout=120, stdin=subprocess.DEVNULL)
        self.catalogue = SqlCatalogue.in_memory()
        self.store = LocalBlobs(folder / "store")
        video, self.asset = through_the_pipeline_of(self.catalogue, self.source, folder, find_tools(), Policy())
        assert (video.state, video.reason) == (VideoState.READY, None)
        self.id = video.id

    @property
    def rendition(self) -> str:
        return next(row.name for row in self.asset.renditions if row.rung is not None)

    def segments(self, folder: Path, *, of_sound: bool) -> Path:
        """A rendition as players put it together."""
        row = next(row for row in self.asset.renditions if (row.audio is not None) == of_sound)
        names = [row.init_name, *(segment.name for segment in row.segments)]
        file = folder / f"{row.name}.mp4"
        file.write_bytes(b"".join(self.store.get(f"{self.asset.id}/{row.name}/{name}") for name in names))
        return file

    def ask(self, path: str, settings: OriginSettings = SETTINGS, **how: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            ports = OriginPorts(
                catalogue=self.catalogue, blobs=self.store, downloads=self.catalogue, keys=self.catalogue
            )
            transport = httpx.ASGITransport(app=create_app(settings, ports))
            async with httpx.AsyncClient(transport=transport, base_url="http://origin.test") as client:
                return await client.request(how.pop("method", "GET"), path, **how)

        return asyncio.run(asked())

    def link(self, name: str, scope: str = "download") -> str:
        grant = PlaybackGrant(video=self.id, expires_at_s=int(time.time()) + 600, scope=scope)
        return f"/t/{sign_grant(grant, KEYS)}/v/{self.id}/download/{name}"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Film]:
    made = Film(tmp_path_factory.mktemp("film"))
    yield made
    made.catalogue.close()


def decoded(file: Path, stream: str) -> list[tuple[float, str]]:
    """When each picture or frame of sound is shown, and its digest."""
    argv = [FFMPEG, "-v", "error", "-i", str(file), "-map", f"0:{stream}", "-f", "framemd5", "-"]
    told = subprocess.run(argv, check=True, timeout=120, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert told.stderr == ""
    lines = [line.split(",") for line in told.stdout.splitlines() if not line.startswith("#")]
    (base,) = [line.split(":")[1] for line in told.stdout.splitlines() if line.startswith("#tb 0")]
    top, _, bottom = base.strip().partition("/")
    return [(int(line[2]) * int(top) / int(bottom), line[5].strip()) for line in lines]


def test_the_mp4_has_every_frame_of_the_rendition_at_its_time(film: Film, tmp_path: Path) -> None:
    answer = film.ask(film.link(f"{film.rendition}.mp4"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "video/mp4"
    file = tmp_path / "download.mp4"
    file.write_bytes(answer.content)
    assert len(answer.content) == int(answer.headers["content-length"])
    pictures = decoded(film.segments(tmp_path, of_sound=False), "v")
    assert len(pictures) == 275
    assert decoded(file, "v") == pictures
    sound = decoded(film.segments(tmp_path, of_sound=True), "a")
    assert decoded(file, "a") == sound


def test_pictures_out_of_order_are_in_the_film(film: Film, tmp_path: Path) -> None:
    answer = film.ask(film.link(f"{film.rendition}.mp4"))
    assert b"ctts" in answer.content[:20_000]
    assert answer.content.index(b"moov") < answer.content.index(b"mdat")


def test_the_mp4_carries_no_byte_that_is_not_in_the_store_but_its_head(film: Film) -> None:
    answer = film.ask(film.link(f"{film.rendition}.mp4"))
    rows = [row for row in film.asset.renditions if row.name == film.rendition or row.audio is not None]
    stored = sum(segment.size_bytes for row in rows for segment in row.segments)
    assert 0 < len(answer.content) - stored < 20_000


def test_ranges_of_the_mp4_are_those_of_the_whole(film: Film) -> None:
    link = film.link(f"{film.rendition}.mp4")
    whole = film.ask(link)
    size = len(whole.content)
    for start, stop in ((0, 100), (1000, 40_000), (size // 2, size // 2 + 1), (size - 10, size), (5, size)):
        part = film.ask(link, headers={"range": f"bytes={start}-{stop - 1}"})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.content == whole.content[start:stop]
    assert film.ask(link, headers={"range": f"bytes={size}-"}).status_code == 416
    assert film.ask(link, headers={"range": "bytes=0-1,5-6"}).content == whole.content
    other = film.ask(link, headers={"range": "bytes=0-1", "if-range": '"another"'})
    assert (other.status_code, other.content == whole.content) == (200, True)
    assert film.ask(link, headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    head = film.ask(link, method="HEAD")
    assert (head.headers["content-length"], head.content) == (str(size), b"")


def test_sound_is_chosen_or_left_out(film: Film, tmp_path: Path) -> None:
    silent = film.ask(film.link(f"{film.rendition}.mp4"), params={"audio": "none"})
    assert silent.content[:20_000].count(b"trak") == 1
    (sound,) = [row for row in film.asset.renditions if row.audio is not None]
    named = film.ask(film.link(f"{film.rendition}.mp4"), params={"audio": sound.name})
    assert named.content == film.ask(film.link(f"{film.rendition}.mp4")).content
    assert film.ask(film.link(f"{film.rendition}.mp4"), params={"audio": "tlh"}).status_code == 400
    assert film.ask(film.link("4711p.mp4")).status_code == 404


def test_the_source_is_what_was_uploaded(film: Film) -> None:
    answer = film.ask(film.link("source"))
    assert answer.content == film.source.read_bytes()
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    assert "Ein%20Film" in answer.headers["content-disposition"]
    part = film.ask(film.link("source"), headers={"range": "bytes=-7"})
    assert (part.status_code, part.content) == (206, film.source.read_bytes()[-7:])


@pytest.mark.parametrize("name", ["source", "180p.mp4"])
def test_files_are_for_those_who_may_have_them(film: Film, name: str) -> None:
    plain = f"/v/{film.id}/download/{name}"
    edge = {"fishladder-edge": SETTINGS.edge_secret}
    signed = replace(SETTINGS, downloads=Downloads.SIGNED)
    for refused in (film.ask(plain), film.ask(plain, headers=edge), film.ask(film.link(name, "play"), headers=edge)):
        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert film.ask(film.link(name), signed).status_code == 200
    never = replace(SETTINGS, downloads=Downloads.NEVER)
    assert film.ask(film.link(name), never).status_code == film.ask(plain, never).status_code == 403
    open_to_viewers = replace(SETTINGS, downloads=Downloads.OPEN)
    assert film.ask(plain, open_to_viewers).status_code == 200
    signed_play = replace(open_to_viewers, default_visibility=Visibility.SIGNED)
    assert film.ask(plain, signed_play).status_code == 403
    assert film.ask(film.link(name, "play"), signed_play).status_code == 200
    # A link for keeping opens just that.
    play = film.link(name).replace(f"download/{name}", "master.m3u8")
    assert film.ask(play, signed_play).status_code == 403


def test_a_film_that_lost_a_segment_is_not_begun(film: Film) -> None:
    link = film.link(f"{film.rendition}.mp4")
    row = next(row for row in film.asset.renditions if row.name == film.rendition)
    last = film.store.local_path(f"{film.asset.id}/{row.name}/{row.segments[-1].name}")
    aside = last.rename(last.with_suffix(".aside"))
    try:
        assert film.ask(link, headers={"range": "bytes=0-99"}).status_code == 404
    finally:
        aside.rename(last)
    assert film.ask(link, headers={"range": "bytes=0-99"}).status_code == 206
