"""What a file is saved as, and which renditions it is made of."""

from __future__ import annotations

import pytest

from origin.downloads import choose_renditions, content_disposition, parse_download_request
from storage.catalogue import RenditionRow
from storage.errors import InvalidRequest, NotFound
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
