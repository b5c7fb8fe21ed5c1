"""What a file is saved as, and which renditions it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from origin.downloads import Downloads, choose_renditions, content_disposition, parse_download_request
from origin.messages import Request, Response, Send, send_response
from origin.objects import Overloaded
from origin.ports import DownloadRows
from origin.problems import RangeNotSatisfiable
from storage.blobs.memory import MemoryBlobs
from storage.catalogue import RenditionRow
from storage.errors import InvalidRequest, NotFound
from storage.ids import VideoId
from storage.media.ladder import AudioRendition, Rung


@pytest.mark.parametrize(
    ("name", "plain", "full"),
    [
        ("film.mp4", "film.mp4", "film.mp4"),
        ("../../etc/passwd", "etc passwd", "etc%20passwd"),
        ("C:\\temp\\..\\x.MOV", "C temp .. x.MOV", "C%20temp%20..%20x.MOV"),
        ('a"; filename="evil.exe', "a  filename evil.exe", None),
        ("a\r\nset-cookie: x=1.mp4", "a set-cookie  x1.mp4", "a%20set-cookie%20%20x%3D1.mp4"),
        ("Ümläut – Übung.mkv", "Umlaut  Ubung.mkv", None),
        ("映画.mp4", "video.mp4", "%E6%98%A0%E7%94%BB.mp4"),
        ("...", "video", "video"),
        ("", "video", "video"),
        ("x" * 500 + ".mp4", "x" * 120 + ".mp4", "x" * 120 + ".mp4"),
    ],
)
def test_a_file_is_saved_under_a_name_that_is_only_a_name(name: str, plain: str, full: str | None) -> None:
    said = content_disposition(name)
    assert said.isascii()
    assert "\r" not in said
    assert "\n" not in said
    start, _, extended = said.partition("; filename*=UTF-8''")
    kept = start.removeprefix('attachment; filename="').removesuffix('"')
    assert '"' not in kept
    assert "/" not in kept
    assert "\\" not in kept
    assert kept == plain
    if full is not None:
        assert extended == full


def rows() -> list[RenditionRow]:
    def row(name: str, rung: Rung | None = None, audio: AudioRendition | None = None) -> RenditionRow:
        return RenditionRow(
            name=name, rung=rung, audio=audio, init_name="i", codecs="c", timescale=1, fingerprint="f", segments=()
        )

    def sound(name: str, language: str, *, default: bool) -> RenditionRow:
        made = AudioRendition(
            name=name, track_index=0, language=language, channels=2, bit_rate_bps=1, default=default, label=""
        )
        return row(name, audio=made)

    def picture(name: str, height: int) -> RenditionRow:
        return row(name, rung=Rung(name=name, width=16, height=height, crf=23, max_rate_bps=1))

    return [
        picture("180p", 180),
        picture("1080p-hq", 1080),
        sound("audio-en", "en", default=False),
        sound("audio-de", "de", default=True),
    ]


@pytest.mark.parametrize(
    ("rendition", "audio", "chosen"),
    [
        ("180p", None, ["180p", "audio-de"]),
        ("1080p", None, ["1080p-hq", "audio-de"]),
        ("180p", "en", ["180p", "audio-en"]),
        ("180p", "audio-en", ["180p", "audio-en"]),
        ("180p", "none", ["180p"]),
    ],
)
def test_a_rendition_and_a_sound_are_chosen(rendition: str, audio: str | None, chosen: list[str]) -> None:
    assert [row.name for row in choose_renditions(rows(), rendition, audio)] == chosen


def test_a_film_without_sound_is_a_file_without_sound() -> None:
    assert [row.name for row in choose_renditions(rows()[:2], "180p", None)] == ["180p"]


def test_what_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(NotFound):
        choose_renditions(rows(), "audio-de", None)
    with pytest.raises(InvalidRequest):
        choose_renditions(rows(), "180p", "tlh")


@pytest.mark.parametrize(
    "path", ["/v/a/download/", "/v/a/download/x/y.mp4", "/v/a/download/..mp4", "/v//download/source"]
)
def test_other_paths_are_no_downloads(path: str) -> None:
    assert parse_download_request(path) is None


class OneSource:
    """Rows of one video, whose source can be had."""

    def video(self, video: VideoId) -> SimpleNamespace:
        return SimpleNamespace(id=video, source_key="uploads/film", filename="film.mp4", title="Film")


@pytest.fixture
def two_at_once() -> Iterator[Downloads]:
    blobs = MemoryBlobs()
    blobs.put("uploads/film", b"film" * 100)
    with ThreadPoolExecutor(2) as threads:
        yield Downloads(cast("DownloadRows", OneSource()), blobs, threads, at_once=2)


SOURCE = parse_download_request("/v/abc/download/source")
ASKED = Request(method="GET", path="/v/abc/download/source")


async def sent(request: Request, response: Response) -> bytes:
    parts: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        parts.append(message.get("body", b""))

    await send_response(cast("Send", send), request, response, 60)
    return b"".join(parts)


@pytest.mark.anyio
async def test_files_count_from_when_they_are_asked_for_until_they_are_sent(two_at_once: Downloads) -> None:
    assert SOURCE is not None
    first, _second = [await two_at_once.answer(SOURCE, ASKED, []) for _ in range(2)]
    with pytest.raises(Overloaded):
        await two_at_once.answer(SOURCE, ASKED, [])
    assert await sent(ASKED, first) == b"film" * 100
    await two_at_once.answer(SOURCE, ASKED, [])
    with pytest.raises(Overloaded):
        await two_at_once.answer(SOURCE, ASKED, [])


@pytest.mark.anyio
@pytest.mark.parametrize(
    "request_",
    [
        replace(ASKED, method="HEAD"),
        replace(ASKED, if_none_match="*"),
        replace(ASKED, range="bytes=0-3"),
        replace(ASKED, range="bytes=4000-"),
    ],
    ids=["head", "unchanged", "a part", "no part of it"],
)
async def test_no_answer_keeps_a_place(two_at_once: Downloads, request_: Request) -> None:
    assert SOURCE is not None
    for _ in range(5):
        try:
            response = await two_at_once.answer(SOURCE, request_, [])
        except RangeNotSatisfiable:
            continue
        await sent(request_, response)


@pytest.mark.anyio
async def test_an_answer_that_is_broken_off_keeps_no_place(two_at_once: Downloads) -> None:
    async def gone(message: dict[str, Any]) -> None:
        raise ConnectionResetError

    assert SOURCE is not None
    for _ in range(5):
        response = await two_at_once.answer(SOURCE, ASKED, [])
        with pytest.raises(ConnectionResetError):
            await send_response(cast("Send", gone), ASKED, response, 60)
